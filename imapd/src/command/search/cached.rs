//! What the message cache knows of a message under test, and what it is told.

use courier::maildir::cache::Field;

use super::{Candidate, Skip};
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

    /// Reads the sort keys, which `make` makes of the header; from the cache, if it has them, and if not remembers
    /// them there.
    pub(in crate::command) fn with_sort_keys<T>(
        &mut self,
        make: fn(&[u8]) -> Vec<u8>,
        read: impl FnOnce(recall::SortKeys<'_>) -> T,
    ) -> Result<T, Skip> {
        if self.header.is_none() && self.memory.one_more(self.folder) {
            let record = self.memory.get(self.folder, self.view, self.index);
            let known = record.and_then(|record| recall::value_in(&record, Field::SortKeys));
            if let Some(keys) = known {
                return Ok(read(recall::SortKeys::read(keys)));
            }
            let known = record.and_then(|record| recall::value_in(&record, Field::Headers));
            let keys = match known {
                Some(header) => {
                    let keys = recall::searchable(header).map(make);
                    if let Some(keys) = &keys {
                        if recall::is_worth_keeping(Field::SortKeys, keys) {
                            let fields = [(Field::SortKeys, keys.as_slice())];
                            self.memory.add_to(self.view, self.index, &fields);
                        }
                    }
                    keys
                }
                None => self.remember_for_sort(make)?,
            };
            if let Some(keys) = keys {
                return Ok(read(recall::SortKeys::read(&keys)));
            }
        }
        let keys = make(self.header()?);
        Ok(read(recall::SortKeys::read(&keys)))
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

    /// Remembers the message's header fields and the sort keys made of them; `None` if those need the whole header.
    fn remember_for_sort(&mut self, make: fn(&[u8]) -> Vec<u8>) -> Result<Option<Vec<u8>>, Skip> {
        let opened = self.open()?;
        let identity = opened.identity;
        let value = recall::make(Field::Headers, &mut opened.content)?;
        let keys = recall::searchable(&value).map(make);
        let mut fields = vec![(Field::Headers, value.as_slice())];
        fields.extend(keys.as_deref().map(|keys| (Field::SortKeys, keys)));
        fields.retain(|(field, value)| recall::is_worth_keeping(*field, value));
        if !fields.is_empty() {
            self.memory.add(self.view, self.index, identity, &fields);
        }
        Ok(keys)
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
