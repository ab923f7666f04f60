//! The order of messages (contract: pop3d 6.1).

use std::cmp::Ordering;

/// A number by which base names of the same leading number are ordered as by [`base_order`], where it differs: their
/// bytes behind that number. 0 if that number is none, or is written with zeros in front, which come first.
pub(super) fn order_key(base: &[u8]) -> u128 {
    let digits = base.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 18 || base.first() == Some(&b'0') {
        return 0;
    }
    let behind = base.iter().skip(digits).chain(Some(&b':'));
    // What follows the colon does not count: equal so far means a look at the whole names.
    behind
        .chain(std::iter::repeat(&0x80))
        .take(16)
        .fold(0, |key, byte| key << 8 | u128::from(byte ^ 0x80))
}

/// The original's order of base names (contract: pop3d 6.1): bytes are signed, and the `:` behind the base counts.
pub(super) fn base_order(a: &[u8], b: &[u8]) -> Ordering {
    let both = a.len().min(b.len());
    let (start, other) = (a.get(..both), b.get(..both));
    if start == other {
        return match (a.get(both), b.get(both)) {
            (None, None) => Ordering::Equal,
            (next, other) => {
                let signed = |byte: Option<&u8>| byte.copied().unwrap_or(b':') ^ 0x80;
                signed(next).cmp(&signed(other)).then(a.len().cmp(&b.len()))
            }
        };
    }
    let differing = start
        .unwrap_or_default()
        .iter()
        .zip(other.unwrap_or_default())
        .find(|(a, b)| a != b);
    differing.map_or(Ordering::Equal, |(a, b)| (a ^ 0x80).cmp(&(b ^ 0x80)))
}
