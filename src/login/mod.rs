//! What imaplogin and pop3login share: the monitor, the unprivileged parser process, the hand-over.
//!
//! couriertcpd starts the program as root with the peer on descriptors 0 and 1. It forks a **parser** that has no
//! privileges and speaks to the peer; the program itself stays the **monitor**, which reads nothing from the peer
//! and answers the parser's few typed questions: are these credentials good, make a challenge, start TLS. After a
//! good login the parser is ended and the monitor, in the process id that couriertcpd counts, becomes the account
//! and execs the mail server.
//!
//! - [`environment`], [`settings`]: what the programs are told by their environment.
//! - [`message`]: the questions and answers between the two processes.
//! - [`peer`]: the parser's side of the connection, consumed exactly command by command.
//! - [`parser`]: starting and confining the parser; what a protocol's dialog works with.
//! - [`monitor`]: the loop that answers the parser. [`monitor::run`] is the whole of a login program.
//! - [`handover`]: from a good login to the exec of the mail server.
//! - [`confine`]: what an account's session keeps of the file system and of the kernel.
//! - [`hook`]: a program that an account runs once at login.
//! - [`skeleton`]: home directories that are made at the first login.
//! - [`proxy`]: logging in for an account at the server that it lives on.
//! - [`tls`]: handing the connection to couriertls for STARTTLS and STLS.
//! - [`logline`]: log lines, word for word.

mod brake;
pub mod confine;
mod enter;
pub mod environment;
pub mod handover;
pub mod hook;
pub mod logline;
pub mod message;
pub mod monitor;
pub mod parser;
pub mod peer;
pub mod proxy;
pub mod settings;
pub mod skeleton;
pub mod tls;
