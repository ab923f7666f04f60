//! The calls into libgdbm. Nothing here keeps a pointer that libgdbm returned beyond the call, and nothing that
//! libgdbm is given outlives the borrow it came from.

use std::ffi::{CStr, CString};
use std::io;
use std::os::raw::{c_char, c_int, c_uint};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use gdbm_sys::{GDBM_FILE, datum};

use crate::Error;

// Flags and options of gdbm.h (1.23) that gdbm-sys lacks.
const GDBM_NOMMAP: c_uint = 0x80;
const GDBM_CLOEXEC: c_uint = 0x100;
const GDBM_GETMMAP: c_int = 9;

/// Block size of new files: what Courier's makedat ends up with.
const BLOCK_SIZE: c_int = 4096;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For reading, by lseek and read.
    Read,
    /// For reading, through a mapping.
    ReadMapped,
    /// Emptied and for writing.
    Create,
}

/// Outcome of looking for, or storing, one record.
pub(crate) enum Fetch {
    /// Here it is (empty after storing).
    Found(Vec<u8>),
    /// There is none; when inserting: the key is taken.
    Absent,
    /// Larger than a datum can say.
    TooLong,
    /// libgdbm's reason.
    Failed(String),
}

/// One open `GDBM_FILE`.
#[derive(Debug)]
pub(crate) struct Handle(NonNull<gdbm_sys::_bindgen_ty_1>);

impl Handle {
    pub(crate) fn open(path: &Path, mode: Mode) -> Result<Self, Error> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_nul| Error::Unrepresentable(path.to_owned()))?;
        let flags = match mode {
            Mode::Read => gdbm_sys::GDBM_READER | GDBM_NOMMAP,
            Mode::ReadMapped => gdbm_sys::GDBM_READER,
            Mode::Create => gdbm_sys::GDBM_NEWDB | GDBM_NOMMAP,
        } | GDBM_CLOEXEC;
        // The flags are small positive constants.
        let flags = c_int::try_from(flags).unwrap_or_default();
        clear_error();
        // SAFETY: `name` is a NUL-terminated string that lives until the call returns; libgdbm only reads it,
        // although its old prototype does not say const. No fatal function is given.
        let file = unsafe {
            gdbm_sys::gdbm_open(name.as_ptr().cast_mut(), BLOCK_SIZE, flags, 0o600, None)
        };
        // Taken at once, before another call can change it.
        let system = io::Error::last_os_error();
        let Some(file) = NonNull::new(file) else {
            return Err(match last_error() {
                // Only for these does errno say what happened.
                gdbm_sys::GDBM_FILE_OPEN_ERROR
                | gdbm_sys::GDBM_CANT_BE_READER
                | gdbm_sys::GDBM_CANT_BE_WRITER => Error::Open(path.to_owned(), system),
                _ => Error::Database(path.to_owned(), last_error_text()),
            });
        };
        Ok(Self(file))
    }

    fn file(&self) -> GDBM_FILE {
        self.0.as_ptr()
    }

    /// Whether reading goes through a memory mapping.
    pub(crate) fn is_mapped(&self) -> bool {
        let mut value: c_int = 0;
        let size = c_int::try_from(size_of::<c_int>()).unwrap_or_default();
        // SAFETY: the handle is open, and `value` is an int of the size passed, which is what GDBM_GETMMAP writes.
        let result =
            unsafe { gdbm_sys::gdbm_setopt(self.file(), GDBM_GETMMAP, &raw mut value, size) };
        result == 0 && value != 0
    }

    pub(crate) fn fetch(&self, key: &[u8]) -> Fetch {
        let Some(key) = borrowed(key) else {
            return Fetch::TooLong;
        };
        clear_error();
        // SAFETY: the handle is open; `key` points at a slice that outlives the call and that libgdbm only reads.
        owned(unsafe { gdbm_sys::gdbm_fetch(self.file(), key) })
    }

    pub(crate) fn first_key(&self) -> Fetch {
        clear_error();
        // SAFETY: the handle is open.
        owned(unsafe { gdbm_sys::gdbm_firstkey(self.file()) })
    }

    pub(crate) fn next_key(&self, key: &[u8]) -> Fetch {
        let Some(key) = borrowed(key) else {
            return Fetch::TooLong;
        };
        clear_error();
        // SAFETY: as in `fetch`.
        owned(unsafe { gdbm_sys::gdbm_nextkey(self.file(), key) })
    }

    pub(crate) fn store(&mut self, key: &[u8], value: &[u8], replace: bool) -> Fetch {
        let (Some(key), Some(value)) = (borrowed(key), borrowed(value)) else {
            return Fetch::TooLong;
        };
        let how = if replace {
            gdbm_sys::GDBM_REPLACE
        } else {
            gdbm_sys::GDBM_INSERT
        };
        let how = c_int::try_from(how).unwrap_or_default();
        clear_error();
        // SAFETY: the handle is open for writing; both datums point at slices that outlive the call, and libgdbm
        // copies them into its blocks without changing them.
        match unsafe { gdbm_sys::gdbm_store(self.file(), key, value, how) } {
            0 => Fetch::Found(Vec::new()),
            1 => Fetch::Absent,
            _ => Fetch::Failed(last_error_text()),
        }
    }

    /// Writes everything out; the reason when that fails.
    pub(crate) fn sync(&mut self) -> Result<(), String> {
        clear_error();
        // SAFETY: the handle is open.
        unsafe { gdbm_sys::gdbm_sync(self.file()) };
        // gdbm-sys declares no result, but every failure sets the error number.
        if last_error() == gdbm_sys::GDBM_NO_ERROR {
            Ok(())
        } else {
            Err(last_error_text())
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open and is not used again.
        unsafe { gdbm_sys::gdbm_close(self.file()) }
    }
}

