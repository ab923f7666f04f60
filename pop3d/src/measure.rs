//! A message's size as sent, and whether its headers need UTF-8 (contract: pop3d §5, §6.5).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use courier::maildir::{Measure, StoredMessage};
use courier::mime::Scanner;

/// Bytes read at a time.
pub const PIECE: usize = 64 * 1024;

/// Reads `message` once, by way of `piece`, and a second time only if it holds bytes above 0x7f, to see whether they
/// are in a header.
///
/// # Errors
/// Those of reading.
pub fn measure(message: &StoredMessage, piece: &mut [u8]) -> io::Result<Measure> {
    let mut file = &message.file;
    let (mut bytes, mut lines) = (0_u64, 0_u64);
    let mut last = 0_u8;
    let mut eight_bit = false;
    // A message never changes: its end is where its size says.
    while bytes < message.size {
        let count = read(file, piece)?;
        let read = piece.get(..count).unwrap_or_default();
        let Some(&end) = read.last() else {
            break;
        };
        last = end;
        bytes = bytes.saturating_add(count as u64);
        lines = lines.saturating_add(memchr::memchr_iter(b'\n', read).count() as u64);
        eight_bit |= !read.is_ascii();
    }
    let mut utf8 = false;
    if eight_bit {
        file.seek(SeekFrom::Start(0))?;
        let mut scanner = Scanner::new();
        loop {
            let count = read(file, piece)?;
            if count == 0 {
                break;
            }
            scanner.push(piece.get(..count).unwrap_or_default());
        }
        utf8 = scanner.finish().has_eight_bit_header();
    }
    Ok(Measure::new(bytes, lines, last == b'\n', utf8))
}

fn read(mut file: &File, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn of(text: &[u8]) -> (u64, bool) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let message = StoredMessage {
            file,
            size: text.len() as u64,
        };
        let measure = measure(&message, &mut [0; 7]).unwrap();
        (measure.size, measure.utf8)
    }

    #[test]
    fn the_size_is_that_of_what_is_sent() {
        assert_eq!(of(b"A: b\n\nx\n"), (11, false));
        assert_eq!(of(b"A: b\n\nx"), (11, false));
        assert_eq!(of(b"A: b\r\n\r\n"), (10, false));
        assert_eq!(of(b""), (2, false));
    }

    #[test]
    fn eight_bit_counts_in_headers_only() {
        assert!(!of("A: b\n\nj\u{fc}rgen\n".as_bytes()).1);
        assert!(of("Subject: j\u{fc}rgen\n\nx\n".as_bytes()).1);
        assert!(of(b"Subject: \xfc\n\nx\n").1);
        let part = "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Description: \u{fc}\n\nx\n--b--\n";
        assert!(of(part.as_bytes()).1);
        let nested = "Mime-Version: 1.0\nContent-Type: message/rfc822\n\nSubject: \u{fc}\n\nx\n";
        assert!(of(nested.as_bytes()).1);
        let body = "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\u{fc}\n--b--\n";
        assert!(!of(body.as_bytes()).1);
    }
}
