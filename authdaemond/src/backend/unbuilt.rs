//! Stand-ins: `authcustom`, which rejects everything, and modules that this daemon lacks although they are
//! configured, which refuse temporarily so that nobody is told that a right password is wrong.

use courier::auth::account::AccountInfo;

use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::protocol::Auth;

/// A module without accounts.
#[derive(Debug)]
pub struct Unbuilt {
    name: &'static str,
    rejects: bool,
}

impl Unbuilt {
    /// The original's stub.
    pub fn custom() -> Self {
        Self {
            name: "authcustom",
            rejects: true,
        }
    }

    /// A module whose accounts exist but cannot be asked for.
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            rejects: false,
        }
    }

    fn verdict(&self) -> Verdict {
        if self.rejects {
            Verdict::Reject
        } else {
            Verdict::TempFail
        }
    }
}

impl Module for Unbuilt {
    fn name(&self) -> &'static str {
        self.name
    }

    fn authenticate(&mut self, _auth: &Auth, _context: &mut Context<'_>) -> Verdict {
        self.verdict()
    }

    fn lookup(&mut self, _service: &[u8], _user: &[u8], _context: &mut Context<'_>) -> Verdict {
        self.verdict()
    }

    fn change_password(
        &mut self,
        _service: &[u8],
        _user: &[u8],
        _old: &[u8],
        _new: &[u8],
        _context: &mut Context<'_>,
    ) -> Change {
        if self.rejects {
            Change::NotMine
        } else {
            Change::Failed
        }
    }

    fn idle(&mut self) {}

    fn lists(&self) -> bool {
        !self.rejects
    }

    fn enumerate(
        &mut self,
        _context: &mut Context<'_>,
        _each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        if self.rejects { Ok(()) } else { Err(Aborted) }
    }
}
