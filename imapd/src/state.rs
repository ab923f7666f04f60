//! The selected mailbox as the client knows it, and the untagged responses that bring the client up to date. Numbers
//! change only in [`Selected::refresh`], so only commands that may announce an EXPUNGE call it (RFC 3501 section
//! 7.4.1): NOOP, CHECK, IDLE, EXPUNGE, and those that add to the mailbox.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use courier::maildir::{Diff, Error, Flags, Folder, Memory, Message, Right, Rights, Snapshot};

use crate::command::fetch::Kept;
use crate::folder::{Found, Place};
use crate::grammar::sequence::{Ranges, SequenceSet};
use crate::reply::Reply;
use crate::rights;
use crate::writer::Writer;

/// System flags in the order of the FLAGS response.
const IN_FLAGS: &[u8] = b"\\Draft \\Answered \\Flagged \\Deleted \\Seen";

/// The same, one by one.
const IN_PERMANENT: [(Flags, &[u8]); 5] = [
    (Flags::DRAFT, b"\\Draft"),
    (Flags::ANSWERED, b"\\Answered"),
    (Flags::FLAGGED, b"\\Flagged"),
    (Flags::DELETED, b"\\Deleted"),
    (Flags::SEEN, b"\\Seen"),
];

/// Flags of a message, in the order in which they are shown.
const IN_FETCH: [(Flags, &[u8]); 5] = [
    (Flags::DRAFT, b"\\Draft"),
    (Flags::FLAGGED, b"\\Flagged"),
    (Flags::ANSWERED, b"\\Answered"),
    (Flags::SEEN, b"\\Seen"),
    (Flags::DELETED, b"\\Deleted"),
];

/// The selected mailbox.
#[derive(Debug)]
pub struct Selected {
    /// Its files.
    pub folder: Folder,
    /// The messages as the client knows them: index + 1 is the sequence number.
    pub view: Snapshot,
    /// Selected by EXAMINE.
    pub read_only: bool,
    /// Where it is, for its access control list.
    pub place: Place,
    /// What the user may do with it.
    pub rights: Rights,
    /// Clients may make new keywords.
    pub keywords_allowed: bool,
    /// Keywords of the last FLAGS response.
    announced: Vec<Vec<u8>>,
    /// UIDs of messages copied in this session.
    copied: BTreeSet<u32>,
    /// The message of the last FETCH, still open.
    pub kept: Option<Kept>,
    /// What is known of the messages without opening them.
    pub memory: Memory,
    /// UIDs of the last search result that was to be saved: what `$` means (RFC 5182).
    pub saved: Ranges,
    /// Messages that cannot be numbered have been told of.
    warned_hidden: bool,
    /// When the last refresh ended, and how long it took.
    refreshed: Option<(Instant, Duration)>,
}

impl Drop for Selected {
    fn drop(&mut self) {
        self.memory.finish(&self.view);
        self.folder.close(&mut self.view);
    }
}

impl Selected {
    /// A mailbox just scanned.
    pub fn new(found: Found, view: Snapshot, read_only: bool, keywords_allowed: bool) -> Self {
        Self {
            folder: found.folder,
            view,
            read_only,
            place: found.place,
            rights: found.rights,
            keywords_allowed,
            announced: Vec::new(),
            copied: BTreeSet::new(),
            kept: None,
            memory: Memory::default(),
            saved: Ranges::default(),
            warned_hidden: false,
            refreshed: None,
        }
    }

    /// The messages of a set, as ascending ranges of indexes into [`Self::view`]. UIDs that do not exist are passed
    /// over.
    ///
    /// # Errors
    /// BAD for a message number that does not exist (RFC 9051 section 9, `seq-number`).
    pub fn ranges(&self, set: &SequenceSet, uid: bool) -> Result<Vec<Range<usize>>, Reply> {
        let count = u32::try_from(self.view.len()).unwrap_or(u32::MAX);
        if uid || set.is_saved() {
            let largest = self.view.messages().last().map_or(0, Message::uid);
            let resolved = set.resolve(largest);
            let ranges = if set.is_saved() {
                &self.saved
            } else {
                &resolved
            };
            return Ok(ranges
                .ranges()
                .iter()
                .map(|&(first, last)| self.view.indexes_of_uids(first, last))
                .filter(|range| !range.is_empty())
                .collect());
        }
        if !set.within(count) {
            return Err(Reply::bad("Invalid message sequence number."));
        }
        let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(set
            .resolve(count)
            .ranges()
            .iter()
            .map(|&(first, last)| index(first).saturating_sub(1)..index(last))
            .collect())
    }

    /// Writes the flags of a message: `(\Seen \Recent keyword)`.
    pub fn put_flags(&self, out: &mut Writer, message: &Message) {
        out.put(b"(");
        let mut separator: &[u8] = b"";
        let mut put = |flag: &[u8]| {
            out.put(separator);
            out.put(flag);
            separator = b" ";
        };
        for (flag, name) in IN_FETCH {
            if message.flags().contains(flag) {
                put(name);
            }
        }
        if message.is_recent() {
            put(b"\\Recent");
        }
        for keyword in self.view.keywords(message) {
            put(keyword);
        }
        out.put(b")");
    }

    /// Gives back what can be read again, before a long wait.
    pub fn rest(&mut self) {
        self.kept = None;
        self.memory.rest();
    }

