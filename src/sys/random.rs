//! Bytes that nobody can guess.

use std::io;

/// Fills `bytes` from the kernel's generator. Works without opening a file, so also in a process that may not.
///
/// # Errors
/// Those of getrandom(2): ENOSYS on a kernel or filter that lacks it.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: `rest` is a writable slice of exactly the length passed.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(count) => done += count,
            Err(_negative) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
