//! What a long search does besides: it looks whether it is still wanted, and says that it goes on.

use std::time::{Duration, Instant};

use crate::receive::Input;
use crate::session::End;
use crate::writer::Writer;

/// Silence after which a client is told that the search goes on.
const PROGRESS: Duration = Duration::from_secs(10);

/// How often a long search looks for signals and for a client that is gone.
const LOOK: Duration = Duration::from_millis(200);

/// Octets searched before the clock is asked.
const STRIDE: usize = 128 * 1024;

/// When was what done last.
pub(super) struct Clock {
    look: Instant,
    word: Instant,
    octets: usize,
}

impl Clock {
    /// A search begins.
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self {
            look: now,
            word: now,
            octets: 0,
        }
    }
}

/// A search in progress, at one of its messages.
pub(super) struct Watch<'a> {
    pub(super) clock: &'a mut Clock,
    pub(super) input: &'a mut Input,
    pub(super) out: &'a mut Writer,
    pub(super) tag: &'a [u8],
    /// Messages that have been tried.
    pub(super) done: usize,
    /// Messages that there are.
    pub(super) total: usize,
}

impl Watch<'_> {
    /// So much has been searched.
    ///
    /// # Errors
    /// The search must end: the client is gone, or a signal asks for the end.
    pub(super) fn searched(&mut self, octets: usize) -> Result<(), End> {
        self.clock.octets = self.clock.octets.saturating_add(octets);
        if self.clock.octets < STRIDE {
            return Ok(());
        }
        self.clock.octets = 0;
        self.look()
    }

    /// Looks, if it is time to.
    ///
    /// # Errors
    /// As [`Self::searched`].
    pub(super) fn look(&mut self) -> Result<(), End> {
        if self.clock.look.elapsed() < LOOK {
            return Ok(());
        }
        self.clock.look = Instant::now();
        if self.input.signalled() {
            return Err(End::Signalled);
        }
        self.out.look()?;
        if self.clock.word.elapsed() >= PROGRESS {
            self.clock.word = Instant::now();
            self.put_progress()?;
        }
        Ok(())
    }

    /// `* OK [INPROGRESS ("tag" 20 100)] …` (RFC 9585): the client sees that something happens, and we see a client
    /// that is gone.
    fn put_progress(&mut self) -> Result<(), End> {
        self.out.put(b"* OK [INPROGRESS (");
        self.out.string(self.tag, false);
        let (done, total) = (self.done, self.total);
        self.out
            .text(format_args!(" {done} {total})] Searching\r\n"));
        self.out.flush()?;
        Ok(())
    }
}
