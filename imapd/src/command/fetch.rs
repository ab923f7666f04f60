//! FETCH and UID FETCH.
//!
//! A message is opened only if an item needs its file, its header alone is read if that is enough, and bodies are
//! streamed. Everything that can fail quietly fails before the first byte of a response is written; a file that turns
//! out unreadable behind an announced literal ends the session, as nothing else keeps the client in step.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use courier::maildir::cache::Field;
use courier::maildir::{Action, Change, ErrorKind, Flags, Memory, Right};
use courier::mime::structure::Text;
use courier::sys::log::{Level, log};

use super::{binary, items};
use crate::attempt;
use crate::content::Content;
use crate::grammar::fetch::{Fetch, FetchItem};
use crate::recall::{self, Recall};
use crate::reply::{Code, Reply};
use crate::session::{End, Executed, Session};
use crate::state::Selected;
use crate::writer::Writer;

/// How often a long command looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// What the items of a command need, most demanding last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// What the view knows.
    Nothing,
    /// The file's attributes.
    File,
    /// The message's own header as it stands.
    Header,
    /// What that header says.
    Fields,
    /// The whole message's structure.
    Structure,
}

/// The items with what follows from them.
struct Plan<'a> {
    uid: bool,
    items: Vec<&'a FetchItem>,
    need: Need,
    /// RFC822.SIZE is asked for.
    octets: bool,
    /// INTERNALDATE is asked for.
    dated: bool,
    sets_seen: bool,
    text: Text,
    /// Parameters of BODYSTRUCTURE may have backslashes.
    backslashes: bool,
    /// Nothing is asked for that needs the message itself if these are remembered, each once.
    fields: Option<Vec<Field>>,
    /// How each item is answered from them.
    recalls: Vec<Option<Recall<'a>>>,
}

/// Values of one message's fields, made just now.
type Made = Vec<(Field, Vec<u8>)>;

/// The message that the last FETCH was about, kept open: clients ask for one message's structure and then for its
/// parts, or for a large part bit by bit.
#[derive(Debug)]
pub struct Kept {
    uid: u32,
    internal_date: SystemTime,
    identity: (u64, u64),
    content: Content,
}

/// What became of one message.
enum Fetched {
    Sent,
    /// Another session removed it.
    Gone,
    /// Its file cannot be read.
    Unreadable,
    /// A part is encoded in a way that is not known.
    UnknownEncoding,
}

/// FETCH.
///
/// # Errors
/// The end of the session: the client is gone, a signal came, or a message broke off in the middle of a response.
pub fn execute(session: &mut Session, fetch: &Fetch) -> Executed {
    let selected = attempt!(session.selected());
    let ranges = attempt!(selected.ranges(&fetch.set, fetch.uid));
    let mut plan = Plan::new(fetch, session.utf8, !session.settings.client_workarounds);
    let Some(selected) = session.selected.as_mut() else {
        return Ok(Reply::ok("FETCH completed."));
    };
    let mut memory = std::mem::take(&mut selected.memory);
    let asked = ranges.iter().map(ExactSizeIterator::len).sum();
    if plan
        .fields
        .as_ref()
        .is_some_and(|fields| !fields.is_empty())
        && !memory.begin(&selected.folder, asked)
    {
        plan.fields = None;
    }
    let single = asked == 1;
    let executed = all(session, &plan, &mut memory, ranges, single);
    memory.end();
    if let Some(selected) = session.selected.as_mut() {
        selected.memory = memory;
    }
    executed
}

/// Answers for all messages.
fn all(
    session: &mut Session,
    plan: &Plan<'_>,
    memory: &mut Memory,
    ranges: Vec<Range<usize>>,
    single: bool,
) -> Executed {
    let (mut gone, mut unreadable, mut unknown) = (false, false, false);
    let mut scratch = Vec::new();
    let mut last_look = Instant::now();
    for index in ranges.into_iter().flatten() {
        if recalled(session, plan, memory, index, &mut scratch) {
            continue;
        }
        match one(session, plan, memory, index, single)? {
            Fetched::Sent => {}
            Fetched::Gone => gone = true,
            Fetched::Unreadable => unreadable = true,
            Fetched::UnknownEncoding => unknown = true,
        }
        session.out.check()?;
        // Not for what costs next to nothing.
        if plan.need > Need::Nothing && last_look.elapsed() >= LOOK {
            last_look = Instant::now();
            if session.input.signalled() {
                return Err(End::Signalled);
            }
        }
    }
    Ok(if unreadable {
        Reply::no("Some messages cannot be read.").with(Code::ServerBug)
    } else if unknown {
        Reply::no("The encoding is not known.").with(Code::UnknownCte)
    } else if gone {
        // RFC 2180 section 4.1.2: the others were answered.
        Reply::no("Some of the messages no longer exist.").with(Code::ExpungeIssued)
    } else {
        Reply::ok("FETCH completed.")
    })
}