/// A datum for `bytes`, valid as long as they are; None when they are too many for its int.
fn borrowed(bytes: &[u8]) -> Option<datum> {
    Some(datum {
        dptr: bytes.as_ptr().cast::<c_char>().cast_mut(),
        dsize: c_int::try_from(bytes.len()).ok()?,
    })
}

/// Copies what libgdbm allocated and frees it.
fn owned(data: datum) -> Fetch {
    if data.dptr.is_null() {
        return match last_error() {
            gdbm_sys::GDBM_ITEM_NOT_FOUND | gdbm_sys::GDBM_NO_ERROR => Fetch::Absent,
            _ => Fetch::Failed(last_error_text()),
        };
    }
    let length = usize::try_from(data.dsize).unwrap_or_default();
    // SAFETY: libgdbm returned a malloc'ed block of `dsize` bytes that is now ours.
    let copy = unsafe { std::slice::from_raw_parts(data.dptr.cast::<u8>(), length) }.to_vec();
    // SAFETY: the block came from malloc, is ours, and `copy` does not refer to it.
    unsafe { libc::free(data.dptr.cast()) };
    Fetch::Found(copy)
}

fn clear_error() {
    // SAFETY: libgdbm returns the address of the calling thread's error number.
    let location = unsafe { gdbm_sys::gdbm_errno_location() };
    // SAFETY: that address is valid for the life of the thread and nothing else borrows it.
    unsafe { location.write(0) };
}

fn last_error() -> c_uint {
    // SAFETY: libgdbm returns the address of the calling thread's error number.
    let location = unsafe { gdbm_sys::gdbm_errno_location() };
    // SAFETY: that address is valid for the life of the thread.
    let number = unsafe { location.read() };
    c_uint::try_from(number).unwrap_or(c_uint::MAX)
}

fn last_error_text() -> String {
    let number = c_int::try_from(last_error()).unwrap_or_default();
    // SAFETY: returns a constant string for every number, also unknown ones.
    let text = unsafe { gdbm_sys::gdbm_strerror(number) };
    if text.is_null() {
        return format!("database error {number}");
    }
    // SAFETY: not null, NUL-terminated and static.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}
