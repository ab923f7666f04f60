//! Configuration: compiled-in [`paths`] and typed settings from the environment.

pub mod paths;