impl<'a> Plan<'a> {
    fn new(fetch: &'a Fetch, utf8: bool, backslashes: bool) -> Self {
        let mut items: Vec<&FetchItem> = Vec::with_capacity(fetch.items.len() + 1);
        if fetch.uid && !fetch.items.contains(&FetchItem::Uid) {
            items.push(&FetchItem::Uid);
        }
        items.extend(&fetch.items);
        let text = if utf8 { Text::Utf8 } else { Text::Ascii };
        // What is remembered has its backslashes.
        let recall = |item: &&'a FetchItem| match *item {
            FetchItem::Body | FetchItem::BodyStructure if !backslashes => None,
            item => Recall::of(item, text),
        };
        let recalls: Vec<_> = items.iter().map(recall).collect();
        Self {
            octets: items.contains(&&FetchItem::Rfc822Size),
            dated: items.contains(&&FetchItem::InternalDate),
            fields: fields(&items, &recalls),
            recalls,
            uid: fetch.uid,
            need: items
                .iter()
                .map(|item| need(item))
                .max()
                .unwrap_or(Need::Nothing),
            sets_seen: fetch.items.iter().any(|item| {
                matches!(
                    item,
                    FetchItem::Section { peek: false, .. }
                        | FetchItem::Binary { peek: false, .. }
                        | FetchItem::Rfc822
                        | FetchItem::Rfc822Text
                )
            }),
            items,
            text,
            backslashes,
        }
    }
}

