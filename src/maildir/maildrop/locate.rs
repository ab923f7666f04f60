//! Messages that others have renamed during the session.

use std::collections::HashMap;
use std::ops::Range;
use std::time::SystemTime;

use nix::errno::Errno;

use super::{Maildrop, WINDOW, name};
use crate::maildir::error::{Error, Result};
use crate::maildir::filename;

impl Maildrop {
    /// Finds out what a message is called now, and with it all others: who renames one often renames many. False if
    /// it is not there any more.
    ///
    /// # Errors
    /// Those of listing; `EAGAIN` when others renamed without a pause, so that nobody can say.
    pub(super) fn locate(&mut self, index: usize) -> Result<bool> {
        for _ in 0..5 {
            let before = self.cur.stamp()?;
            if self.located_at == Some(before) && !self.cur.is_on_network() {
                // All of it is known, and the message was not among it.
                return Ok(false);
            }
            let (mut names, mut places) = (Vec::new(), Vec::new());
            self.cur.list(|entry| {
                let start = names.len();
                names.extend_from_slice(entry.name);
                places.push(start..names.len());
            })?;
            let stable = before == self.cur.stamp()?;
            let old = self.file_name(index).to_vec();
            let found = self.take_names(names, &places, index);
            if found && self.file_name(index) == old {
                // It is listed, and yet was not found by this name: this host remembers that there was none.
                self.cur.look_again(&old);
            }
            self.located_at =
                (stable && !before.is_racy(SystemTime::now(), WINDOW)).then_some(before);
            if found {
                return Ok(true);
            }
            if stable {
                return Ok(false);
            }
        }
        // A listing beside renames can miss what is there.
        Err(Error::io("list", self.cur.path(), Errno::EAGAIN))
    }

    /// Gives every message the name that it has in `names`, at one of `places`; true if the one at `index` has one.
    fn take_names(&mut self, mut names: Vec<u8>, places: &[Range<usize>], index: usize) -> bool {
        let listing = names.clone();
        let by_base: HashMap<&[u8], &Range<usize>> = places
            .iter()
            .filter_map(|place| Some((filename::base(listing.get(place.clone())?), place)))
            .collect();
        let mut found = false;
        for (number, message) in self.messages.iter_mut().enumerate() {
            let old = name(&self.names, message);
            let place = match by_base.get(filename::base(old)) {
                Some(&place) => {
                    found |= number == index;
                    place.clone()
                }
                None => {
                    let start = names.len();
                    names.extend_from_slice(old);
                    start..names.len()
                }
            };
            if let (Ok(start), Ok(length)) =
                (u32::try_from(place.start), u32::try_from(place.len()))
            {
                (message.start, message.length) = (start, length);
            }
        }
        self.names = names;
        found
    }
}
