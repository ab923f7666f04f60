//! What the message cache knows of a message under test, and what it is told.

use courier::maildir::cache::{Field, Kind};

use super::{Candidate, Skip};
use crate::digest;
use crate::matching;
use crate::recall;

impl Candidate<'_> {
    /// Reads from a header that has at least the fields that are remembered; from the cache, if it has them.
    pub(in crate::command) fn with_remembered<T>(
        &mut self,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Skip> {
        // Not if the message is open anyway.
        if self.header.is_none() && self.memory.one_more(self.folder) {
            let record = self.memory.get(self.folder, self.view, self.index);
            let known = record.and_then(|record| recall::value_in(&record, Field::Headers));
            let made;
            let value = match known {
                Some(value) => value,
                None => {
                    made = self.remember()?;
                    &made
                }
            };
            if let Some(header) = recall::searchable(value) {
                return Ok(read(header));
            }
        }
        Ok(read(self.header()?))
    }

    /// Reads what the digest of this kind says of the message, made and remembered if it says nothing.
    pub(in crate::command) fn with_row<T>(
        &mut self,
        kind: Kind,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Skip> {
        // Not if the header is at hand anyway.
        if self.rows.is_none() && self.header.is_none() {
            let row = self.memory.row(kind, self.folder, self.view, self.index);
            if let Some(row) = row.filter(|row| digest::is_sound(row)) {
                return Ok(read(row));
            }
        }
        let rows = match self.rows.take() {
            Some(rows) => rows,
            None => self.make_rows()?,
        };
        Ok(read(self.rows.insert(rows).of(kind)))
    }

    fn make_rows(&mut self) -> Result<digest::Rows, Skip> {
        if let Some(header) = &self.header {
            return Ok(digest::make(header));
        }
        let mut known = None;
        if self.opened.is_none() && self.memory.one_more(self.folder) {
            let record = self.memory.get(self.folder, self.view, self.index);
            let value = record.and_then(|record| recall::value_in(&record, Field::Headers));
            known = value.and_then(recall::searchable).map(digest::make);
        }
        let (rows, identity) = match known {
            Some(rows) => (rows, None),
            None => {
                let opened = self.open()?;
                let identity = opened.identity;
                let header = matching::own_header(&mut opened.content)?;
                (digest::make(&header), Some(identity))
            }
        };
        let both = [Kind::Sort, Kind::Thread].map(|kind| (kind, rows.of(kind)));
        self.memory
            .add_rows(self.folder, self.view, self.index, identity, both);
        Ok(rows)
    }

    /// RFC822.SIZE, from the cache if it has it.
    pub(in crate::command) fn octets(&mut self) -> Result<u64, Skip> {
        if self.opened.is_some() || !self.memory.one_more(self.folder) {
            return Ok(self.content()?.octets()?);
        }
        let known = self
            .memory
            .get(self.folder, self.view, self.index)
            .and_then(|record| recall::value_in(&record, Field::Size))
            .and_then(|value| value.try_into().ok());
        if let Some(known) = known {
            return Ok(u64::from_le_bytes(known));
        }
        let opened = self.open()?;
        let identity = opened.identity;
        let octets = opened.content.octets()?;
        let fields = [(Field::Size, &octets.to_le_bytes()[..])];
        self.memory.add(self.view, self.index, identity, &fields);
        Ok(octets)
    }

    /// Remembers the message's header fields, and gives them as they are remembered.
    fn remember(&mut self) -> Result<Vec<u8>, Skip> {
        let opened = self.open()?;
        let identity = opened.identity;
        let value = recall::make(Field::Headers, &mut opened.content)?;
        if recall::is_worth_keeping(Field::Headers, &value) {
            let fields = [(Field::Headers, value.as_slice())];
            self.memory.add(self.view, self.index, identity, &fields);
        }
        Ok(value)
    }
}
