//! Header fields: splitting a header into fields, the fields that structure is made of, unfolding.

use std::borrow::Cow;

/// The fields that ENVELOPE and BODYSTRUCTURE are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// `Bcc`.
    Bcc,
    /// `Cc`.
    Cc,
    /// `Content-Description`.
    ContentDescription,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-ID`.
    ContentId,
    /// `Content-Language`.
    ContentLanguage,
    /// `Content-Location`.
    ContentLocation,
    /// `Content-MD5`.
    ContentMd5,
    /// `Content-Transfer-Encoding`.
    ContentTransferEncoding,
    /// `Content-Type`.
    ContentType,
    /// `Date`.
    Date,
    /// `From`.
    From,
    /// `In-Reply-To`.
    InReplyTo,
    /// `Message-ID`.
    MessageId,
    /// `MIME-Version`.
    MimeVersion,
    /// `Reply-To`.
    ReplyTo,
    /// `Sender`.
    Sender,
    /// `Subject`.
    Subject,
    /// `To`.
    To,
}

const NAMES: [(&[u8], Known); 19] = [
    (b"bcc", Known::Bcc),
    (b"cc", Known::Cc),
    (b"content-description", Known::ContentDescription),
    (b"content-disposition", Known::ContentDisposition),
    (b"content-id", Known::ContentId),
    (b"content-language", Known::ContentLanguage),
    (b"content-location", Known::ContentLocation),
    (b"content-md5", Known::ContentMd5),
    (b"content-transfer-encoding", Known::ContentTransferEncoding),
    (b"content-type", Known::ContentType),
    (b"date", Known::Date),
    (b"from", Known::From),
    (b"in-reply-to", Known::InReplyTo),
    (b"message-id", Known::MessageId),
    (b"mime-version", Known::MimeVersion),
    (b"reply-to", Known::ReplyTo),
    (b"sender", Known::Sender),
    (b"subject", Known::Subject),
    (b"to", Known::To),
];

impl Known {
    /// The field of this name, in any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|&(_, field)| field)
    }
}

/// Splits the first line of a field into name and the start of its value. `None` for lines that are no field: no
/// colon, or white space or control characters in the name (an mbox `From ` line). Blanks before the colon are allowed
/// (RFC 5322 section 4.5).
#[must_use]
pub fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    if name.is_empty() || name.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    Some((name, value.get(1..)?))
}

/// A field of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as spelled.
    pub name: &'a [u8],
    /// Everything behind the colon, folding included, without the last line end.
    pub value: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

/// What a header is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A field.
    Field(Field<'a>),
    /// A line that belongs to no field, with its continuations and line ends.
    Stray(&'a [u8]),
}

/// Iterates over the fields of a header, with LF or CRLF line ends. Lines that belong to no field are skipped; an empty
/// line ends the header.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `header`.
    #[must_use]
    pub fn new(header: &'a [u8]) -> Self {
        Self { rest: header }
    }

    /// Takes one line with its end off the rest.
    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(line)
    }
}

impl<'a> Fields<'a> {
    /// The next field, or line that is none.
    pub fn next_entry(&mut self) -> Option<Entry<'a>> {
        let start = self.rest;
        let line = self.line()?;
        if trim_line_end(line).is_empty() {
            self.rest = b"";
            return None;
        }
        while matches!(self.rest.first(), Some(b' ' | b'\t')) {
            self.line()?;
        }
        let raw = start.get(..start.len() - self.rest.len())?;
        // A continuation of nothing is no field, whatever it contains.
        let field = match line.first() {
            Some(b' ' | b'\t') => None,
            _ => split_field(trim_line_end(raw)),
        };
        Some(match field {
            Some((name, value)) => Entry::Field(Field { name, value, raw }),
            None => Entry::Stray(raw),
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if let Entry::Field(field) = self.next_entry()? {
                return Some(field);
            }
        }
    }
}

/// A line without its LF or CRLF.
#[must_use]
pub fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Undoes folding (RFC 5322 section 2.2.3) and trims: line ends vanish, a TAB right behind one becomes a space. The
/// result ends at a NUL and contains no line end, so that it fits an IMAP quoted string.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.split(|&byte| byte == 0).next().unwrap_or_default();
    unfold_untrimmed(value.trim_ascii())
}

/// As [`unfold`], with the blanks at both ends, which belong to the text where it was quoted.
#[must_use]
pub fn unfold_untrimmed(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.split(|&byte| byte == 0).next().unwrap_or_default();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut after_break = false;
    for &byte in value {
        match byte {
            b'\r' | b'\n' => after_break = true,
            b'\t' if after_break => {
                out.push(b' ');
                after_break = false;
            }
            _ => {
                if after_break && byte != b' ' {
                    // A bare CR or LF in the middle of the text.
                    out.push(b' ');
                }
                out.push(byte);
                after_break = false;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{Entry, Fields, Known, split_field, unfold, unfold_untrimmed};

    #[test]
    fn fields_of_a_header() {
        let header = b"From x Mon Jan  1 10:11:12 2001\nA: b\r\n c\r\nbroken line\n\tcontinued\nB :\nC: d\n\nD: e\n";
        let fields: Vec<_> = Fields::new(header)
            .map(|field| (field.name, field.value))
            .collect();
        assert_eq!(
            fields,
            [(&b"A"[..], &b" b\r\n c"[..]), (b"B", b""), (b"C", b" d")]
        );
        let raw: Vec<_> = Fields::new(b"A: b\n c\nB: d")
            .map(|field| field.raw)
            .collect();
        assert_eq!(raw, [&b"A: b\n c\n"[..], b"B: d"]);
        assert_eq!(Fields::new(b"").count(), 0);
        let mut entries = Fields::new(header);
        let stray: Vec<&[u8]> = std::iter::from_fn(|| entries.next_entry())
            .filter_map(|entry| match entry {
                Entry::Stray(raw) => Some(raw),
                Entry::Field(_) => None,
            })
            .collect();
        assert_eq!(
            stray,
            [
                &b"From x Mon Jan  1 10:11:12 2001\n"[..],
                b"broken line\n\tcontinued\n"
            ]
        );
        assert_eq!(Fields::new(b" lost continuation\nA: b").count(), 1);
    }

    #[test]
    fn names() {
        assert_eq!(Known::of(b"CONTENT-type"), Some(Known::ContentType));
        assert_eq!(Known::of(b"X-Foo"), None);
        assert_eq!(split_field(b"a b: c"), None);
        assert_eq!(split_field(b": c"), None);
    }

    #[test]
    fn unfolding() {
        assert_eq!(&*unfold(b" a\r\n b\n\tc  "), b"a b c");
        assert_eq!(&*unfold(b"a\0b"), b"a");
        assert_eq!(&*unfold(b"a\rb"), b"a b");
        assert_eq!(&*unfold_untrimmed(b" a\r\n b \0c"), b" a b ");
    }
}
