//! What a session sees of a reading: its messages, those that may only have been missed, and their keywords.

use std::collections::BTreeSet;

use super::{Reading, Session};
use crate::maildir::error::Result;
use crate::maildir::filename;
use crate::maildir::flags::Flags;
use crate::maildir::folder::{Folder, Mode};
use crate::maildir::keyword_files::{self, Loaded};
use crate::maildir::keywords::KeywordSet;
use crate::maildir::listing::entry;
use crate::maildir::snapshot::{FolderStamps, Message, Snapshot};

impl Folder {
    /// Makes the session's view from a reading.
    pub(super) fn view(
        &self,
        session: &Session<'_>,
        reading: Reading,
        fresh: &BTreeSet<u32>,
    ) -> Result<Snapshot> {
        let Reading {
            db,
            mut listing,
            matched,
            hidden,
            ..
        } = reading;
        let mut view = Snapshot::new(db.uid_validity, session.mode == Mode::ReadOnly);
        view.uid_next = db.uid_next;
        view.hidden = hidden;
        view.begin(db.len(), std::mem::take(&mut listing.names));
        let mut before = session.messages().iter().peekable();
        let mut unsure = false;
        for position in 0..db.len() {
            let Some((uid, base)) = db.entry(position) else {
                continue;
            };
            while before.next_if(|message| message.uid() < uid).is_some() {}
            let before = before.next_if(|message| message.uid() == uid);
            let found = matched
                .found
                .get(position)
                .copied()
                .flatten()
                .and_then(|found| entry(&listing, found));
            match found {
                Some(listed) => {
                    let name = view.name_at(listed.start);
                    let has_info = filename::has_info(name);
                    let mut message = Message::new(uid, filename::flags(name));
                    message.set_in_new(listed.in_new);
                    message.set_inode(listed.inode);
                    if let Some(before) = before {
                        message.learn(before);
                    }
                    message.set_recent(
                        before.is_some_and(Message::is_recent)
                            || listed.in_new
                            || (fresh.contains(&uid) && has_info),
                    );
                    view.push_named(message, listed.start);
                }
                None if session.gone.contains(&uid) || listing.quiet => {}
                None => {
                    // Perhaps only missed: it stays as it was.
                    unsure = true;
                    match (session.previous, before) {
                        (Some(previous), Some(message)) => {
                            view.push(*message, previous.name(message));
                        }
                        _ => {
                            let mut message = Message::new(uid, Flags::NONE);
                            message.set_unlocated(true);
                            view.push(message, base);
                        }
                    }
                }
            }
        }
        view.highest = view
            .messages
            .last()
            .map_or(0, Message::uid)
            .max(session.previous.map_or(0, Snapshot::highest_shown));
        // Keyword numbers must mean the same in both views.
        if let Some(previous) = session.previous {
            view.table = previous.table.clone();
        }
        view.complete();
        view.surplus = db.len() != view.len();
        let (quiet, settled) = (listing.quiet && !unsure, listing.settled && !unsure);
        let (stamps, db_stamp) = (listing.stamps, db.stamp());
        // In a large folder these are most of the memory, and keywords take much.
        drop((db, listing, matched));
        let keywords = self.load_keywords(&mut view, session.mode, quiet)?;
        view.settled = settled && keywords.is_none_or(|keywords| keywords.settled);
        view.stamps = stamps.map(|(cur, new)| FolderStamps {
            cur,
            new,
            keywords: keywords.map(|keywords| keywords.stamp),
            db: db_stamp,
        });
        Ok(view)
    }

    /// Loads the keywords of all messages of the view.
    pub(crate) fn load_keywords(
        &self,
        view: &mut Snapshot,
        mode: Mode,
        complete: bool,
    ) -> Result<Option<Loaded>> {
        let inner = &self.inner;
        if inner.dir.stat(keyword_files::DIRECTORY)?.is_none() {
            return Ok(None);
        }
        let mut table = std::mem::take(&mut view.table);
        let mut sets = vec![KeywordSet::EMPTY; view.len()];
        let index = view.index();
        let loaded = keyword_files::load(
            &inner.dir,
            &inner.tmp,
            self.options(),
            &keyword_files::Known {
                index: &index,
                complete: complete && view.hidden.is_none(),
                tidy: mode == Mode::ReadWrite,
                current: false,
                now: &|| inner.now(),
                window: inner.window(),
                warn: &|error| self.warn(error),
            },
            &mut table,
            &mut sets,
        );
        drop(index);
        view.table = table;
        for (position, set) in sets.into_iter().enumerate() {
            view.set_keywords(position, set);
        }
        loaded
    }
}
