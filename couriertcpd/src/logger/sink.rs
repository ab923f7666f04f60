//! Where log lines go.

use std::ffi::{CStr, CString};
use std::io::Write;

use super::lines::priority;

/// Syslog or our own standard error, and the starter's while it waits.
#[derive(Debug)]
pub(super) struct Sink {
    /// Syslog tag, and what precedes the lines on standard error.
    name: &'static CStr,
    to_stderr: bool,
    echo: bool,
}

impl Sink {
    /// Connects to syslog unless lines go to standard error.
    pub(super) fn open(name: &CStr, facility: libc::c_int, to_stderr: bool) -> Self {
        // One per process, and openlog wants it to stay.
        let name: &'static CStr = Box::leak(name.to_owned().into_boxed_c_str());
        if !to_stderr {
            crate::sys::open_syslog(name, facility);
        }
        Self {
            name,
            to_stderr,
            echo: false,
        }
    }

    /// Whether lines are also shown on standard error.
    pub(super) fn echo(&mut self, on: bool) {
        self.echo = on;
    }

    /// Logs one line with its level word. Control bytes become `.`: no line can forge another one.
    pub(super) fn line(&self, line: &[u8]) {
        let (priority, text) = priority(line);
        let clean: Vec<u8> = text
            .iter()
            .map(|&byte| match byte {
                b'\t' => byte,
                0..0x20 | 0x7f => b'.',
                _ => byte,
            })
            .collect();
        if self.to_stderr {
            show(&[self.name.to_bytes(), b": ", &clean, b"\n"].concat());
        } else {
            // Whoever starts a server wants to hear of trouble; most of that has no level.
            let trouble = !line.starts_with(b"INFO:") && !line.starts_with(b"DEBUG:");
            if self.echo && trouble {
                show(&[&clean[..], b"\n"].concat());
            }
            // NUL has been replaced with the other control bytes.
            if let Ok(text) = CString::new(clean) {
                crate::sys::syslog(priority, &text);
            }
        }
    }
}

fn show(line: &[u8]) {
    // The log's reader is gone: there is nowhere to say so.
    let _ = std::io::stderr().lock().write_all(line);
}
