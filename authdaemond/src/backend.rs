//! The modules: one file per kind of account source.

pub mod helper;
pub mod pipe;
pub mod secrets;
pub mod sql;
pub mod system;
pub mod unbuilt;
pub mod userdb;
