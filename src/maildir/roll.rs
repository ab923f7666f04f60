//! The messages of a view and the names of their files. A roll that comes from the folder index is read only when
//! somebody asks for a message: opening a folder and hearing that nothing changed needs their number alone, and must
//! not cost more in a larger folder.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::snapshot::Message;
use crate::sys::map::Map;

/// Names of files, each ended by NUL, at places of 32 bits.
#[derive(Default)]
pub(crate) struct Names {
    /// The folder index, which they may lie in; places below its length are in it.
    mapped: Option<Map>,
    own: Vec<u8>,
}

impl Names {
    /// Names in a file: their places are those in the file.
    pub(crate) fn mapped(map: Map) -> Self {
        Self {
            mapped: Some(map),
            own: Vec::new(),
        }
    }

    /// Names in memory.
    pub(crate) fn owned(own: Vec<u8>) -> Self {
        Self { mapped: None, own }
    }

    fn base(&self) -> usize {
        self.mapped.as_ref().map_or(0, |map| map.len())
    }

    /// Octets in here, whoever they belong to.
    pub(crate) fn len(&self) -> usize {
        self.base() + self.own.len()
    }

    /// Octets in the session's own memory.
    pub(crate) fn owned_len(&self) -> usize {
        self.own.len()
    }

    /// True for a place in the session's own memory.
    pub(crate) fn is_own(&self, place: u32) -> bool {
        usize::try_from(place).is_ok_and(|place| place >= self.base())
    }

    /// The name at a place; empty if there is none.
    pub(crate) fn get(&self, place: u32) -> &[u8] {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let rest = match (&self.mapped, place.checked_sub(self.base())) {
            (Some(map), None) => map.get(place..),
            (_, Some(place)) => self.own.get(place..),
            (None, None) => None,
        };
        let rest = rest.unwrap_or_default();
        let end = memchr::memchr(0, rest).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// True if the name at a place has this base name.
    pub(crate) fn has_base(&self, place: u32, base: &[u8]) -> bool {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let rest = match (&self.mapped, place.checked_sub(self.base())) {
            (Some(map), None) => map.get(place..),
            (_, Some(place)) => self.own.get(place..),
            (None, None) => None,
        };
        let after = rest.and_then(|rest| rest.strip_prefix(base));
        after.is_some_and(|after| matches!(after.first(), None | Some(b':' | 0)))
    }

    /// Adds a name; its place.
    pub(crate) fn add(&mut self, name: &[u8]) -> u32 {
        let place = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.own.extend_from_slice(name);
        self.own.push(0);
        place
    }

    /// Puts `name` in the place of one that is not shorter. False if the place cannot be written to.
    pub(crate) fn replace(&mut self, place: u32, name: &[u8]) -> bool {
        let base = self.base();
        let Some(at) = usize::try_from(place)
            .ok()
            .and_then(|place| place.checked_sub(base))
        else {
            return false;
        };
        if let Some(octets) = self.own.get_mut(at..at + name.len()) {
            octets.copy_from_slice(name);
        }
        if let Some(end) = self.own.get_mut(at + name.len()) {
            *end = 0;
        }
        true
    }

    /// Gives memory back that is not used.
    pub(crate) fn shrink(&mut self) {
        self.own.shrink_to_fit();
    }

    pub(crate) fn reserve(&mut self, octets: usize) {
        self.own.reserve_exact(octets);
    }
}

/// Messages and their names.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) messages: Vec<Message>,
    pub(crate) names: Names,
}

/// What is known of messages that have not been read yet.
pub(crate) struct Unread {
    /// How many.
    pub(crate) count: usize,
    /// Position of the first one without `\Seen`.
    pub(crate) first_unseen: Option<usize>,
    /// Numbers of the keywords that they have.
    pub(crate) keywords: Vec<u32>,
    /// Reads them; the result has `count` messages.
    pub(crate) read: Box<dyn Fn() -> (Held, Trust) + Send + Sync>,
}

/// How far messages that were read late are to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// They are what was promised.
    Full,
    /// They had to be found in another way: the next look at the folder must compare everything.
    Doubtful,
    /// They are lost, and the session cannot go on with this view.
    Lost,
}

/// The messages of a view; as a `Vec` of them it reads them first if need be.
#[derive(Default)]
pub(crate) struct Roll {
    held: Held,
    unread: Option<Unread>,
    /// What [`Unread::read`] gave, until it is moved to `held`.
    read: OnceLock<Held>,
    trust: AtomicU8,
}

impl Roll {
    /// A roll that is complete.
    pub(crate) fn new(held: Held) -> Self {
        Self {
            held,
            ..Self::default()
        }
    }

    /// A roll that is read when it is needed.
    pub(crate) fn unread(unread: Unread) -> Self {
        Self {
            unread: Some(unread),
            ..Self::default()
        }
    }

    /// What is known without reading, as long as nothing can have changed.
    pub(crate) fn summary(&self) -> Option<&Unread> {
        self.unread.as_ref()
    }

    /// Number of messages; reads nothing.
    pub(crate) fn count(&self) -> usize {
        match &self.unread {
            Some(unread) => unread.count,
            None => self.held.messages.len(),
        }
    }

    /// Anything but [`Trust::Full`] can only come up once the messages have been read.
    pub(crate) fn trust(&self) -> Trust {
        match self.trust.load(Ordering::Relaxed) {
            0 => Trust::Full,
            1 => Trust::Doubtful,
            _ => Trust::Lost,
        }
    }

    fn read_now(&self, unread: &Unread) -> Held {
        let (held, trust) = (unread.read)();
        let code = match trust {
            Trust::Full => 0,
            Trust::Doubtful => 1,
            Trust::Lost => 2,
        };
        self.trust.store(code, Ordering::Relaxed);
        held
    }

    /// Messages and names, read now at the latest.
    pub(crate) fn held(&self) -> &Held {
        match &self.unread {
            None => &self.held,
            Some(unread) => self.read.get_or_init(|| self.read_now(unread)),
        }
    }

    /// As [`Self::held`], to be changed.
    pub(crate) fn held_mut(&mut self) -> &mut Held {
        if let Some(unread) = self.unread.take() {
            self.held = match self.read.take() {
                Some(held) => held,
                None => self.read_now(&unread),
            };
        }
        &mut self.held
    }
}

impl Deref for Roll {
    type Target = Vec<Message>;

    fn deref(&self) -> &Vec<Message> {
        &self.held().messages
    }
}

impl DerefMut for Roll {
    fn deref_mut(&mut self) -> &mut Vec<Message> {
        &mut self.held_mut().messages
    }
}

impl<'a> IntoIterator for &'a Roll {
    type Item = &'a Message;
    type IntoIter = std::slice::Iter<'a, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Roll {
    type Item = &'a mut Message;
    type IntoIter = std::slice::IterMut<'a, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl fmt::Debug for Roll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roll")
            .field("count", &self.count())
            .field("unread", &self.unread.is_some())
            .finish()
    }
}
