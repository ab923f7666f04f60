//! A message on the wire: CRLF line ends, dots doubled, a line end where the last one is missing (RFC 1939
//! section 3; contract: pop3d §4.4), as a whole or its header and first lines.

use crate::wire::{Gone, Output};

/// How much of a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// RETR.
    Whole,
    /// TOP: the header, the blank line, and this many lines of the body.
    Lines(u64),
}

/// Takes a message's stored bytes piece by piece.
#[derive(Debug)]
pub struct Sending {
    extent: Extent,
    /// Still before the blank line.
    in_header: bool,
    /// Nothing of the present line has been seen.
    line_start: bool,
    /// All of the present line so far is one CR.
    only_cr: bool,
    /// Lines of the body so far.
    lines: u64,
    done: bool,
    /// Stored bytes taken.
    taken: u64,
}

impl Sending {
    /// Begins a message.
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            in_header: true,
            line_start: true,
            only_cr: false,
            lines: 0,
            done: false,
            taken: 0,
        }
    }

    /// Stored bytes that were sent.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// True when no more of the message is wanted.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Sends the next bytes of the message.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn push(&mut self, bytes: &[u8], output: &mut Output<'_>) -> Result<(), Gone> {
        if self.extent == Extent::Whole {
            return self.push_whole(bytes, output);
        }
        let mut rest = bytes;
        while !rest.is_empty() && !self.done {
            if self.line_start && rest.first() == Some(&b'.') {
                output.put(b".")?;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.only_cr = self.line_start && rest == b"\r";
                self.line_start = false;
                self.taken = self.taken.saturating_add(rest.len() as u64);
                return output.put(rest);
            };
            let (line, after) = rest.split_at(end);
            output.put(line)?;
            output.put(b"\r\n")?;
            self.taken = self.taken.saturating_add(end as u64).saturating_add(1);
            let blank = match line {
                b"" => self.line_start || self.only_cr,
                b"\r" => self.line_start,
                _ => false,
            };
            self.end_line(blank);
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// As [`Sending::push`] where nothing is counted but the bytes.
    fn push_whole(&mut self, bytes: &[u8], output: &mut Output<'_>) -> Result<(), Gone> {
        output.put_with(|out| {
            // Enough for lines of any usual length; more of them cost another allocation.
            out.reserve(bytes.len().saturating_add(bytes.len() / 16));
            let (mut start, mut line_start) = (0, self.line_start);
            for end in memchr::memchr_iter(b'\n', bytes) {
                let line = bytes.get(start..end).unwrap_or_default();
                if line_start && line.first() == Some(&b'.') {
                    out.push(b'.');
                }
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
                start = end.saturating_add(1);
                line_start = true;
            }
            let rest = bytes.get(start..).unwrap_or_default();
            if line_start && rest.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(rest);
            self.line_start = line_start && rest.is_empty();
        })?;
        self.taken = self.taken.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn end_line(&mut self, blank: bool) {
        self.line_start = true;
        self.only_cr = false;
        if self.in_header {
            self.in_header = !blank;
        } else {
            self.lines = self.lines.saturating_add(1);
        }
        if let Extent::Lines(limit) = self.extent {
            self.done = !self.in_header && self.lines >= limit;
        }
    }

    /// Ends the message: finishes its last line, adds the blank line of a header that is all there is, and the dot.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn finish(mut self, output: &mut Output<'_>) -> Result<(), Gone> {
        if !self.line_start || self.taken == 0 {
            output.put(b"\r\n")?;
            let was_empty = self.taken == 0;
            self.end_line(was_empty || self.only_cr);
        }
        if self.in_header && self.extent != Extent::Whole {
            output.put(b"\r\n")?;
        }
        output.put(b".\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// What is sent for `text` in pieces of `size` bytes.
    fn sent(text: &str, extent: Extent, size: usize) -> (String, u64) {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut output = Output::new(server.as_fd());
        let mut sending = Sending::new(extent);
        for piece in text.as_bytes().chunks(size) {
            if !sending.is_done() {
                sending.push(piece, &mut output).unwrap();
            }
        }
        let taken = sending.taken();
        sending.finish(&mut output).unwrap();
        output.flush().unwrap();
        drop(server);
        let mut sent = String::new();
        client.read_to_string(&mut sent).unwrap();
        (sent, taken)
    }

    #[track_caller]
    fn check(text: &str, extent: Extent, expected: &str) {
        for size in 1..=text.len().max(1) {
            assert_eq!(sent(text, extent, size).0, expected, "pieces of {size}");
        }
    }

    #[test]
    fn line_ends_and_dots() {
        let whole = Extent::Whole;
        check("A: b\n\nx\n", whole, "A: b\r\n\r\nx\r\n.\r\n");
        check("A: b\n\nx", whole, "A: b\r\n\r\nx\r\n.\r\n");
        check("", whole, "\r\n.\r\n");
        check("\n", whole, "\r\n.\r\n");
        check(".\n..\n.", whole, "..\r\n...\r\n..\r\n.\r\n");
        check("a\r\n\r\nb\r", whole, "a\r\r\n\r\r\nb\r\r\n.\r\n");
    }

    #[test]
    fn top_counts_lines_of_the_body() {
        let text = "A: b\nC: d\n\n1\n.2\n\n4";
        check(text, Extent::Lines(0), "A: b\r\nC: d\r\n\r\n.\r\n");
        check(text, Extent::Lines(1), "A: b\r\nC: d\r\n\r\n1\r\n.\r\n");
        check(
            text,
            Extent::Lines(2),
            "A: b\r\nC: d\r\n\r\n1\r\n..2\r\n.\r\n",
        );
        let all = "A: b\r\nC: d\r\n\r\n1\r\n..2\r\n\r\n4\r\n.\r\n";
        check(text, Extent::Lines(4), all);
        check(text, Extent::Lines(u64::MAX), all);
        check(
            "A: b\r\n\r\nx\r\n",
            Extent::Lines(0),
            "A: b\r\r\n\r\r\n.\r\n",
        );
        check("\nx\n", Extent::Lines(0), "\r\n.\r\n");
        // The blank line is always sent.
        check("A: b\n", Extent::Lines(3), "A: b\r\n\r\n.\r\n");
        check("A: b", Extent::Lines(3), "A: b\r\n\r\n.\r\n");
        check("", Extent::Lines(3), "\r\n.\r\n");
    }

    #[test]
    fn only_what_was_sent_is_counted() {
        assert_eq!(sent("A: b\n\n1\n2\n", Extent::Lines(0), 100).1, 6);
        assert_eq!(sent("A: b\n\n1\n2\n", Extent::Whole, 100).1, 10);
    }
}
