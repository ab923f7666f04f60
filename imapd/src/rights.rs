//! Rights on the wire: the letters of RFC 2086 and RFC 4314 as the original writes them (contract: imapd 16).

use courier::maildir::{Flags, Keep, Right, Rights};

/// What the obsolete `d` means.
const DELETE: &[u8] = b"etx";
/// Letters that clients may give: those with a function, `p`, and the obsolete `d`. `k` of RFC 4314 is our `c`.
const KNOWN: &[u8] = b"acdeiklprstwx";

/// The rights that a client names; `None` if a letter is not known.
pub fn parse(text: &[u8]) -> Option<Rights> {
    let mut letters = Vec::with_capacity(text.len());
    for letter in text {
        match letter {
            b'd' => letters.extend_from_slice(DELETE),
            b'k' => letters.push(b'c'),
            letter if KNOWN.contains(letter) => letters.push(*letter),
            _ => return None,
        }
    }
    Some(Rights::new(&letters))
}

/// All rights; `e`, `t` and `x` together are shown as `d`, at the place of `e`.
pub fn full(rights: &Rights) -> Vec<u8> {
    let together = rights.has_all(DELETE);
    rights
        .letters()
        .iter()
        .filter_map(|letter| match letter {
            b'e' if together => Some(b'd'),
            b't' | b'x' if together => None,
            letter => Some(*letter),
        })
        .collect()
}

/// As [`full`], for clients that know RFC 2086 only: `e`, `t` and `x` are not shown alone.
pub fn old(rights: &Rights) -> Vec<u8> {
    let mut letters = full(rights);
    letters.retain(|letter| !DELETE.contains(letter));
    letters
}

/// The flags that may be set and cleared with these rights.
pub fn flags(rights: &Rights) -> Flags {
    let mut flags = Flags::NONE;
    if rights.has(Right::Write) {
        flags |= Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT;
    }
    if rights.has(Right::Seen) {
        flags |= Flags::SEEN;
    }
    if rights.has(Right::Trash) {
        flags |= Flags::DELETED;
    }
    flags
}

/// What a message keeps that is put into a mailbox with these rights.
pub fn keep(rights: &Rights) -> Keep {
    Keep {
        flags: flags(rights),
        keywords: rights.has(Right::Write),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_obsolete_letter_stands_for_three() {
        let shown = |letters: &[u8]| {
            let rights = Rights::new(letters);
            (
                String::from_utf8_lossy(&full(&rights)).into_owned(),
                String::from_utf8_lossy(&old(&rights)).into_owned(),
            )
        };
        assert_eq!(shown(b"aceilrstwx"), ("acdilrsw".into(), "acdilrsw".into()));
        assert_eq!(shown(b"aelrst"), ("aelrst".into(), "alrs".into()));
        assert_eq!(parse(b"dlr").unwrap().letters(), b"elrtx");
        assert_eq!(parse(b"kl").unwrap().letters(), b"cl");
        assert_eq!(parse(b"lq"), None);
    }
}