    /// Writes `* n FETCH (FLAGS (…))`, with UID where the command used UIDs.
    pub fn put_flags_response(&self, out: &mut Writer, index: usize, uid: bool) {
        let Some(message) = self.view.get(index) else {
            return;
        };
        out.put(b"* ");
        out.number((index as u64).saturating_add(1));
        out.put(b" FETCH (");
        if uid {
            out.put(b"UID ");
            out.number(u64::from(message.uid()));
            out.put(b" ");
        }
        out.put(b"FLAGS ");
        self.put_flags(out, message);
        out.put(b")\r\n");
    }

    /// Writes the FLAGS and PERMANENTFLAGS responses.
    pub fn put_flags_in_use(&mut self, out: &mut Writer) {
        self.announced = self
            .view
            .keywords_in_use()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        let mut keywords = Vec::new();
        for keyword in &self.announced {
            keywords.extend_from_slice(keyword);
            keywords.push(b' ');
        }
        out.put(b"* FLAGS (");
        out.put(&keywords);
        out.put(IN_FLAGS);
        out.put(b" \\Recent)\r\n* OK [PERMANENTFLAGS (");
        if self.read_only {
            out.put(b")] No permanent flags permitted\r\n");
            return;
        }
        // Only what the user may change (RFC 4314 section 4).
        let mut permanent = Vec::new();
        if self.rights.has(Right::Write) {
            permanent.extend_from_slice(&keywords);
            if self.keywords_allowed {
                permanent.extend_from_slice(b"\\* ");
            }
        }
        let allowed = rights::flags(&self.rights);
        for (flag, name) in IN_PERMANENT {
            if allowed.contains(flag) {
                permanent.extend_from_slice(name);
                permanent.push(b' ');
            }
        }
        out.put(permanent.trim_ascii_end());
        out.put(b")] Limited\r\n");
    }

    /// Writes the response that tells the user's rights.
    pub fn put_rights(&self, out: &mut Writer) {
        out.put(b"* OK [MYRIGHTS ");
        out.string(&rights::full(&self.rights), false);
        out.put(b"] ACL\r\n");
    }

    /// As [`Self::put_flags_in_use`], if keywords have come into use since the last time.
    pub fn put_new_keywords(&mut self, out: &mut Writer) {
        let new = self.view.keywords_in_use().into_iter().any(|keyword| {
            !self
                .announced
                .iter()
                .any(|known| known.eq_ignore_ascii_case(keyword))
        });
        if new {
            self.put_flags_in_use(out);
        }
    }

    /// As [`Self::put_flags_in_use`], if keywords have gone out of use since the last time.
    pub fn put_lost_keywords(&mut self, out: &mut Writer) {
        let in_use = self.view.keywords_in_use();
        let lost = self.announced.iter().any(|known| {
            !in_use
                .iter()
                .any(|keyword| known.eq_ignore_ascii_case(keyword))
        });
        drop(in_use);
        if lost {
            self.put_flags_in_use(out);
        }
    }

    /// Remembers messages that were copied in this session: expunging them loses nothing, so they need not go to the
    /// trash.
    pub fn remember_copied(&mut self, uids: impl Iterator<Item = u32>) {
        self.copied.extend(uids);
    }

    /// True if the message was copied in this session.
    pub fn was_copied(&self, uid: u32) -> bool {
        self.copied.contains(&uid)
    }

    /// Writes EXISTS and RECENT.
    pub fn put_counts(&self, out: &mut Writer) {
        out.text(format_args!(
            "* {} EXISTS\r\n* {} RECENT\r\n",
            self.view.len(),
            self.view.recent()
        ));
    }

    /// Brings the view up to date and tells the client what changed.
    ///
    /// # Errors
    /// The folder cannot be read; the view stays as it was.
    pub fn refresh(&mut self, out: &mut Writer, uid: bool) -> Result<Diff, Error> {
        let began = Instant::now();
        let diff = self.folder.rescan(&mut self.view)?;
        self.refreshed = Some((Instant::now(), began.elapsed()));
        self.put_changes(out, &diff, uid);
        Ok(diff)
    }

    /// False if this mailbox is large and was brought up to date just now. Announcing each message at once is a
    /// courtesy (RFC 3501 section 6.3.11); adding thousands one by one to a mailbox of thousands must not cost a
    /// listing each. NOOP tells what was left out.
    pub fn is_worth_refreshing(&self) -> bool {
        const LARGE: usize = 1000;
        match self.refreshed {
            Some((ended, took)) if self.view.len() > LARGE => {
                ended.elapsed() >= took.saturating_mul(10)
            }
            _ => true,
        }
    }

    /// Writes what `diff` says (contract: imapd 8.1).
    fn put_changes(&mut self, out: &mut Writer, diff: &Diff, uid: bool) {
        for expunged in &diff.expunged {
            out.put(b"* ");
            out.number(expunged.sequence as u64);
            out.put(b" EXPUNGE\r\n");
        }
        if diff.keywords_changed {
            self.put_new_keywords(out);
        }
        if diff.added > 0 || !diff.expunged.is_empty() {
            self.put_counts(out);
        }
        for &index in &diff.changed {
            self.put_flags_response(out, index, uid);
        }
        if diff.keywords_changed {
            self.put_lost_keywords(out);
        }
        self.put_hidden(out);
    }

    /// Tells once of messages that exist but cannot be shown.
    pub fn put_hidden(&mut self, out: &mut Writer) {
        match self.view.hidden() {
            Some(hidden) if !self.warned_hidden => {
                self.warned_hidden = true;
                out.text(format_args!(
                    "* OK [ALERT] {} new messages cannot be shown until there is space on the server again.\r\n",
                    hidden.count
                ));
            }
            Some(_) => {}
            None => self.warned_hidden = false,
        }
    }
}
