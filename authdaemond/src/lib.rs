//! The authentication daemon: a pool of workers that answer questions about accounts on a UNIX socket, and the
//! tools that feed and ask it.
//!
//! The parent ([`pool`]) listens and keeps workers running; each worker ([`worker`]) reads requests from several
//! peers at once ([`protocol`]) and answers them one by one ([`service`]) by asking its modules ([`module`],
//! [`backend`]). Databases and directories are asked by helper programs ([`helper`], [`wire`]) that know no accounts. Everything runs as root when started so, because shadow files and PAM need it; nothing here
//! trusts a peer for that.

pub mod backend;
pub mod cram;
pub mod debug;
pub mod helper;
pub mod listen;
pub mod module;
pub mod password;
pub mod pgsql;
pub mod pool;
pub mod protocol;
pub mod rc;
pub mod rcfile;
pub mod service;
#[allow(unsafe_code)]
pub mod sys;
pub mod tools;
pub mod userdb;
pub mod wire;
pub mod worker;
