//! Configuration: compiled-in [`paths`], typed settings from the environment, [`upgrade`] of live files.

pub mod paths;
pub mod upgrade;