/// The fields to be remembered for these items; `None` if the message is needed anyway, or is not needed at all.
fn fields(items: &[&FetchItem], recalls: &[Option<Recall<'_>>]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut needed = false;
    for (item, recall) in items.iter().zip(recalls) {
        match (item, recall) {
            (FetchItem::Flags | FetchItem::Uid, _) => {}
            (FetchItem::InternalDate, _) => needed = true,
            (_, Some(recall)) => {
                if !fields.contains(&recall.field) {
                    fields.push(recall.field);
                }
            }
            (_, None) => return None,
        }
    }
    (needed || !fields.is_empty()).then_some(fields)
}

fn need(item: &FetchItem) -> Need {
    match item {
        FetchItem::Flags | FetchItem::Uid => Need::Nothing,
        FetchItem::InternalDate | FetchItem::Rfc822Size => Need::File,
        FetchItem::Envelope => Need::Fields,
        FetchItem::Rfc822Header => Need::Header,
        FetchItem::Section { section, .. } if section.is_own_header() => Need::Header,
        FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::Section { .. }
        | FetchItem::Binary { .. }
        | FetchItem::BinarySize { .. }
        | FetchItem::Rfc822
        | FetchItem::Rfc822Text => Need::Structure,
    }
}

/// Answers for one message without opening it; false, and nothing written, if that is not possible.
fn recalled(
    session: &mut Session,
    plan: &Plan<'_>,
    memory: &mut Memory,
    index: usize,
    scratch: &mut Vec<u8>,
) -> bool {
    let (Some(fields), Some(selected)) = (&plan.fields, session.selected.as_mut()) else {
        return false;
    };
    let (folder, view) = (&selected.folder, &mut selected.view);
    let Some(before) = view.get(index).copied() else {
        return false;
    };
    let mut record = None;
    if !fields.is_empty() {
        record = memory.get(folder, view, index);
        let known = record.is_some_and(|record| {
            let mut fields = fields.iter();
            fields.all(|&field| recall::value_in(&record, field).is_some())
        });
        if !known {
            return false;
        }
    }
    let mut internal_date = None;
    if plan.dated {
        internal_date = folder.attributes(view, index);
        if internal_date.is_none() {
            return false;
        }
    }
    let out = &mut session.out;
    put_start(out, index);
    for (number, (item, recall)) in plan.items.iter().zip(&plan.recalls).enumerate() {
        if number > 0 {
            out.put(b" ");
        }
        if let (FetchItem::InternalDate, Some(attributes)) = (item, internal_date) {
            items::put_internal_date(out, attributes.internal_date);
            continue;
        }
        let value = |recall: &Recall<'_>| recall::value_in(record.as_ref()?, recall.field);
        match recall
            .as_ref()
            .and_then(|recall| Some((recall, value(recall)?)))
        {
            Some((recall, value)) => {
                let octets = recall.put(out, value, scratch);
                session.counters.headers = session.counters.headers.saturating_add(octets);
            }
            None => put_view_item(out, selected, index, item),
        }
    }
    out.put(b")\r\n");
    set_seen(session, plan, index, before.flags());
    true
}

/// Answers for one message from its file.
fn one(
    session: &mut Session,
    plan: &Plan<'_>,
    memory: &mut Memory,
    index: usize,
    keep: bool,
) -> Result<Fetched, End> {
    let Some(selected) = session.selected.as_mut() else {
        return Ok(Fetched::Gone);
    };
    let Some(before) = selected.view.get(index).copied() else {
        return Ok(Fetched::Gone);
    };
    let mut kept = None;
    let mut made = Made::new();
    let mut decoded = Vec::new();
    if plan.need > Need::Nothing {
        let mut opened = match open(selected, index) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::Gone => return Ok(Fetched::Gone),
            Err(error) => {
                session.log_error(&error);
                return Ok(unreadable(&mut session.out, index));
            }
        };
        match read(plan, &mut opened.content) {
            Ok(values) => made = values,
            Err(error) => {
                log_fetch_error(session, &plan.items, index, &error);
                return Ok(unreadable(&mut session.out, index));
            }
        }
        match binary::prepare(&plan.items, &mut opened.content) {
            Ok(Ok(prepared)) => decoded = prepared,
            Ok(Err(binary::UnknownEncoding)) => return Ok(Fetched::UnknownEncoding),
            Err(error) => {
                log_fetch_error(session, &plan.items, index, &error);
                return Ok(unreadable(&mut session.out, index));
            }
        }
        let fields: Vec<(Field, &[u8])> = made
            .iter()
            .filter(|(field, value)| recall::is_worth_keeping(*field, value))
            .map(|(field, value)| (*field, value.as_slice()))
            .collect();
        if !fields.is_empty() {
            memory.add(&mut selected.view, index, opened.identity, &fields);
        }
        kept = Some(opened);
    }
    let out = &mut session.out;
    put_start(out, index);
    let mut scratch = Vec::new();
    for (number, (item, recall)) in plan.items.iter().zip(&plan.recalls).enumerate() {
        if number > 0 {
            out.put(b" ");
        }
        let value = recall.as_ref().and_then(|recall| {
            let (_, value) = made.iter().find(|(field, _)| *field == recall.field)?;
            Some((recall, value))
        });
        if let Some((recall, value)) = value {
            let octets = recall.put(out, value, &mut scratch);
            session.counters.headers = session.counters.headers.saturating_add(octets);
            continue;
        }
        let decoded = decoded.get(number).and_then(Option::as_ref);
        let result = match kept.as_mut() {
            Some(kept) if decoded.is_some() => decoded.map_or(Ok(false), |decoded| {
                let content = &mut kept.content;
                decoded
                    .put(out, &mut session.counters, content)
                    .map(|()| true)
            }),
            Some(kept) => items::put_content_item(
                out,
                &mut session.counters,
                plan.text,
                plan.backslashes,
                item,
                &mut kept.content,
                kept.internal_date,
            ),
            None => Ok(false),
        };
        match result {
            Ok(true) => {}
            Ok(false) => put_view_item(out, selected, index, item),
            Err(error) => {
                log_fetch_error(session, &[item], index, &error);
                return Err(End::Fatal("cannot read message".to_owned()));
            }
        }
    }
    out.put(b")\r\n");
    set_seen(session, plan, index, before.flags());
    if let (true, Some(mut kept), Some(selected)) = (keep, kept, session.selected.as_mut()) {
        kept.content.shrink();
        selected.kept = Some(kept);
    }
    Ok(Fetched::Sent)
}

fn put_start(out: &mut Writer, index: usize) {
    out.put(b"* ");
    out.number((index as u64).saturating_add(1));
    out.put(b" FETCH (");
}

/// Reads as much of a message as the items need, and makes what is to be remembered of it.
fn read(plan: &Plan<'_>, content: &mut Content) -> io::Result<Made> {
    match plan.need {
        Need::Nothing | Need::File => {}
        Need::Header => {
            content.header()?;
        }
        Need::Fields => {
            content.head()?;
        }
        Need::Structure => {
            content.tree()?;
        }
    }
    if plan.octets {
        content.octets()?;
    }
    let mut made = Made::new();
    let Some(fields) = &plan.fields else {
        return Ok(made);
    };
    for &field in fields {
        made.push((field, recall::make(field, content)?));
    }
    // It costs nothing now.
    if !fields.is_empty() && plan.need == Need::Structure && !plan.octets {
        made.push((Field::Size, recall::make(Field::Size, content)?));
    }
    if !fields.is_empty() && content.measure()?.is_some() {
        made.push((Field::Pop3, recall::make(Field::Pop3, content)?));
    }
    Ok(made)
}

