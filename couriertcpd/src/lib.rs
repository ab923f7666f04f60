//! The listener and the log process, and the tools that feed them.
//!
//! couriertcpd starts in [`tcpd`], with what [`options`], [`listen`], [`identity`] and [`pidfile`] make of its
//! command line. Its [`server`] forks a [`child`] per connection, which reads the header of a [`proxy`], checks the
//! access list and the limits ([`slots`], [`shared_slots`]), looks up names ([`lookup`]), completes the [`environment`] and execs the login program. [`logger`]
//! is courierlogger; [`makedat`] and [`imapaccess`] make access databases from their text, [`ranges`] expands the
//! networks in it. [`arguments`] knows Courier's option syntax, [`sys`] has the unsafe code.

pub mod arguments;
pub mod child;
pub mod dnslist;
pub mod environment;
pub mod identity;
pub mod imapaccess;
pub mod listen;
pub mod logger;
pub mod lookup;
pub mod makedat;
pub mod options;
pub mod pidfile;
pub mod proxy;
pub mod ranges;
pub mod renew;
pub mod server;
pub mod shared_slots;
pub mod slots;
#[allow(unsafe_code)]
pub mod sys;
pub mod tcpd;
pub mod tls;

pub use courier::sys::log::reason;
