//! AUTH_MKHOMEDIR_SKEL: a home directory that does not exist yet is made from a skeleton, as root, before the
//! privileges go (contract: login §8). Everything is made for root alone and given to the account from the inside
//! out, the home directory itself last, so that nobody can swap a path under our hands.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown, symlink,
};
use std::path::Path;

use crate::sys::log::{Level, log};
use crate::sys::process::Identity;

/// Deepest directory that is copied; deeper ones are left out with a log line.
const DEPTH_MAX: u32 = 16;

/// Makes `home` from `skeleton` if `home` does not exist and `skeleton` is a directory. What goes wrong is logged
/// and stops neither the rest of the copy nor the login.
pub fn make_home(skeleton: &Path, home: &Path, owner: &Identity) {
    match std::fs::symlink_metadata(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        _ => return,
    }
    match std::fs::metadata(skeleton) {
        Ok(metadata) if metadata.is_dir() => copy_directory(skeleton, home, &metadata, owner, 0),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn(skeleton, &error),
    }
}

fn warn(path: &Path, error: &io::Error) {
    log(
        Level::Warning,
        format_args!("{}: {error}!!", path.display()),
    );
}

fn copy_directory(from: &Path, to: &Path, metadata: &Metadata, owner: &Identity, depth: u32) {
    if depth > DEPTH_MAX {
        warn(from, &io::Error::from(io::ErrorKind::InvalidInput));
        return;
    }
    // Fails if somebody else made it meanwhile, in which case it is not ours to fill.
    if let Err(error) = DirBuilder::new().mode(0o700).create(to) {
        warn(to, &error);
        return;
    }
    match std::fs::read_dir(from) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => {
                        copy_entry(&entry.path(), &to.join(entry.file_name()), owner, depth);
                    }
                    Err(error) => warn(from, &error),
                }
            }
        }
        Err(error) => warn(from, &error),
    }
    let given = File::open(to).and_then(|directory| give(&directory, metadata, owner));
    if let Err(error) = given {
        warn(to, &error);
    }
}

fn copy_entry(from: &Path, to: &Path, owner: &Identity, depth: u32) {
    let copied = std::fs::symlink_metadata(from).and_then(|metadata| {
        let kind = metadata.file_type();
        if kind.is_dir() {
            copy_directory(from, to, &metadata, owner, depth.saturating_add(1));
            Ok(())
        } else if kind.is_file() {
            copy_file(from, to, &metadata, owner)
        } else if kind.is_symlink() {
            symlink(std::fs::read_link(from)?, to)?;
            lchown(to, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
        } else {
            Ok(())
        }
    });
    if let Err(error) = copied {
        warn(to, &error);
    }
}

fn copy_file(from: &Path, to: &Path, metadata: &Metadata, owner: &Identity) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut source, &mut target)?;
    give(&target, metadata, owner)
}

/// Owner first, then the mode: a change of owner clears set-id bits, and they are not copied either.
fn give(file: &File, like: &Metadata, owner: &Identity) -> io::Result<()> {
    fchown(file, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
    file.set_permissions(Permissions::from_mode(like.mode() & 0o1777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Identity {
        Identity {
            uid: nix::unistd::geteuid(),
            gid: nix::unistd::getegid(),
            groups: None,
        }
    }

    #[test]
    fn a_missing_home_is_copied_with_modes_and_links() {
        let directory = tempfile::tempdir().unwrap();
        let skeleton = directory.path().join("skel");
        std::fs::create_dir_all(skeleton.join("Maildir/cur")).unwrap();
        std::fs::write(skeleton.join("Maildir/welcome"), "hello").unwrap();
        std::fs::set_permissions(
            skeleton.join("Maildir/welcome"),
            Permissions::from_mode(0o640),
        )
        .unwrap();
        symlink("Maildir", skeleton.join("mail")).unwrap();
        std::fs::set_permissions(&skeleton, Permissions::from_mode(0o711)).unwrap();
        let home = directory.path().join("home");
        make_home(&skeleton, &home, &ourselves());
        assert_eq!(
            std::fs::read(home.join("Maildir/welcome")).unwrap(),
            b"hello"
        );
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&home.join("Maildir/welcome")), 0o640);
        assert_eq!(mode(&home), 0o711);
        assert_eq!(
            std::fs::read_link(home.join("mail")).unwrap(),
            Path::new("Maildir")
        );
        assert!(home.join("Maildir/cur").is_dir());
    }

    #[test]
    fn an_existing_home_and_a_missing_parent_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let skeleton = directory.path().join("skel");
        std::fs::create_dir(&skeleton).unwrap();
        std::fs::write(skeleton.join("file"), "x").unwrap();
        let home = directory.path().join("home");
        std::fs::create_dir(&home).unwrap();
        make_home(&skeleton, &home, &ourselves());
        assert!(!home.join("file").exists());
        make_home(&skeleton, &directory.path().join("a/b"), &ourselves());
        assert!(!directory.path().join("a").exists());
    }
}
