//! The modules: one file per kind of account source.

pub mod pipe;
pub mod system;
pub mod unbuilt;
pub mod userdb;
