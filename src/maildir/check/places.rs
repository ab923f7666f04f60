//! The directories of a folder: that they are there, whose they are, and who can get at them.

use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use super::{Checker, Level, Place, is, kind_of};
use crate::maildir::error::Result;
use crate::maildir::files::Dir;
use crate::maildir::name::FolderName;

/// Tells a folder from a maildir of its own.
pub(super) const MARKER: &[u8] = b"maildirfolder";

impl Checker<'_> {
    /// Looks at the folder's directory, its three parts and its marker; makes what is missing.
    pub(super) fn places(&mut self, name: &FolderName, dir: Dir) -> Place {
        self.directory(name, &dir, b"");
        let tmp = self.part(name, &dir, b"tmp");
        let new = self.part(name, &dir, b"new");
        let cur = self.part(name, &dir, b"cur");
        self.marker(name, &dir);
        Place {
            name: name.clone(),
            dir,
            tmp,
            new,
            cur,
        }
    }

    fn part(&mut self, name: &FolderName, dir: &Dir, part: &'static [u8]) -> Option<Dir> {
        match dir.stat(part) {
            Ok(None) => {
                self.repairable(
                    name,
                    part,
                    "missing",
                    Level::Problem,
                    "the directory is missing, so the folder cannot be used",
                    || dir.mkdir(part, 0o700),
                );
            }
            Ok(Some(stat)) if is(&stat, libc::S_IFDIR) || is(&stat, libc::S_IFLNK) => {}
            Ok(Some(stat)) => {
                let text = format!("{} where a directory belongs", kind_of(&stat));
                self.problem(name, part, "not-a-directory", &text);
                return None;
            }
            Err(error) => {
                self.problem(name, part, "unreadable", &error.to_string());
                return None;
            }
        }
        match dir.open_dir(part) {
            Ok(opened) => {
                self.directory(name, dir, part);
                Some(opened)
            }
            // Reported as missing just now.
            Err(_) if !self.repair && dir.stat(part).is_ok_and(|stat| stat.is_none()) => None,
            Err(error) => {
                self.problem(name, part, "unreadable", &error.to_string());
                None
            }
        }
    }

    /// Owner and mode of a directory: `part` of the folder, or the folder itself.
    fn directory(&mut self, name: &FolderName, dir: &Dir, part: &[u8]) {
        let at = if part.is_empty() {
            b".".as_slice()
        } else {
            part
        };
        let stat = match dir.stat(at) {
            Ok(Some(stat)) if is(&stat, libc::S_IFDIR) => stat,
            // A link leads to somebody else's directory, which is not ours to judge.
            Ok(_) => return,
            Err(error) => return self.problem(name, part, "unreadable", &error.to_string()),
        };
        if stat.st_uid != self.owner {
            let text = format!(
                "belongs to user {}, the maildir to user {}",
                stat.st_uid, self.owner
            );
            self.problem(name, part, "owner", &text);
        }
        let mode = stat.st_mode & 0o7777;
        let wanted = (mode | 0o700) & !0o002;
        if mode != wanted {
            let text = match mode & 0o002 {
                0 => format!("mode {mode:04o}: its owner cannot use it"),
                _ => format!("mode {mode:04o}: everybody can put files into it and remove them"),
            };
            self.repairable(name, part, "mode", Level::Problem, &text, || {
                change_mode(dir, at, wanted)
            });
        }
    }

    fn marker(&mut self, name: &FolderName, dir: &Dir) {
        match (name.is_inbox(), dir.stat(MARKER)) {
            (false, Ok(None)) => {
                let text =
                    "missing: other software takes the folder for a maildir with a quota of its own";
                self.repairable(name, MARKER, "marker", Level::Problem, text, || {
                    dir.create(MARKER, 0o600).map(drop)
                });
            }
            (true, Ok(Some(_))) => self.problem(
                name,
                MARKER,
                "marker",
                "makes other software take the maildir for a folder of its parent directory; remove it unless it is one",
            ),
            (_, Err(error)) => self.problem(name, MARKER, "unreadable", &error.to_string()),
            _ => {}
        }
    }
}

/// Gives `name` this mode. The caller has seen that it is no link.
pub(super) fn change_mode(dir: &Dir, name: &[u8], mode: u32) -> Result<()> {
    fchmodat(
        dir,
        name,
        Mode::from_bits_truncate(mode),
        FchmodatFlags::FollowSymlink,
    )
    .map_err(|errno| dir.error("chmod", name, errno))
}
