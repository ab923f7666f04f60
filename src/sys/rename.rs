//! Renaming that never overwrites, in the kernel's own words: not every C library has the call.

use std::os::fd::{AsFd, AsRawFd};

use nix::NixPath;
use nix::errno::Errno;

/// Renames `name` in the directory `from` to `new` in `to` unless that exists.
///
/// # Errors
/// Those of renameat2(2); EINVAL, ENOSYS or EOPNOTSUPP where the kernel or the file system does not know the flag.
pub fn exclusively(from: &impl AsFd, name: &[u8], to: &impl AsFd, new: &[u8]) -> Result<(), Errno> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    let result = name.with_nix_path(|name| {
        new.with_nix_path(|new| {
            // SAFETY: both names end in NUL and outlive the call, which only reads them; the descriptors are open.
            unsafe {
                libc::syscall(
                    libc::SYS_renameat2,
                    from,
                    name.as_ptr(),
                    to,
                    new.as_ptr(),
                    libc::RENAME_NOREPLACE,
                )
            }
        })
    })??;
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_exists_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let opened = fs::File::open(directory.path()).unwrap();
        for name in ["a", "b"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let rename = |name: &[u8], new: &[u8]| exclusively(&opened, name, &opened, new);
        match rename(b"a", b"b") {
            // The file system of this directory cannot do it.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => return,
            result => assert_eq!(result, Err(Errno::EEXIST)),
        }
        assert_eq!(rename(b"a", b"c"), Ok(()));
        assert_eq!(fs::read(directory.path().join("c")).unwrap(), b"a");
        assert_eq!(fs::read(directory.path().join("b")).unwrap(), b"b");
        assert_eq!(rename(b"a", b"d"), Err(Errno::ENOENT));
        assert_eq!(rename(b"c\0", b"d"), Err(Errno::EINVAL));
    }
}
