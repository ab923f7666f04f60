//! The size of a mailbox for STATUS (RFC 8438): the sum of RFC822.SIZE, exact. A message's size comes from the
//! message cache where it is known; otherwise the message is read once, for all sessions to come.

use std::time::{Duration, Instant};

use courier::maildir::cache::Field;
use courier::maildir::{Error, ErrorKind, Folder, Memory, Mode, Snapshot};

use super::fetch::log_read_error;
use crate::content::Content;
use crate::recall;
use crate::session::Session;

/// How often a large mailbox is left for a look at signals.
const LOOK: Duration = Duration::from_millis(200);

/// Octets of all messages of a folder. Of a message that cannot be read nothing is counted, and the log says so.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn octets(session: &mut Session, folder: &Folder) -> Result<u64, Error> {
    let mut view = folder.scan(Mode::ReadOnly)?;
    let mut memory = Memory::default();
    let remembers = memory.begin(folder, view.len());
    let mut total = 0_u64;
    let mut last_look = Instant::now();
    for index in 0..view.len() {
        match one(folder, &mut view, &mut memory, remembers, index) {
            Ok(octets) => total = total.saturating_add(octets),
            Err(Failed::Store(error)) if error.kind() == ErrorKind::Gone => {}
            Err(Failed::Store(error)) => session.log_error(&error),
            Err(Failed::Read(error)) => log_read_error(session, &error),
        }
        if last_look.elapsed() >= LOOK {
            last_look = Instant::now();
            // The session ends with the next wait; the answer does not matter any more.
            if session.input.signalled() {
                break;
            }
        }
    }
    memory.end();
    memory.finish(&view);
    folder.close(&mut view);
    Ok(total)
}

enum Failed {
    Store(Error),
    Read(std::io::Error),
}

fn one(
    folder: &Folder,
    view: &mut Snapshot,
    memory: &mut Memory,
    remembers: bool,
    index: usize,
) -> Result<u64, Failed> {
    if remembers {
        let known = memory
            .get(folder, view, index)
            .and_then(|record| recall::value_in(&record, Field::Size))
            .and_then(|value| value.try_into().ok());
        if let Some(known) = known {
            return Ok(u64::from_le_bytes(known));
        }
    }
    let opened = folder.open_message(view, index).map_err(Failed::Store)?;
    let identity = opened.identity();
    let mut content = Content::new(opened.file, opened.size);
    let octets = content.octets().map_err(Failed::Read)?;
    if remembers {
        let fields = [(Field::Size, &octets.to_le_bytes()[..])];
        memory.add(view, index, identity, &fields);
    }
    Ok(octets)
}
