//! Bodies of the command-line tools; `src/bin` only parses options and calls in here.

pub mod deliverquota;
pub mod maildiracl;
pub mod maildircheck;
pub mod maildirmake;
pub mod systemuser;
