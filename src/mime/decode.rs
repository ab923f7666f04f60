//! Content transfer encodings (RFC 2045 section 6), streaming and lenient.

use crate::text::base64;

/// Longest run of blanks remembered before a line end: longer ones are content.
const BLANKS_MAX: usize = 1000;

/// Decodes a body that arrives in pieces.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64(base64::Decoder),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// A decoder for a Content-Transfer-Encoding in any case. `7bit`, `8bit`, `binary` and unknown ones pass the bytes
    /// through.
    #[must_use]
    pub fn new(encoding: &[u8]) -> Self {
        Self(if encoding.eq_ignore_ascii_case(b"base64") {
            State::Base64(base64::Decoder::default())
        } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
            State::QuotedPrintable(QuotedPrintable::default())
        } else {
            State::Identity
        })
    }

    /// Decodes a piece, appending to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(piece),
            State::Base64(decoder) => decoder.push(piece, out),
            State::QuotedPrintable(decoder) => decoder.push(piece, out),
        }
    }

    /// Ends the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => {}
            State::Base64(decoder) => decoder.finish(out),
            State::QuotedPrintable(decoder) => decoder.finish(out),
        }
    }
}

/// Quoted-printable. A `=` that begins no escape is content; blanks before a line end are dropped.
#[derive(Debug, Default)]
struct QuotedPrintable {
    /// Input not yet decided about: a possible escape, or blanks that may end the line.
    pending: Vec<u8>,
}

impl QuotedPrintable {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len());
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if self.pending.is_empty() {
                match byte {
                    b'=' | b' ' | b'\t' | b'\r' => self.pending.push(byte),
                    _ => {
                        // The common case: plain text up to the next byte that means something.
                        let run = after
                            .iter()
                            .position(|byte| matches!(byte, b'=' | b' ' | b'\t' | b'\r' | b'\n'))
                            .unwrap_or(after.len());
                        let (plain, next) = after.split_at_checked(run).unwrap_or((after, b""));
                        out.push(byte);
                        out.extend_from_slice(plain);
                        rest = next;
                    }
                }
            } else {
                self.step(byte, out);
            }
        }
    }

    /// Decides about the pending bytes, knowing the next one.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        let hex = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        match (self.pending.as_slice(), byte) {
            // A soft line break, perhaps padded.
            ([b'=', tail @ ..], b'\n') if tail.iter().all(u8::is_ascii_whitespace) => {
                self.pending.clear()
            }
            ([b'=', .., b'\r'] | [.., b'\r'], _) if byte != b'\n' => self.give_up(byte, out),
            ([b'=', b' ' | b'\t', ..] | [b'='], b' ' | b'\t' | b'\r')
                if self.pending.len() < BLANKS_MAX =>
            {
                self.pending.push(byte);
            }
            ([b'='], _) if hex(byte).is_some() => self.pending.push(byte),
            (&[b'=', high], _) => match (hex(high), hex(byte)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    self.pending.clear();
                }
                _ => self.give_up(byte, out),
            },
            ([b'=', ..], _) => self.give_up(byte, out),
            // Blanks, and a CR after them.
            (_, b'\n') => {
                let crlf = self.pending.last() == Some(&b'\r');
                self.pending.clear();
                out.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
            }
            (_, b' ' | b'\t' | b'\r') if self.pending.len() < BLANKS_MAX => self.pending.push(byte),
            _ => self.give_up(byte, out),
        }
    }

    /// The pending bytes are content after all.
    fn give_up(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.append(&mut self.pending);
        match byte {
            b'=' | b' ' | b'\t' | b'\r' => self.pending.push(byte),
            _ => out.push(byte),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        // An escape cut off by the end stays; a soft break and trailing blanks vanish.
        if !self.pending.iter().skip(1).all(u8::is_ascii_whitespace) {
            out.append(&mut self.pending);
        }
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use proptest::prelude::*;

    fn decode(encoding: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
        let mut decoder = Decoder::new(encoding);
        let mut out = Vec::new();
        for piece in pieces {
            decoder.push(piece, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn quoted_printable() {
        for (text, expected) in [
            ("J=C3=B6rg", "Jörg"),
            ("J=c3=b6rg", "Jörg"),
            ("soft=\nbreak", "softbreak"),
            ("soft=\r\nbreak", "softbreak"),
            ("soft= \t\r\nbreak", "softbreak"),
            ("trailing \t \nblank", "trailing\nblank"),
            ("trailing \r\nblank", "trailing\r\nblank"),
            ("a b\tc", "a b\tc"),
            ("1=2", "1=2"),
            ("a=ZZb", "a=ZZb"),
            ("a=4", "a=4"),
            ("a==41", "a=A"),
            ("end=", "end"),
            ("end  ", "end"),
            ("a\rb", "a\rb"),
            ("a= b", "a= b"),
        ] {
            assert_eq!(
                decode(b"Quoted-Printable", &[text.as_bytes()]),
                expected.as_bytes(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn others() {
        assert_eq!(decode(b"BASE64", &[b"aGVs", b"bG8="]), b"hello");
        assert_eq!(decode(b"x-unknown", &[b"a=3D"]), b"a=3D");
    }

    proptest! {
        #[test]
        fn pieces_decode_like_the_whole(text in "[=a-cA-F0-9 \t\r\n]{0,60}", size in 1usize..5) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(
                decode(b"quoted-printable", &pieces),
                decode(b"quoted-printable", &[text.as_bytes()])
            );
        }

        #[test]
        fn what_is_encoded_decodes(data: Vec<u8>) {
            let mut text = String::new();
            for (n, byte) in data.iter().enumerate() {
                text += &format!("={byte:02X}");
                if n % 20 == 19 {
                    text += "=\n";
                }
            }
            prop_assert_eq!(decode(b"quoted-printable", &[text.as_bytes()]), data);
        }
    }
}
