//! Where couriertls says what went wrong: the status descriptor until the handshake is done, then the log.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use courier::sys::log::{Level, log};

/// Says things in the right place.
#[derive(Debug, Default)]
pub(crate) struct Report {
    status: Option<File>,
}

impl Report {
    /// With `-statusfd`, everything until [`Report::succeeded`] goes there.
    pub(crate) fn new(status: Option<OwnedFd>) -> Self {
        Self {
            status: status.map(File::from),
        }
    }

    pub(crate) fn fail(&mut self, text: &str) {
        match &mut self.status {
            Some(status) => {
                // A login program that is gone needs no answer.
                let _nobody_listens = writeln!(status, "{text}");
            }
            None => log(Level::Plain, format_args!("{text}")),
        }
    }

    pub(crate) fn debug(&mut self, text: &str) {
        log(Level::Debug, format_args!("{text}"));
    }

    /// Closes the status descriptor without a word, which is the sign of success.
    pub(crate) fn succeeded(&mut self) {
        self.status = None;
    }
}
