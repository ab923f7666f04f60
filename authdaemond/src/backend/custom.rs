//! `authcustom`: the original's stub for code of a site's own. Knows no account.

use courier::auth::account::AccountInfo;

use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::protocol::Auth;

/// The module.
#[derive(Debug)]
pub struct Custom;

impl Module for Custom {
    fn name(&self) -> &'static str {
        "authcustom"
    }

    fn authenticate(&mut self, _auth: &Auth, _context: &mut Context<'_>) -> Verdict {
        Verdict::Reject
    }

    fn lookup(&mut self, _service: &[u8], _user: &[u8], _context: &mut Context<'_>) -> Verdict {
        Verdict::Reject
    }

    fn change_password(
        &mut self,
        _service: &[u8],
        _user: &[u8],
        _old: &[u8],
        _new: &[u8],
        _context: &mut Context<'_>,
    ) -> Change {
        Change::NotMine
    }

    fn idle(&mut self) {}

    fn lists(&self) -> bool {
        false
    }

    fn enumerate(
        &mut self,
        _context: &mut Context<'_>,
        _each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        Ok(())
    }
}
