//! How a worker and a helper program talk: frames over a socket pair, which is the helper's standard input.
//!
//! A frame is its length (32 bits, little-endian, of what follows), a byte that says what it is, and fields, each its
//! length (32 bits, all ones for "no value") and its bytes. Both sides treat what they read as foreign: a helper may
//! have been taken over by the server it speaks to.

use std::fmt;

/// Longest frame, without its length.
const FRAME_MAX: usize = 1 << 20;
/// Most fields of a frame.
const FIELDS_MAX: usize = 4096;
/// Stands for a field that has no value.
const ABSENT: u32 = u32::MAX;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the helper, first of all: settings, names and values by turns. Never answered.
    Open,
    /// To the helper: a statement and the values of its parameters. Answered by rows and one end.
    Query,
    /// To the helper: base, filter, most entries, then names of attributes. Answered by rows and one end.
    Search,
    /// To the helper: a name and a password to try. Answered by one end.
    Bind,
    /// To the helper: a name, a password or none to do it as that name, then attributes and new values by turns.
    /// Answered by one end.
    Modify,
    /// From the helper: one row, its columns; or one entry: its name, then names of attributes and values by turns.
    Row,
    /// From the helper: it is done; how many rows that concerned, in decimal.
    Done,
    /// From the helper: the server said no to this; why.
    Refused,
    /// From the helper: the server cannot be asked; why.
    Unavailable,
}

impl Kind {
    const ALL: [(Self, u8); 9] = [
        (Self::Open, b'O'),
        (Self::Query, b'Q'),
        (Self::Search, b'S'),
        (Self::Bind, b'B'),
        (Self::Modify, b'M'),
        (Self::Row, b'R'),
        (Self::Done, b'D'),
        (Self::Refused, b'N'),
        (Self::Unavailable, b'U'),
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|&(_, known)| known == byte)
            .map(|(kind, _)| kind)
    }

    fn byte(self) -> u8 {
        Self::ALL
            .into_iter()
            .find(|&(kind, _)| kind == self)
            .map_or(b'U', |(_, byte)| byte)
    }
}

/// One field; `None` is SQL's NULL, or a password that is not given.
pub type Field = Option<Vec<u8>>;

/// One message.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub fields: Vec<Field>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Fields hold passwords.
        write!(f, "{:?} of {} fields", self.kind, self.fields.len())
    }
}

/// The frame would be longer than any reader accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// What the bytes at hand are.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of a frame.
    Incomplete,
    /// A frame, and how many bytes it took.
    Frame(Frame, usize),
    /// Nothing that could become a frame.
    Broken,
}

impl Frame {
    /// With fields that all have values.
    pub fn new<'a>(kind: Kind, fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            kind,
            fields: fields
                .into_iter()
                .map(|field| Some(field.to_vec()))
                .collect(),
        }
    }

    /// The value of field `index`, if it is there and has one.
    pub fn field(&self, index: usize) -> Option<&[u8]> {
        self.fields.get(index)?.as_deref()
    }

    /// As bytes.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut bytes = vec![0; 4];
        bytes.push(self.kind.byte());
        if self.fields.len() > FIELDS_MAX {
            return Err(TooLong);
        }
        for field in &self.fields {
            match field {
                Some(value) => {
                    let length = u32::try_from(value.len()).map_err(|_| TooLong)?;
                    bytes.extend_from_slice(&length.to_le_bytes());
                    bytes.extend_from_slice(value);
                }
                None => bytes.extend_from_slice(&ABSENT.to_le_bytes()),
            }
            if bytes.len() > FRAME_MAX {
                return Err(TooLong);
            }
        }
        let length = u32::try_from(bytes.len().saturating_sub(4)).map_err(|_| TooLong)?;
        for (place, byte) in bytes.iter_mut().zip(length.to_le_bytes()) {
            *place = byte;
        }
        Ok(bytes)
    }

    /// Reads the first frame of `bytes`.
    pub fn decode(bytes: &[u8]) -> Decoded {
        let Some((length, rest)) = number(bytes) else {
            return Decoded::Incomplete;
        };
        let Some(length) = usize::try_from(length).ok().filter(|&n| n <= FRAME_MAX) else {
            return Decoded::Broken;
        };
        let Some(body) = rest.get(..length) else {
            return Decoded::Incomplete;
        };
        match decode_body(body) {
            Some(frame) => Decoded::Frame(frame, length + 4),
            None => Decoded::Broken,
        }
    }
}

fn decode_body(body: &[u8]) -> Option<Frame> {
    let (&kind, mut rest) = body.split_first()?;
    let kind = Kind::from_byte(kind)?;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        if fields.len() >= FIELDS_MAX {
            return None;
        }
        let (length, behind) = number(rest)?;
        if length == ABSENT {
            fields.push(None);
            rest = behind;
            continue;
        }
        let (value, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
        fields.push(Some(value.to_vec()));
        rest = behind;
    }
    Some(Frame { kind, fields })
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were() {
        for (kind, _) in Kind::ALL {
            let frame = Frame {
                kind,
                fields: vec![Some(b"a".to_vec()), None, Some(Vec::new())],
            };
            let bytes = frame.encode().unwrap();
            for cut in 0..bytes.len() {
                assert_eq!(Frame::decode(&bytes[..cut]), Decoded::Incomplete);
            }
            let length = bytes.len();
            let two = [bytes.as_slice(), b"more"].concat();
            assert_eq!(Frame::decode(&two), Decoded::Frame(frame, length));
        }
    }

    #[test]
    fn what_is_no_frame_is_not_waited_for() {
        assert_eq!(Frame::decode(&[255, 255, 255, 255]), Decoded::Broken);
        assert_eq!(Frame::decode(&[0, 0, 0, 0]), Decoded::Broken);
        assert_eq!(Frame::decode(&[1, 0, 0, 0, b'?']), Decoded::Broken);
        // A field that reaches beyond its frame.
        let long = [6, 0, 0, 0, b'R', 2, 0, 0, 0, b'x', b'y'];
        assert_eq!(Frame::decode(&long), Decoded::Broken);
        assert_eq!(
            Frame::new(Kind::Row, [vec![0; FRAME_MAX].as_slice()]).encode(),
            Err(TooLong)
        );
    }
}
