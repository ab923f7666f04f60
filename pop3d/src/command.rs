//! One line of a client: a command word and its argument (RFC 1939 section 3), for both programs.

/// Longest line that is looked at, in bytes. RFC 2449 asks for 255; SASL responses are longer (RFC 5034).
pub const LINE_MAX: usize = 8191;

/// A line taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// The first word in upper case; empty for an empty line.
    pub word: Vec<u8>,
    /// Everything behind the one separator after the word, without the line end: names and passwords may begin and
    /// end with blanks.
    pub argument: &'a [u8],
}

impl<'a> Command<'a> {
    /// Takes `line` apart, with or without its line end.
    pub fn parse(line: &'a [u8]) -> Self {
        let line = without_line_end(line);
        let end = line
            .iter()
            .position(|&byte| is_separator(byte))
            .unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        Self {
            word: word.to_ascii_uppercase(),
            argument: rest.get(1..).unwrap_or_default(),
        }
    }

    /// The words of the argument.
    pub fn words(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.argument
            .split(|&byte| is_separator(byte))
            .filter(|word| !word.is_empty())
    }
}

/// `line` without LF or CRLF.
pub fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_word_and_the_rest() {
        let command = Command::parse(b"user  al ice \r\n");
        assert_eq!(command.word, b"USER");
        assert_eq!(command.argument, b" al ice ");
        let command = Command::parse(b"List\t1 2\n");
        assert_eq!(command.word, b"LIST");
        assert_eq!(command.words().collect::<Vec<_>>(), [b"1", b"2"]);
        for line in [&b"\r\n"[..], b"\n", b""] {
            assert_eq!(Command::parse(line).word, b"");
        }
    }
}
