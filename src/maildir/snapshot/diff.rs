//! What changed between two views of a folder.

use std::time::Duration;

use super::Snapshot;
use super::message::NEWS;

/// One message that left, for `* n EXPUNGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expunged {
    /// Sequence number to announce: already lowered by the expunges before it in the same [`Diff`].
    pub sequence: usize,
    /// The UID it had.
    pub uid: u32,
}

/// What [`crate::maildir::Folder::rescan`] changed in a snapshot, in the order in which it is reported.
#[derive(Debug, Default)]
pub struct Diff {
    /// Messages that left, ascending.
    pub expunged: Vec<Expunged>,
    /// Indexes, in the updated snapshot, of the messages whose flags or keywords changed; ascending.
    pub changed: Vec<usize>,
    /// How many messages were added at the end.
    pub added: usize,
    /// The set of keywords in use is another one now.
    pub keywords_changed: bool,
    /// Look again after this time: the folder changed so recently or so busily that not everything can be told
    /// yet. Of interest while idling; any later rescan does it too.
    pub again: Option<Duration>,
}

impl Diff {
    /// True if there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty()
            && self.changed.is_empty()
            && self.added == 0
            && !self.keywords_changed
    }

    /// Compares two views; both in UID order. Keyword sets of both must be of one table.
    pub(crate) fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut diff = Self::default();
        let mut sequence = 1;
        let mut fresh = new.messages.iter().enumerate().peekable();
        for message in &old.messages {
            match fresh.next_if(|(_, candidate)| candidate.uid == message.uid) {
                Some((index, candidate)) => {
                    if candidate.flags != message.flags
                        || candidate.keywords != message.keywords
                        || message.state & NEWS != 0
                    {
                        diff.changed.push(index);
                    }
                    sequence += 1;
                }
                None => diff.expunged.push(Expunged {
                    sequence,
                    uid: message.uid,
                }),
            }
        }
        diff.added = fresh.count();
        diff.keywords_changed = old.keywords_in_use() != new.keywords_in_use();
        diff
    }
}
