//! FETCH, SEARCH, SORT and THREAD: nothing here changes the mailbox.

use harness::{Error, mail};

use crate::options::Options;
use crate::target::{Sample, Target};

/// Measures `command` in a new session on mail that the server has never seen. The SELECT is not part of it.
fn first(target: &mut Target, options: &Options, command: &str) -> Result<Sample, Error> {
    target.unseen(options, options.messages)?;
    let mut wire = target.selected()?;
    target.measure(|| wire.ok(command))
}

/// Measures `command` in a new session after another one has given it.
fn second(target: &mut Target, options: &Options, command: &str) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    let mut before = target.selected()?;
    before.ok(command)?;
    before.ok("LOGOUT")?;
    let mut wire = target.selected()?;
    target.measure(|| wire.ok(command))
}

/// Measures `command` in a new session, whatever happened before.
fn any(target: &mut Target, options: &Options, command: &str) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    let mut wire = target.selected()?;
    target.measure(|| wire.ok(command))
}

const ENVELOPE: &str = "FETCH 1:* (ENVELOPE BODYSTRUCTURE)";
const HEADERS: &str =
    "FETCH 1:* BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID REFERENCES)]";
const SUBJECT: &str = "SEARCH SUBJECT zyxwvut";
const SORT: &str = "SORT (DATE) UTF-8 ALL";
const THREAD: &str = "THREAD REFERENCES UTF-8 ALL";

pub(super) fn flags(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    any(target, options, "UID FETCH 1:* FLAGS")
}

pub(super) fn envelope_first(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    first(target, options, ENVELOPE)
}

pub(super) fn envelope_second(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    second(target, options, ENVELOPE)
}

pub(super) fn size(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    any(target, options, "FETCH 1:* RFC822.SIZE")
}

pub(super) fn headers_first(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    first(target, options, HEADERS)
}

pub(super) fn headers_second(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    second(target, options, HEADERS)
}

pub(super) fn bodies(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    any(target, options, "FETCH 1:* BODY.PEEK[]")
}

/// One message after the other, as clients fill their cache: a delay for each shows in the wall time.
pub(super) fn one_by_one(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    let mut wire = target.selected()?;
    let count = options.messages.min(500);
    target.measure(|| {
        for number in 1..=count {
            wire.ok(&format!("UID FETCH {number} (UID FLAGS BODY.PEEK[])"))?;
        }
        Ok(())
    })
}

/// Puts one big message into the empty INBOX.
pub(super) fn place_big(target: &mut Target, options: &Options) -> Result<(), Error> {
    target.unseen(options, 0)?;
    target.changes();
    let message = mail::message(options.seed, 4, options.big);
    target.account()?.place("INBOX", &message, "S")?;
    Ok(())
}

pub(super) fn big(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    place_big(target, options)?;
    let mut wire = target.selected()?;
    target.measure(|| wire.ok("FETCH 1 BODY.PEEK[]"))
}

pub(super) fn big_parts(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    const PART: usize = 512 * 1024;
    place_big(target, options)?;
    let mut wire = target.selected()?;
    target.measure(|| {
        for start in (0..options.big).step_by(PART) {
            wire.ok(&format!("FETCH 1 BODY.PEEK[]<{start}.{PART}>"))?;
        }
        Ok(())
    })
}

pub(super) fn search_text(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    any(target, options, "SEARCH TEXT zyxwvut")
}

pub(super) fn search_body(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    any(target, options, "SEARCH BODY zyxwvut")
}

pub(super) fn subject_first(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    first(target, options, SUBJECT)
}

pub(super) fn subject_second(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    second(target, options, SUBJECT)
}

pub(super) fn sort_first(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    first(target, options, SORT)
}

pub(super) fn sort_second(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    second(target, options, SORT)
}

pub(super) fn thread_first(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    first(target, options, THREAD)
}

pub(super) fn thread_second(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    second(target, options, THREAD)
}
