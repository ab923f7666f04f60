//! From bytes to log lines: split, cut at the contract's length, level word taken off.

/// Bytes of a line that are kept; the rest of a longer line is discarded.
const LENGTH: usize = 511;

/// Collects bytes until a line is complete.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Takes `bytes` and calls `each` for every line they complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, complete) = match piece.split_last() {
                Some((b'\n', content)) => (content, true),
                _ => (piece, false),
            };
            let room = LENGTH.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(content.get(..room).unwrap_or(content));
            if complete {
                each(&self.line);
                self.line.clear();
            }
        }
    }

    /// At the end of the input: a last line without a line feed.
    pub(super) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            each(&self.line);
            self.line.clear();
        }
    }
}

const LEVELS: &[(&[u8], libc::c_int)] = &[
    (b"ERR:", libc::LOG_ERR),
    (b"WARN:", libc::LOG_WARNING),
    (b"ALERT:", libc::LOG_ALERT),
    (b"CRIT:", libc::LOG_CRIT),
    (b"DEBUG:", libc::LOG_DEBUG),
    (b"INFO:", libc::LOG_INFO),
];

/// The priority that a line's first word chooses, and the line without that word and the blanks after it.
pub(super) fn priority(line: &[u8]) -> (libc::c_int, &[u8]) {
    for (word, priority) in LEVELS {
        if let Some(rest) = line.strip_prefix(*word) {
            return (*priority, rest.trim_ascii_start());
        }
    }
    (libc::LOG_INFO, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| seen.push(line.to_vec()));
        }
        lines.finish(|line| seen.push(line.to_vec()));
        seen
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(
            split(&[b"one\ntw", b"o", b"\n\nlast"]),
            [&b"one"[..], b"two", b"", b"last"]
        );
    }

    #[test]
    fn long_lines_are_cut_and_the_next_one_is_whole() {
        let long = [&[b'x'; 400][..], &[b'y'; 400], b"\nnext\n"].concat();
        let seen = split(&[&long[..300], &long[300..]]);
        assert_eq!(seen[0].len(), LENGTH);
        assert_eq!(seen[1], b"next");
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn level_words_choose_the_priority() {
        for (line, expected, text) in [
            (&b"ERR: a"[..], libc::LOG_ERR, &b"a"[..]),
            (b"WARN:  b", libc::LOG_WARNING, b"b"),
            (b"ALERT:c", libc::LOG_ALERT, b"c"),
            (b"CRIT: d", libc::LOG_CRIT, b"d"),
            (b"DEBUG: e", libc::LOG_DEBUG, b"e"),
            (b"INFO: f", libc::LOG_INFO, b"f"),
            (b"LOGIN, user=x", libc::LOG_INFO, b"LOGIN, user=x"),
            (b"err: g", libc::LOG_INFO, b"err: g"),
        ] {
            assert_eq!(priority(line), (expected, text));
        }
    }
}
