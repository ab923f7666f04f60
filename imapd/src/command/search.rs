//! SEARCH and UID SEARCH.
//!
//! Keys are tried in the order of their cost: what the view knows, then the file's attributes, then the header, then
//! the text. A message is opened only if a key needs it, and its text is read once for all keys of the command.

mod cached;
mod watch;

use std::time::SystemTime;

use courier::maildir::cache::Kind;
use courier::maildir::{Error, ErrorKind, Flags, Folder, Memory, Message, Snapshot};
use courier::mime::header::Known;
use courier::sys::localtime;
use courier::text::{charset, date};

use super::fetch::{log_read_error, unix_seconds};
use super::results;
use crate::attempt;
use crate::content::Content;
use crate::digest;
use crate::grammar::search::{DateRelation, Search, SearchField, SearchFlag, SearchKey};
use crate::grammar::sequence::Ranges;
use crate::matching::{self, Needle, Needles};
use crate::recall;
use crate::reply::{Code, Reply};
use crate::session::{End, Executed, Session};
use crate::state::Selected;
use watch::{Clock, Watch};

/// A search key made ready: sets resolved, texts folded, dates as days since 1970.
enum Test {
    All,
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Flags(Flags, bool),
    Recent(bool),
    Keyword(Vec<u8>, bool),
    Numbers(Ranges),
    Uids(Ranges),
    /// Name of a header field, and what it must contain.
    Field(Vec<u8>, Box<Needle>),
    /// Number of the needle.
    Body(usize),
    Text(usize),
    Internal(DateRelation, i64),
    Sent(DateRelation, i64),
    Larger(u64),
    Smaller(u64),
    /// Not before this Unix time.
    Since(i64),
    /// Not after it.
    Until(i64),
}

/// A whole search, ready to be applied to messages.
struct Program {
    test: Test,
    /// What BODY and TEXT keys look for.
    needles: Needles,
}

/// A message under test; what has been read of it.
pub(super) struct Candidate<'a> {
    watch: Watch<'a>,
    folder: &'a Folder,
    view: &'a mut Snapshot,
    memory: &'a mut Memory,
    index: usize,
    message: Message,
    opened: Option<Opened>,
    header: Option<Vec<u8>>,
    rows: Option<digest::Rows>,
    in_header: Option<Vec<bool>>,
    in_body: Option<Vec<bool>>,
}

/// An open message.
struct Opened {
    content: Content,
    internal_date: SystemTime,
    identity: (u64, u64),
}

/// The message cannot be judged.
pub(super) enum Skip {
    /// Nor any other.
    Ended(End),
    /// Another session removed it.
    Gone,
    Store(Error),
    Read(std::io::Error),
}

impl From<Error> for Skip {
    fn from(error: Error) -> Self {
        if error.kind() == ErrorKind::Gone {
            Self::Gone
        } else {
            Self::Store(error)
        }
    }
}

