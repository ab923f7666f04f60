//! UIDs: the database, its redundant copy, and whether they agree with the files.

use super::messages::Found;
use super::{Checker, Level, Place, Repair, is, kind_of, many, need};
use crate::maildir::error::{Error, ErrorKind, Result};
use crate::maildir::lock::Lock;
use crate::maildir::uiddb::faults::{COPY_NAME, Copy, Faults, FirstLine};
use crate::maildir::uiddb::{self, NAME, UidDb};

impl Checker<'_> {
    pub(super) fn numbers(&mut self, place: &Place, found: Option<&Found>) {
        let name = &place.name;
        match place.dir.stat(NAME) {
            Ok(Some(stat)) if !is(&stat, libc::S_IFREG) => {
                let text = format!(
                    "{} where the UID database belongs; look at it and remove it",
                    kind_of(&stat)
                );
                return self.problem(name, NAME, "uiddb-type", &text);
            }
            Ok(Some(stat)) if stat.st_mode & 0o600 != 0o600 => {
                let text = "its owner cannot read and write it";
                let mode = (stat.st_mode & 0o777) | 0o600;
                self.repairable(name, NAME, "uiddb-mode", Level::Problem, text, || {
                    super::places::change_mode(&place.dir, NAME, mode)
                });
            }
            _ => {}
        }
        let faults = match Faults::of(&place.dir) {
            Ok(Some(faults)) => faults,
            Ok(None) => {
                if let Copy::Says(uid_validity, _) = uiddb::faults::copy(&place.dir) {
                    let text = format!(
                        "missing; the copy in {} still has the UIDVALIDITY {uid_validity}, the UIDs are lost",
                        super::shown(COPY_NAME)
                    );
                    self.repairable(name, NAME, "uiddb-missing", Level::Problem, &text, || {
                        rewrite(place, self.options)
                    });
                }
                return;
            }
            Err(error) => return self.problem(name, NAME, "uiddb-unreadable", &error.to_string()),
        };
        self.explain(place, &faults);
        if let Some(found) = found {
            let gone = faults
                .names
                .iter()
                .filter(|base| !found.has_base(base))
                .count();
            if gone > 0 {
                let text = format!(
                    "{} gone, as the next session will notice",
                    many(gone, "message in it is", "messages in it are")
                );
                self.note(name, NAME, "uiddb-gone", &text);
            }
        }
    }

    /// All faults of the file have one repair.
    fn explain(&mut self, place: &Place, faults: &Faults) {
        let mut texts: Vec<(&'static str, String)> = Vec::new();
        let mut hopeless = None;
        match (faults.first, faults.copy) {
            (FirstLine::Whole(uid_validity, next), copy) => {
                self.highest_validity = self.highest_validity.max(uid_validity);
                if next < faults.above {
                    texts.push((
                        "uiddb-next",
                        format!(
                            "UIDNEXT is {next}, but there is a UID {}: the next messages would get UIDs that are taken",
                            faults.above - 1
                        ),
                    ));
                }
                match copy {
                    Copy::Damaged => texts.push((
                        "uidmark",
                        "the redundant copy of UIDVALIDITY and UIDNEXT is damaged".to_owned(),
                    )),
                    Copy::Says(other, _) if other != uid_validity => texts.push((
                        "uidmark",
                        format!(
                            "the redundant copy says UIDVALIDITY {other}, the database {uid_validity}"
                        ),
                    )),
                    Copy::Says(_, mark) if mark < next.max(faults.above) => texts.push((
                        "uidmark",
                        format!("the redundant copy knows of UIDs below {mark} only"),
                    )),
                    _ => {}
                }
            }
            (FirstLine::NoNext(uid_validity), _) => texts.push((
                "uiddb-header",
                format!("the first line is damaged: UIDVALIDITY {uid_validity}, but no UIDNEXT"),
            )),
            (FirstLine::Damaged, Copy::Says(uid_validity, _)) => texts.push((
                "uiddb-header",
                format!(
                    "the first line is damaged; the redundant copy says UIDVALIDITY {uid_validity}"
                ),
            )),
            (FirstLine::Damaged, _) => {
                hopeless = Some(
                    "the first line is damaged and there is no copy of it: \
                     clients will fetch the folder anew unless the file comes back from a backup",
                );
            }
        }
        if faults.repeated_uids > 0 {
            let text = format!(
                "{} a UID that another line has; the first keeps it",
                many(faults.repeated_uids, "line has", "lines have")
            );
            texts.push(("uiddb-duplicate-uid", text));
        }
        if faults.repeated_names > 0 {
            let text = format!(
                "{} a message that another line names; it keeps its lowest UID",
                many(faults.repeated_names, "line names", "lines name")
            );
            texts.push(("uiddb-duplicate-name", text));
        }
        if faults.nonsense > 0 && hopeless.is_none() {
            let text = format!(
                "{} no sense",
                many(faults.nonsense, "line makes", "lines make")
            );
            texts.push(("uiddb-lines", text));
        }
        if faults.torn && hopeless.is_none() {
            let text = "the last line has no end: what is appended next would be lost with it";
            texts.push(("uiddb-torn", text.to_owned()));
        }
        if let Some(text) = hopeless {
            return self.problem(&place.name, NAME, "uiddb-header", text);
        }
        if texts.is_empty() {
            return;
        }
        let outcome = match self.repair {
            false => Repair::Possible,
            true => match rewrite(place, self.options) {
                Ok(()) => Repair::Done,
                Err(error) => Repair::Failed(error.to_string()),
            },
        };
        for (code, text) in texts {
            let file = if code == "uidmark" { COPY_NAME } else { NAME };
            let level = Level::Problem;
            self.report(&place.name, file, code, level, &text, outcome.clone());
        }
    }
}

/// Writes the database as the reader understands it, under the lock. Neither UIDs nor UIDVALIDITY change.
fn rewrite(place: &Place, options: &crate::maildir::Options) -> Result<()> {
    let tmp = need(place.tmp.as_ref(), &place.dir)?;
    let lock = Lock::acquire(tmp, options)?;
    match UidDb::read(&place.dir)? {
        uiddb::Found::Db(mut db) => db.write(&place.dir, tmp, &lock, options),
        uiddb::Found::NoValidity(_) => Err(Error::new(
            ErrorKind::Io,
            "replace",
            &place.dir.path_of(NAME),
        )),
    }
}
