//! Directory listings in large buffers: one system call for thousands of names, and no allocation per name.
//! The names arrive as the kernel wrote them, so a folder of a million messages costs its bytes and no more.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Bytes asked of the kernel per call in a directory that has proved large: about 1,500 message names.
const BUFFER: usize = 128 * 1024;
/// Bytes asked for first. Most directories a session looks at are nearly empty, and clearing the large buffer for
/// those costs a login more than the listing.
const FIRST: usize = 4 * 1024;

/// What the directory says an entry is, without a stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// The file system does not tell; ask with a stat where it matters.
    Unknown,
    /// A FIFO, socket or device.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The name, without NUL; never empty, never containing `/`.
    pub name: &'a [u8],
    /// The inode number, which costs nothing here.
    pub inode: u64,
    /// The type as the directory gives it.
    pub kind: Kind,
}

/// Calls `each` for every entry but `.` and `..` of the directory that `dir` was freshly opened on, in the
/// kernel's order. Entries that change while this runs may be missed or seen twice: callers compare the
/// directory's times before and after.
///
/// # Errors
/// Those of getdents64(2); ENOENT when the directory itself has been removed.
pub fn list<F: AsFd>(dir: &F, mut each: impl FnMut(Entry<'_>)) -> io::Result<()> {
    let mut buffer = vec![0_u8; FIRST];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`, which lives across the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                dir.as_fd().as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        let filled = match Errno::result(result) {
            Ok(0) => return Ok(()),
            Ok(filled) => usize::try_from(filled).unwrap_or(0),
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let mut rest = buffer.get(..filled).unwrap_or_default();
        while let Some((entry, length)) = parse(rest) {
            if entry.name != b"." && entry.name != b".." {
                each(entry);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        if buffer.len() < BUFFER && filled > FIRST / 2 {
            buffer = vec![0_u8; BUFFER];
        }
    }
}

/// Reads the `linux_dirent64` at the start of `bytes`; also returns its length.
fn parse(bytes: &[u8]) -> Option<(Entry<'_>, usize)> {
    let inode = u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    let length = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
    let kind = match *bytes.get(18)? {
        libc::DT_REG => Kind::File,
        libc::DT_DIR => Kind::Directory,
        libc::DT_LNK => Kind::Link,
        libc::DT_UNKNOWN => Kind::Unknown,
        _ => Kind::Other,
    };
    let name = CStr::from_bytes_until_nul(bytes.get(19..length)?).ok()?;
    Some((
        Entry {
            name: name.to_bytes(),
            inode,
            kind,
        },
        length,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_a_large_directory_is_seen_once_with_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..3000 {
            std::fs::write(dir.path().join(format!("{number:0100}")), b"").unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let opened = std::fs::File::open(dir.path()).unwrap();
        let mut names = Vec::new();
        list(&opened, |entry| {
            names.push((entry.name.to_vec(), entry.kind));
        })
        .unwrap();
        assert_eq!(names.len(), 3002);
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        names.dedup();
        assert_eq!(names.len(), 3002);
        let kind = |name: &[u8]| names.iter().find(|entry| entry.0 == name).unwrap().1;
        assert!(matches!(kind(b"sub"), Kind::Directory | Kind::Unknown));
        assert!(matches!(kind(b"link"), Kind::Link | Kind::Unknown));
    }
}
