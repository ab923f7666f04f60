//! HIGHESTMODSEQ of a folder that nobody has touched, without reading its log or its messages: the log says for which
//! looks of the folder it is what the folder shows.

use std::fs::File;

use super::log::{Header, Identity, Rest};
use super::{NAME, Snapshot};
use crate::maildir::error::{Error, Result};
use crate::maildir::folder::Folder;
use crate::maildir::index::encode_stamps;
use crate::maildir::snapshot::Message;

impl Folder {
    /// HIGHESTMODSEQ of what `view` shows, for those who want nothing else of MODSEQs: `view` is not tracked by this. If
    /// the folder is as a session before left it this costs a few system calls, however large it is. 0 if MODSEQs do not
    /// last here (see [`Snapshot::has_lasting_modseqs`]).
    ///
    /// # Errors
    /// As for [`Self::track`].
    pub fn highest_modseq(&self, view: &mut Snapshot) -> Result<u64> {
        let tracked = view.modseqs.is_some();
        if !tracked {
            if let Some(highest) = self.at_rest(view)? {
                return Ok(highest);
            }
            self.track(view)?;
        }
        let highest = match view.has_lasting_modseqs() {
            true => view.highest_modseq(),
            false => 0,
        };
        if !tracked {
            view.modseqs = None;
        }
        Ok(highest)
    }

    /// The log's highest MODSEQ if the log is what `view` shows and the folder is.
    pub(super) fn at_rest(&self, view: &Snapshot) -> Result<Option<u64>> {
        let inner = &self.inner;
        let Some(stamps) = view.stamps else {
            return Ok(None);
        };
        if self.is_changed(view)? {
            return Ok(None);
        }
        // Whatever is wrong with it, it is looked at again the long way.
        let Some((file, stat)) = inner.dir.open_file(NAME).ok().flatten() else {
            return Ok(None);
        };
        let good = |file: &File| {
            let header = Header::read(file).ok()?;
            let here = Identity::of(file, inner.network).ok()?;
            let good = super::sync::is_private(&stat)
                && header.uid_validity == view.uid_validity()
                && header.identity.may_be(here);
            let rest = Rest::read(file).filter(|rest| {
                good && rest.size == u64::try_from(stat.st_size).unwrap_or(0)
                    && rest.stamps == encode_stamps(&stamps, inner.network)
            })?;
            Some(rest.highest)
        };
        Ok(good(&file))
    }

    /// Notes in the log that it is what the folder is at rest, if that is so. Failing to costs the next session a
    /// comparison.
    pub(crate) fn rest(&self, view: &mut Snapshot) {
        let inner = &self.inner;
        let (Some(modseqs), Some(stamps)) = (&view.modseqs, view.stamps) else {
            return;
        };
        let Some((device, inode, size)) = modseqs.read else {
            return;
        };
        let rest = Rest {
            stamps: encode_stamps(&stamps, inner.network),
            size,
            highest: modseqs.last,
        };
        let agreed = !view.touched
            && !modseqs.in_memory
            && modseqs.pending.is_empty()
            && modseqs.shown == modseqs.last
            && view.settled
            && view.hidden.is_none();
        if !agreed || modseqs.rest == Some(rest) {
            return;
        }
        let Some(now) = inner.now() else { return };
        let times = [
            Some(stamps.cur),
            Some(stamps.new),
            stamps.keywords,
            stamps.db,
        ];
        let old = times
            .iter()
            .flatten()
            .all(|stamp| !stamp.is_racy(now, inner.window()));
        let whole = !view
            .messages()
            .iter()
            .any(|message| message.is_gone() || Message::is_unlocated(message));
        if !old || !whole || !matches!(self.is_changed(view), Ok(false)) {
            return;
        }
        let written = inner.dir.open_for_update(NAME).and_then(|opened| {
            let ours = |stat: &nix::sys::stat::FileStat| {
                super::sync::is_private(stat) && (stat.st_dev, stat.st_ino) == (device, inode)
            };
            match opened.filter(|(_, stat)| ours(stat)) {
                Some((file, _)) => rest
                    .write(&file)
                    .map_err(|error| Error::std("write", &inner.dir.path_of(NAME), &error)),
                None => Ok(()),
            }
        });
        match written {
            Ok(()) => {
                if let Some(modseqs) = &mut view.modseqs {
                    modseqs.rest = Some(rest);
                }
            }
            Err(error) => self.warn(&error),
        }
    }
}
