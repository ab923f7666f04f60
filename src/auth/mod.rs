//! Client side of authentication: the authdaemond socket protocol, account information, SASL server mechanisms.
//!
//! - [`client`]: one question to authdaemond per call, answered [`client::Outcome::Accepted`],
//!   [`client::Outcome::Rejected`] or [`client::Outcome::Temporary`].
//! - [`account`]: what the daemon says about an account.
//! - [`options`]: the `key=value,key=value` options of an account.
//! - [`domain`]: the default domain of login names.
//! - [`system`]: who a system account is.
//! - [`sasl`]: server side of the SASL mechanisms, as state machines that know no socket.

pub mod account;
pub mod client;
pub mod domain;
pub mod enumerate;
pub mod options;
pub mod sasl;
pub mod system;
mod wire;
