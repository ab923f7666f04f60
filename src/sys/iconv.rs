//! Character sets that the C library knows, for mail in those that `encoding_rs` does not: to UTF-8 only, and only
//! names from a list of ours: a name makes glibc load a module, and must not come from a message. The other
//! direction, where glibc's faults of the past were, is never used.

use std::ffi::CStr;
use std::fmt;

use nix::errno::Errno;

/// Bytes of a cut-off character that are kept for the next piece; no character of any set is longer.
const CARRY_MAX: usize = 32;

/// A conversion to UTF-8 in progress.
pub struct Converter {
    descriptor: libc::iconv_t,
    /// The start of a character whose end has not come yet.
    carry: Vec<u8>,
}

impl fmt::Debug for Converter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Converter").finish_non_exhaustive()
    }
}

/// What a run of the library's conversion stopped at.
enum Stop {
    /// Everything was converted.
    Done,
    /// The output is full.
    Full,
    /// The input ends within a character.
    CutOff,
    /// The next byte begins no character.
    Wrong,
}

impl Converter {
    /// Opens the conversion from the set that the C library calls `name`; `None` if it does not have it, or cannot
    /// load it.
    #[must_use]
    pub fn new(name: &'static CStr) -> Option<Self> {
        if !super::library::loadable() {
            return None;
        }
        // SAFETY: both names are strings that end in NUL and live for ever.
        let descriptor = unsafe { libc::iconv_open(c"UTF-8".as_ptr(), name.as_ptr()) };
        // The error value is (iconv_t) -1.
        (descriptor as isize != -1).then_some(Self {
            descriptor,
            carry: Vec::new(),
        })
    }

    /// Converts a piece, appending to `out`. What begins no character becomes U+FFFD. `last` ends the text: a
    /// character cut off there becomes one, too, and the next piece begins a new text.
    pub fn push(&mut self, bytes: &[u8], last: bool, out: &mut String) {
        let joined;
        let mut rest = bytes;
        if !self.carry.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(bytes);
            joined = carry;
            rest = &joined;
        }
        let mut buffer = [0_u8; 1024];
        while !rest.is_empty() {
            let (stop, read, written) = self.step(rest, &mut buffer);
            append(out, buffer.get(..written).unwrap_or_default());
            rest = rest.get(read..).unwrap_or_default();
            match stop {
                Stop::Done => break,
                // Room for a character was not enough: no set of the list does that.
                Stop::Full if read == 0 && written == 0 => break,
                Stop::Full => {}
                Stop::CutOff if !last && rest.len() <= CARRY_MAX => {
                    self.carry = rest.to_vec();
                    break;
                }
                Stop::CutOff | Stop::Wrong => {
                    out.push('\u{fffd}');
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
        if last {
            self.reset(out);
        }
    }

    fn step(&mut self, input: &[u8], buffer: &mut [u8]) -> (Stop, usize, usize) {
        let mut from = input.as_ptr().cast_mut().cast::<libc::c_char>();
        let mut left = input.len();
        let mut to = buffer.as_mut_ptr().cast::<libc::c_char>();
        let mut room = buffer.len();
        // SAFETY: the descriptor is open; the pointers and counts describe `input`, which the library only reads (its
        // parameter is not const for historical reasons), and `buffer`, which is ours to write.
        let result = unsafe {
            libc::iconv(
                self.descriptor,
                &raw mut from,
                &raw mut left,
                &raw mut to,
                &raw mut room,
            )
        };
        let stop = if result == usize::MAX {
            match Errno::last() {
                Errno::E2BIG => Stop::Full,
                Errno::EINVAL => Stop::CutOff,
                _ => Stop::Wrong,
            }
        } else {
            Stop::Done
        };
        let read = input.len().saturating_sub(left);
        (stop, read, buffer.len().saturating_sub(room))
    }

    /// Back to the initial shift state; what the set still holds back (a character that might have been combined)
    /// comes out.
    fn reset(&mut self, out: &mut String) {
        let mut buffer = [0_u8; 64];
        let mut to = buffer.as_mut_ptr().cast::<libc::c_char>();
        let mut room = buffer.len();
        // SAFETY: without input the call writes at most `room` bytes to `buffer`.
        unsafe {
            libc::iconv(
                self.descriptor,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                &raw mut to,
                &raw mut room,
            );
        }
        // SAFETY: without input and output the call only drops what state is left.
        unsafe {
            libc::iconv(
                self.descriptor,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            );
        }
        let written = buffer.len().saturating_sub(room);
        append(out, buffer.get(..written).unwrap_or_default());
    }
}

/// The library writes UTF-8; it is checked all the same.
fn append(out: &mut String, bytes: &[u8]) {
    out.push_str(&String::from_utf8_lossy(bytes));
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open and closed nowhere else.
        unsafe { libc::iconv_close(self.descriptor) };
    }
}

#[cfg(test)]
mod tests {
    use super::Converter;

    #[test]
    fn pieces_convert_like_the_whole() {
        // Part of every C library with converters at all.
        let Some(mut converter) = Converter::new(c"UTF-32LE") else {
            return;
        };
        let text: Vec<u8> = "a\u{e4}\u{1f600}z"
            .chars()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect();
        for size in 1..=text.len() {
            let mut out = String::new();
            for piece in text.chunks(size) {
                converter.push(piece, false, &mut out);
            }
            converter.push(b"", true, &mut out);
            assert_eq!(out, "a\u{e4}\u{1f600}z", "{size}");
        }
    }

    #[test]
    fn what_is_wrong_or_cut_off_shows() {
        let Some(mut converter) = Converter::new(c"UTF-32LE") else {
            return;
        };
        let mut out = String::new();
        converter.push(b"a\0\0\0\xff\xff\xff\xff", false, &mut out);
        converter.push(b"b\0\0\0c\0", true, &mut out);
        assert!(out.starts_with('a') && out.contains('\u{fffd}'), "{out:?}");
        // Whatever came before, a new text begins afresh.
        out.clear();
        converter.push(b"z\0\0\0", true, &mut out);
        assert_eq!(out, "z");
        assert!(Converter::new(c"NO-SUCH-SET").is_none());
    }
}
