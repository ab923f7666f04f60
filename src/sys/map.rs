//! Files mapped into memory for reading: what is not looked at costs nothing, and what is looked at belongs to the
//! page cache and not to the process.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// The octets of a file. Only for files that are replaced by rename and never changed in place: one that somebody
/// cuts short all the same ends the process that reads beyond its end (SIGBUS).
#[derive(Debug)]
pub struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages are only read, through shared references, and stay mapped until the value is dropped.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `len` octets of `file`, which must have as many.
    ///
    /// # Errors
    /// Those of mmap(2), ENOMEM above all; `InvalidInput` for no octets.
    pub fn new(file: &File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(start.cast::<u8>()) {
            Some(start) => Ok(Self { start, len }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` octets from `start` on are mapped readable until `self` is dropped, and nobody writes to
        // them: the mapping is read-only, and the file is replaced and not changed (see the type).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and no reference into it outlives `self`. It cannot fail then.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}

/// Gives memory that was freed back to the system: after work that needed much of it for a moment.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches nothing but the allocator's own free memory, and the allocator does its own locking.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_the_file_that_was_opened_even_when_its_name_is_given_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"first").unwrap();
        let map = Map::new(&File::open(&path).unwrap(), 5).unwrap();
        std::fs::write(dir.path().join("b"), b"other").unwrap();
        std::fs::rename(dir.path().join("b"), &path).unwrap();
        assert_eq!(&*map, b"first");
        assert!(Map::new(&File::open(&path).unwrap(), 0).is_err());
        drop(map);
        trim();
    }
}
