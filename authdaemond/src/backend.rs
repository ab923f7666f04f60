//! The modules: one file per kind of account source.

pub mod configured;
pub mod custom;
pub mod helper;
pub mod id;
pub mod ldap;
pub mod pipe;
pub mod secrets;
pub mod sql;
pub mod system;
pub mod userdb;
