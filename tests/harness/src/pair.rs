//! Our server and the original's on one account's maildir.

use std::path::PathBuf;

use crate::account::Account;
use crate::client::Client;
use crate::server::{PASSWORD, Server, Setup, Side};
use crate::{Error, run};

/// Both servers, and the account `joe` that they share.
pub struct Pair {
    /// Ours, which made the account.
    pub ours: Server,
    /// The original's.
    pub theirs: Server,
    /// The account.
    pub account: Account,
}

impl Pair {
    /// The maildir of the account.
    pub fn maildir(&self) -> PathBuf {
        self.account.maildir()
    }

    /// Logs in to one of the two.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub fn login(&self, side: Side) -> Result<Client, Error> {
        let server = match side {
            Side::Ours => &self.ours,
            Side::Reference => &self.theirs,
        };
        Client::login(server.port, "joe", PASSWORD)
    }
}

/// Runs a test with such a pair. Without `COURIER_INTEROP=1` it is skipped, with `what` as the reason, because Debian's
/// packages have to be downloaded for it.
///
/// # Errors
/// The test's own error, or a server that does not start.
pub fn interop(what: &str, test: impl FnOnce(&Pair) -> Result<(), Error>) -> Result<(), Error> {
    run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(format!("{what}: run by make check-interop")));
        }
        let ours = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
        let account = ours.account("joe")?.clone();
        let mut setup = Setup::new(Side::Reference, &[]);
        setup.guests.push(account.clone());
        let theirs = Server::start(&setup)?;
        test(&Pair {
            ours,
            theirs,
            account,
        })
    })
}
