//! Execution of commands; each file has the name of the grammar's. A command gets the session and its arguments and
//! returns its tagged reply; untagged responses go to the session's writer.

pub mod acl;
pub mod append;
mod binary;
pub mod expunge;
pub mod fetch;
mod items;
pub mod list;
pub mod mailbox;
pub mod quota;
mod results;
pub mod search;
pub mod select;
pub mod session;
mod size;
pub mod sort;
pub mod status;
pub mod store;
pub mod thread;
pub mod transfer;
pub mod trash;
mod visible;

use std::time::Duration;

use courier::maildir::ErrorKind;
use nix::errno::Errno;

use crate::grammar::Command;
use crate::idle;
use crate::reply::Reply;
use crate::session::{End, Executed, Session};
use crate::state::Selected;

/// Executes any command but APPEND.
pub fn execute(session: &mut Session, command: Command) -> Executed {
    match command {
        // Only reached without a literal, which the session refuses.
        Command::Append(_) => Ok(Reply::bad("APPEND needs a literal.")),
        Command::Acl(command) => acl::draft(session, &command),
        Command::Capability => session::capability(session),
        Command::Check => session::check(session),
        Command::Close => select::close(session),
        Command::Copy(copy) => transfer::copy(session, &copy),
        Command::Create(name) => mailbox::create(session, &name),
        Command::Delete(name) => mailbox::delete(session, &name),
        Command::DeleteAcl(name, who) => acl::delete(session, &name, &who),
        Command::Enable(words) => session::enable(session, &words),
        Command::Examine(name) => select::select(session, &name, true),
        Command::Expunge(set) => expunge::execute(session, set.as_ref()),
        Command::Fetch(fetch) => fetch::execute(session, &fetch),
        Command::GetAcl(name) => acl::get(session, &name),
        Command::GetQuota(root) => quota::get(session, &root),
        Command::GetQuotaRoot(name) => quota::root(session, &name),
        Command::Id(fields) => session::id(session, fields.as_ref()),
        Command::Idle => idle::execute(session),
        Command::List(list) => list::list(session, &list),
        Command::ListRights(name, who) => acl::list_rights(session, &name, &who),
        Command::Logout => session::logout(session),
        Command::Lsub(list) => list::lsub(session, &list),
        Command::Move(transfer) => transfer::r#move(session, &transfer),
        Command::MyRights(name) => acl::my_rights(session, &name),
        Command::Namespace => session::namespace(session),
        Command::Noop => session::noop(session),
        Command::Rename(from, to) => mailbox::rename(session, &from, &to),
        Command::Search(search) => search::execute(session, &search),
        Command::Select(name) => select::select(session, &name, false),
        Command::SetAcl(name, who, rights) => acl::set(session, &name, &who, &rights),
        Command::SetQuota => quota::set(),
        Command::Sort(sort) => sort::execute(session, sort),
        Command::Status(status) => status::execute(session, &status),
        Command::Store(store) => store::execute(session, &store),
        Command::Subscribe(name) => mailbox::subscribe(session, &name),
        Command::Thread(thread) => thread::execute(session, thread),
        Command::Unselect => select::unselect(session),
        Command::Unsubscribe(name) => mailbox::unsubscribe(session, &name),
    }
}

impl Session {
    /// The selected mailbox.
    ///
    /// # Errors
    /// BAD: the command needs one (RFC 3501 section 3).
    pub fn selected(&mut self) -> Result<&mut Selected, Reply> {
        self.selected
            .as_mut()
            .ok_or_else(|| Reply::bad("No mailbox is selected."))
    }

    /// Reads the rights on the selected mailbox anew and tells the client if they have changed. Commands that change
    /// messages do so first: a right that was taken away is gone at once.
    ///
    /// # Errors
    /// The reply of the command: they cannot be told.
    pub fn refresh_rights(&mut self) -> Result<(), Reply> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        let rights = self
            .rights(&selected.place)
            .map_err(|error| self.failed(&error))?;
        let out = &mut self.out;
        if let Some(selected) = self.selected.as_mut() {
            if selected.rights != rights {
                selected.rights = rights;
                selected.put_rights(out);
            }
        }
        Ok(())
    }

    /// Brings the selected mailbox up to date and tells the client; nothing if none is selected. A folder that
    /// cannot be read is logged and stays as it was: its messages can still be fetched. One that is gone ends the
    /// session after the command's reply: what its client knows is of no use any more. Returns when to look again
    /// if not everything could be told yet.
    pub fn refresh(&mut self, uid: bool) -> Option<Duration> {
        let selected = self.selected.as_mut()?;
        match selected.refresh(&mut self.out, uid) {
            Ok(diff) => diff.again,
            Err(error) => {
                self.log_error(&error);
                let gone = matches!(error.kind(), ErrorKind::NoSuchFolder | ErrorKind::Recreated)
                    || error.errno() == Some(Errno::ENOENT);
                if gone {
                    self.ending = Some(End::MailboxGone);
                }
                None
            }
        }
    }
}

/// Unwraps a result whose error is a reply: the command ends with it.
#[macro_export]
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reply) => return Ok(reply),
        }
    };
}
