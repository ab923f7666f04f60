//! The server over TLS, for each setting, and what its processes hold meanwhile.

mod certificates;
mod clients;
mod processes;
mod settings;