/// Opens a message, or takes it from the last FETCH.
fn open(selected: &mut Selected, index: usize) -> Result<Kept, courier::maildir::Error> {
    let message = selected.view.get(index).copied();
    if let (Some(kept), Some(message)) = (selected.kept.take(), message) {
        if kept.uid == message.uid() && !message.is_gone() {
            return Ok(kept);
        }
    }
    let opened = selected.folder.open_message(&mut selected.view, index)?;
    Ok(Kept {
        uid: message.map_or(0, |message| message.uid()),
        internal_date: opened.internal_date,
        identity: opened.identity(),
        content: Content::new(opened.file, opened.size),
    })
}

fn unreadable(out: &mut Writer, index: usize) -> Fetched {
    out.text(format_args!(
        "* NO [ALERT] Cannot open message {}\r\n",
        index.saturating_add(1)
    ));
    Fetched::Unreadable
}

/// Sets `\Seen` if the items ask for it, and tells of flags that are not what they were before the command.
fn set_seen(session: &mut Session, plan: &Plan<'_>, index: usize, before: Flags) {
    let Some(selected) = session.selected.as_mut() else {
        return;
    };
    let may = !selected.read_only && selected.rights.has(Right::Seen);
    if plan.sets_seen && may && !before.contains(Flags::SEEN) {
        let change = Change::new(Action::Add, Flags::SEEN, Vec::new());
        if let Err(error) = selected
            .folder
            .change(&mut selected.view, &[index], &change)
        {
            // The client has the message; that it is not marked is no reason to fail.
            session.log_error(&error);
        }
    }
    let Some(selected) = session.selected.as_ref() else {
        return;
    };
    if selected
        .view
        .get(index)
        .is_some_and(|message| message.flags() != before)
    {
        selected.put_flags_response(&mut session.out, index, plan.uid);
    }
}

/// Writes an item that the view knows.
fn put_view_item(out: &mut Writer, selected: &Selected, index: usize, item: &FetchItem) {
    let Some(message) = selected.view.get(index) else {
        return;
    };
    match item {
        FetchItem::Uid => {
            out.put(b"UID ");
            out.number(u64::from(message.uid()));
        }
        _ => {
            out.put(b"FLAGS ");
            selected.put_flags(out, message);
        }
    }
}

/// Logs that a message's file cannot be read, though it could be opened.
pub(super) fn log_read_error(session: &Session, error: &io::Error) {
    log(
        Level::Err,
        format_args!("{}: cannot read message: {error}", session.account.name),
    );
}

/// The line about a message that FETCH cannot read, in the original's words (contract: imapd 17).
fn log_fetch_error(session: &Session, items: &[&FetchItem], index: usize, error: &io::Error) {
    let name = session.selected.as_ref().and_then(|selected| {
        let message = selected.view.get(index)?;
        let directory = selected.folder.name().directory();
        Some([&directory, &b"/"[..], &selected.view.log_name(message)].concat())
    });
    let name = name.unwrap_or_default();
    log(
        Level::Plain,
        format_args!("{}", fetch_error(items, &name, error)),
    );
}

fn fetch_error(items: &[&FetchItem], name: &[u8], error: &io::Error) -> String {
    let mut section = Vec::new();
    for item in items {
        if let (FetchItem::Section { section: found, .. }, true) = (item, section.is_empty()) {
            found.encode(&mut section);
        }
    }
    if section.is_empty() {
        section.extend_from_slice(b"[]");
    }
    format!(
        "IMAP FETCH ERROR: {error}, uid={}, filename={}: BODY{}",
        nix::unistd::geteuid(),
        name.escape_ascii(),
        section.escape_ascii()
    )
}

/// Unix time of a file time, also before 1970.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::cursor::Cursor;

    #[test]
    fn the_log_names_message_and_section() {
        let fetch = Fetch::parse(&mut Cursor::new(b" 1 (FLAGS BODY[1.MIME])"), false).unwrap();
        let items: Vec<&FetchItem> = fetch.items.iter().collect();
        let error = io::Error::other("bad disk");
        let uid = nix::unistd::geteuid();
        assert_eq!(
            fetch_error(&items, b"./cur/1.a:2,S", &error),
            format!("IMAP FETCH ERROR: bad disk, uid={uid}, filename=./cur/1.a:2,S: BODY[1.MIME]")
        );
        assert!(fetch_error(&[], b"x", &error).ends_with("filename=x: BODY[]"));
    }
}
