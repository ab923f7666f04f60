//! Asking for a password on a terminal without showing it.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Switches the echo of a terminal off until dropped.
#[derive(Debug)]
pub struct NoEcho<'a> {
    terminal: BorrowedFd<'a>,
    before: libc::termios,
}

impl<'a> NoEcho<'a> {
    /// `None` when `terminal` is not a terminal.
    pub fn on(terminal: BorrowedFd<'a>) -> Option<Self> {
        let mut before = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: `before` has room for what tcgetattr writes.
        let result = unsafe { libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) };
        if result != 0 {
            return None;
        }
        // SAFETY: tcgetattr succeeded, so it has written all of it.
        let before = unsafe { before.assume_init() };
        let mut silent = before;
        silent.c_lflag &= !libc::ECHO;
        // SAFETY: `silent` is a valid termios structure.
        unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const silent) };
        Some(Self { terminal, before })
    }
}

impl Drop for NoEcho<'_> {
    fn drop(&mut self) {
        // SAFETY: `before` is what tcgetattr gave.
        unsafe {
            libc::tcsetattr(
                self.terminal.as_raw_fd(),
                libc::TCSANOW,
                &raw const self.before,
            )
        };
    }
}