impl From<End> for Skip {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

impl From<std::io::Error> for Skip {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

/// SEARCH.
///
/// # Errors
/// The client is gone, or a signal asks for the end.
pub fn execute(session: &mut Session, search: &Search) -> Executed {
    attempt!(session.selected());
    let saves = search.results.is_some_and(|results| results.save);
    if let Err(reply) = check_charset(session, search.charset.as_deref()) {
        return Ok(results::refused(session, saves, reply));
    }
    let mut found = Vec::new();
    let pass = pass(
        session,
        search.charset.as_deref(),
        &search.key,
        |candidate| {
            found.push(candidate.index);
            Ok(())
        },
    )?;
    results::put(
        session,
        results::Kind::Search,
        search.uid,
        search.results,
        &found,
    );
    pass.finish(session, search.uid, saves, "SEARCH done.")
}

fn check_charset(session: &Session, charset: Option<&[u8]>) -> Result<(), Reply> {
    match charset {
        Some(_) if session.utf8 => Err(Reply::bad(
            "CHARSET is not valid in UTF8 mode as per RFC 6855",
        )),
        Some(label) if !charset::is_known(label) => Err(unknown_charset()),
        _ => Ok(()),
    }
}

/// The reply to a character set that is not known.
pub(super) fn unknown_charset() -> Reply {
    Reply::no("The requested character set is not supported.").with(Code::BadCharset)
}

/// What came up while the messages were tried.
pub(super) struct Pass {
    /// Messages whose flags another session changed.
    changed: Vec<usize>,
    unreadable: bool,
}

/// Tries all messages of the selected mailbox and gives those that match to `found`, in the order of their numbers.
/// The character set must be known.
pub(super) fn pass(
    session: &mut Session,
    charset: Option<&[u8]>,
    key: &SearchKey,
    mut found: impl FnMut(&mut Candidate<'_>) -> Result<(), Skip>,
) -> Result<Pass, End> {
    let mut pass = Pass {
        changed: Vec::new(),
        unreadable: false,
    };
    let Some(selected) = &session.selected else {
        return Ok(pass);
    };
    let program = Program::new(charset, key, selected);
    let mut index = 0;
    let mut clock = Clock::start();
    while let Some(selected) = session.selected.as_mut() {
        let Some(&message) = selected.view.get(index) else {
            break;
        };
        let mut candidate = Candidate {
            watch: Watch {
                clock: &mut clock,
                input: &mut session.input,
                out: &mut session.out,
                tag: &session.tag,
                done: index,
                total: selected.view.len(),
            },
            folder: &selected.folder,
            view: &mut selected.view,
            memory: &mut selected.memory,
            index,
            message,
            opened: None,
            header: None,
            rows: None,
            in_header: None,
            in_body: None,
        };
        let tried = match candidate.matches(&program.test, &program.needles) {
            Ok(true) => found(&mut candidate),
            Ok(false) => Ok(()),
            Err(skip) => Err(skip),
        };
        // The clock is not asked for each of those that cost next to nothing.
        let look = candidate.opened.is_some() || index % 64 == 0;
        if look {
            candidate.watch.look()?;
        }
        match tried {
            Ok(()) | Err(Skip::Gone) => {}
            Err(Skip::Ended(end)) => return Err(end),
            Err(Skip::Store(error)) => {
                pass.unreadable = true;
                session.log_error(&error);
            }
            Err(Skip::Read(error)) => {
                pass.unreadable = true;
                log_read_error(session, &error);
            }
        }
        // Looking for the file showed what another session did to its flags.
        let now = session
            .selected
            .as_ref()
            .and_then(|selected| selected.view.get(index));
        if now.is_some_and(|now| now.flags() != message.flags()) {
            pass.changed.push(index);
        }
        index += 1;
    }
    if let Some(selected) = session.selected.as_mut() {
        selected.memory.end();
    }
    Ok(pass)
}

impl Pass {
    /// Tells of flags that changed, and ends the command. `saves` if the result was to be saved.
    pub(super) fn finish(
        self,
        session: &mut Session,
        uid: bool,
        saves: bool,
        done: &'static str,
    ) -> Executed {
        if let Some(selected) = session.selected.as_ref() {
            for index in self.changed {
                selected.put_flags_response(&mut session.out, index, uid);
            }
        }
        session.out.check()?;
        Ok(if self.unreadable {
            let reply = Reply::no("Some messages cannot be read.").with(Code::ServerBug);
            results::refused(session, saves, reply)
        } else {
            Reply::ok(done)
        })
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

impl Program {
    /// The character set must be known.
    fn new(charset: Option<&[u8]>, key: &SearchKey, selected: &Selected) -> Self {
        let view = &selected.view;
        let mut compiler = Compiler {
            charset,
            count: number(view.len()).saturating_sub(1),
            largest_uid: view.messages().last().map_or(0, Message::uid),
            saved: &selected.saved,
            now: unix_seconds(SystemTime::now()),
            needles: Vec::new(),
        };
        let test = compiler.test(key);
        Self {
            test,
            needles: Needles::new(compiler.needles),
        }
    }
}

struct Compiler<'a> {
    charset: Option<&'a [u8]>,
    count: u32,
    largest_uid: u32,
    saved: &'a Ranges,
    now: i64,
    needles: Vec<Needle>,
}

impl Compiler<'_> {
    fn test(&mut self, key: &SearchKey) -> Test {
        match key {
            SearchKey::All => Test::All,
            SearchKey::And(keys) => {
                let mut tests: Vec<Test> = keys.iter().map(|key| self.test(key)).collect();
                tests.sort_by_key(Test::cost);
                Test::And(tests)
            }
            SearchKey::Or(a, b) => {
                let (a, b) = (self.test(a), self.test(b));
                let (a, b) = if a.cost() <= b.cost() { (a, b) } else { (b, a) };
                Test::Or(Box::new(a), Box::new(b))
            }
            SearchKey::Not(key) => Test::Not(Box::new(self.test(key))),
            SearchKey::Flag(flag, set) => match flag {
                SearchFlag::Answered => Test::Flags(Flags::ANSWERED, *set),
                SearchFlag::Deleted => Test::Flags(Flags::DELETED, *set),
                SearchFlag::Draft => Test::Flags(Flags::DRAFT, *set),
                SearchFlag::Flagged => Test::Flags(Flags::FLAGGED, *set),
                SearchFlag::Seen => Test::Flags(Flags::SEEN, *set),
                SearchFlag::Recent => Test::Recent(*set),
            },
            SearchKey::New => Test::And(vec![Test::Recent(true), Test::Flags(Flags::SEEN, false)]),
            SearchKey::Keyword(keyword, set) => Test::Keyword(keyword.clone(), *set),
            SearchKey::Numbers(set) | SearchKey::Uids(set) if set.is_saved() => {
                Test::Uids(self.saved.clone())
            }
            SearchKey::Numbers(set) => Test::Numbers(set.resolve(self.count)),
            SearchKey::Uids(set) => Test::Uids(set.resolve(self.largest_uid)),
            SearchKey::Field(field, text) => Test::Field(
                match field {
                    SearchField::Bcc => b"Bcc".to_vec(),
                    SearchField::Cc => b"Cc".to_vec(),
                    SearchField::From => b"From".to_vec(),
                    SearchField::Subject => b"Subject".to_vec(),
                    SearchField::To => b"To".to_vec(),
                },
                self.needle(text),
            ),
            SearchKey::Header(name, text) => Test::Field(name.clone(), self.needle(text)),
            SearchKey::Body(text) => Test::Body(self.keep(text)),
            SearchKey::Text(text) => Test::Text(self.keep(text)),
            SearchKey::Internal(relation, date) => Test::Internal(*relation, date.days()),
            SearchKey::Sent(relation, date) => Test::Sent(*relation, date.days()),
            SearchKey::Larger(size) => Test::Larger(*size),
            SearchKey::Smaller(size) => Test::Smaller(*size),
            SearchKey::Younger(seconds) => {
                Test::Since(self.now.saturating_sub(i64::from(*seconds)))
            }
            SearchKey::Older(seconds) => Test::Until(self.now.saturating_sub(i64::from(*seconds))),
        }
    }

    fn needle(&self, text: &[u8]) -> Box<Needle> {
        Box::new(Needle::new(self.charset, text))
    }

    fn keep(&mut self, text: &[u8]) -> usize {
        self.needles.push(Needle::new(self.charset, text));
        self.needles.len() - 1
    }
}

impl Test {
    /// 0: the view; 1: the file's attributes; 2: the header; 3: the text.
    fn cost(&self) -> u8 {
        match self {
            Self::All
            | Self::Flags(..)
            | Self::Recent(_)
            | Self::Keyword(..)
            | Self::Numbers(_)
            | Self::Uids(_) => 0,
            Self::Internal(..) | Self::Since(_) | Self::Until(_) => 1,
            Self::Field(..) | Self::Sent(..) => 2,
            Self::Larger(_) | Self::Smaller(_) | Self::Body(_) | Self::Text(_) => 3,
            Self::And(tests) => tests.iter().map(Self::cost).max().unwrap_or(0),
            Self::Or(a, b) => a.cost().max(b.cost()),
            Self::Not(test) => test.cost(),
        }
    }
}

impl Candidate<'_> {
    fn matches(&mut self, test: &Test, needles: &Needles) -> Result<bool, Skip> {
        Ok(match test {
            Test::All => true,
            Test::And(tests) => {
                for test in tests {
                    if !self.matches(test, needles)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Or(a, b) => self.matches(a, needles)? || self.matches(b, needles)?,
            Test::Not(test) => !self.matches(test, needles)?,
            Test::Flags(flags, set) => self.message.flags().contains(*flags) == *set,
            Test::Recent(set) => self.message.is_recent() == *set,
            Test::Keyword(keyword, set) => self.view.has_keyword(&self.message, keyword) == *set,
            Test::Numbers(set) => set.contains(number(self.index)),
            Test::Uids(set) => set.contains(self.message.uid()),
            Test::Field(name, needle) => self.is_in_field(name, needle)?,
            Test::Body(needle) => self.is_in_body(needles, *needle)?,
            Test::Text(needle) => {
                self.is_in_header(needles, *needle)? || self.is_in_body(needles, *needle)?
            }
            Test::Internal(relation, day) => {
                let unix = self.internal_date()?;
                let date = date::Date::of_unix(unix, localtime::offset_minutes(unix));
                compare(*relation, date.days(), *day)
            }
            Test::Sent(relation, day) => {
                let tree = self.content()?.head()?;
                let sent = tree
                    .field(tree.root(), Known::Date)
                    .and_then(|text| date::DateTime::parse_header(&text));
                // The date as written, whatever its zone (RFC 3501 section 6.4.4).
                sent.is_some_and(|sent| compare(*relation, sent.date.days(), *day))
            }
            Test::Larger(size) => self.is_larger(*size)?,
            Test::Smaller(size) => match size.checked_sub(1) {
                Some(most) => !self.is_larger(most)?,
                None => false,
            },
            Test::Since(unix) => self.internal_date()? >= *unix,
            Test::Until(unix) => self.internal_date()? <= *unix,
        })
    }

    fn open(&mut self) -> Result<&mut Opened, Skip> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => {
                let opened = self.folder.open_message(self.view, self.index)?;
                Opened {
                    identity: opened.identity(),
                    internal_date: opened.internal_date,
                    content: Content::new(opened.file, opened.size),
                }
            }
        };
        Ok(self.opened.insert(opened))
    }

    fn content(&mut self) -> Result<&mut Content, Skip> {
        Ok(&mut self.open()?.content)
    }

    /// Position in the view.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// INTERNALDATE, Unix time.
    pub(super) fn internal_date(&mut self) -> Result<i64, Skip> {
        if self.opened.is_none() {
            if let Some(known) = self.folder.attributes(self.view, self.index) {
                return Ok(unix_seconds(known.internal_date));
            }
        }
        Ok(unix_seconds(self.open()?.internal_date))
    }

    fn is_in_field(&mut self, name: &[u8], needle: &Needle) -> Result<bool, Skip> {
        let (found, octets) = if name.eq_ignore_ascii_case(b"Subject") {
            self.with_row(Kind::Sort, |row| {
                let found = digest::SortRow::read(row).has_in_subject(needle);
                (found, row.len())
            })?
        } else if recall::is_remembered(name) {
            self.with_remembered(|header| (matching::in_field(header, name, needle), header.len()))?
        } else {
            let header = self.header()?;
            (matching::in_field(header, name, needle), header.len())
        };
        self.watch.searched(octets)?;
        Ok(found)
    }

    fn header(&mut self) -> Result<&[u8], Skip> {
        let header = match self.header.take() {
            Some(header) => header,
            None => matching::own_header(self.content()?)?,
        };
        Ok(self.header.insert(header))
    }

    fn is_in_header(&mut self, needles: &Needles, needle: usize) -> Result<bool, Skip> {
        let found = match self.in_header.take() {
            Some(found) => found,
            None => matching::in_header(self.header()?, needles),
        };
        Ok(self
            .in_header
            .insert(found)
            .get(needle)
            .copied()
            .unwrap_or(false))
    }

    fn is_in_body(&mut self, needles: &Needles, needle: usize) -> Result<bool, Skip> {
        let found = match self.in_body.take() {
            Some(found) => found,
            None => self.look_in_body(needles)?,
        };
        Ok(self
            .in_body
            .insert(found)
            .get(needle)
            .copied()
            .unwrap_or(false))
    }

    fn look_in_body(&mut self, needles: &Needles) -> Result<Vec<bool>, Skip> {
        self.open()?;
        let (Some(opened), watch) = (&mut self.opened, &mut self.watch) else {
            return Ok(Vec::new());
        };
        let mut ended = Ok(());
        let found = matching::in_body(&mut opened.content, needles, |octets| {
            ended = watch.searched(octets);
            ended.is_ok()
        })?;
        ended?;
        Ok(found)
    }

    /// Whether RFC822.SIZE is above a size.
    fn is_larger(&mut self, size: u64) -> Result<bool, Skip> {
        let content = self.content()?;
        // Every stored byte is served as one octet or two.
        let stored = content.stored_size();
        Ok(if stored > size {
            true
        } else if stored.saturating_mul(2) <= size {
            false
        } else {
            content.octets()? > size
        })
    }
}

fn compare(relation: DateRelation, day: i64, with: i64) -> bool {
    match relation {
        DateRelation::Before => day < with,
        DateRelation::On => day == with,
        DateRelation::Since => day >= with,
    }
}
