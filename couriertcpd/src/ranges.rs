//! Networks and ranges in an access file (`makedat -cidr`): the prefix keys that together cover exactly the same
//! addresses. Keys end at whole octets (IPv4) or whole 16-bit groups (IPv6), so a /22 becomes four keys.

use std::net::IpAddr;

/// Most keys one line may become; a line that needs more is a mistake or an attack on the disk.
const LIMIT: usize = 100_000;

/// Why a line cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// Looks like a network or range but is none.
    Malformed,
    /// Would become too many keys.
    TooMany,
}

/// The first field of `line` when it has the form of a network or range, and what follows the blanks after it.
pub fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let (field, rest) = line.split_at(end);
    let rest = rest.trim_ascii_start();
    let address = |part: &[u8]| {
        !part.is_empty()
            && part
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
    };
    let separator = field.iter().position(|byte| matches!(byte, b'-' | b'/'))?;
    let (first, second) = field.split_at(separator);
    (!rest.is_empty() && address(first) && address(second.get(1..).unwrap_or_default()))
        .then_some((field, rest))
}

/// The keys that cover `field`, `ADDRESS/BITS` or `ADDRESS-ADDRESS`.
///
/// # Errors
/// [`Error`].
pub fn expand(field: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let text = std::str::from_utf8(field).map_err(|_not_text| Error::Malformed)?;
    let (first, last, family) = bounds(text).ok_or(Error::Malformed)?;
    if first > last {
        return Err(Error::Malformed);
    }
    let mut keys = Vec::new();
    let mut next = Some(first);
    while let Some(start) = next.filter(|&start| start <= last) {
        // The shortest prefix that begins here and does not reach beyond the end.
        let mut bits = 0;
        for candidate in (family.step..family.width).step_by(family.step).rev() {
            let host = u32::try_from(family.width.saturating_sub(candidate)).unwrap_or(0);
            let mask = mask(host);
            if start & mask == 0 && start | mask <= last {
                bits = host;
            } else {
                break;
            }
        }
        if keys.len() >= LIMIT {
            return Err(Error::TooMany);
        }
        keys.push(family.key(start, bits));
        next = (start | mask(bits)).checked_add(1);
    }
    Ok(keys)
}

/// The low `bits` bits.
fn mask(bits: u32) -> u128 {
    match 1_u128.checked_shl(bits) {
        Some(bit) => bit.wrapping_sub(1),
        None => u128::MAX,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Family {
    width: usize,
    step: usize,
}

const V4: Family = Family { width: 32, step: 8 };
const V6: Family = Family {
    width: 128,
    step: 16,
};

impl Family {
    fn key(self, address: u128, host_bits: u32) -> Vec<u8> {
        let host_bits = usize::try_from(host_bits).unwrap_or(0);
        let parts = self.width.saturating_sub(host_bits) / self.step;
        let unit = mask(u32::try_from(self.step).unwrap_or(0));
        let mut key = String::new();
        for index in 1..=parts.max(1) {
            let shift = self.width.saturating_sub(index.saturating_mul(self.step));
            let part = (address >> shift) & unit;
            if self == V4 {
                if index > 1 {
                    key.push('.');
                }
                key.push_str(&part.to_string());
            } else {
                key.push_str(&format!(":{part:04x}"));
            }
        }
        key.into_bytes()
    }
}

fn bounds(text: &str) -> Option<(u128, u128, Family)> {
    if let Some((address, bits)) = text.split_once('/') {
        let (address, family) = address_of(address)?;
        let bits: u32 = bits.parse().ok()?;
        let host = u32::try_from(family.width).ok()?.checked_sub(bits)?;
        let mask = mask(host);
        return Some((address & !mask, address | mask, family));
    }
    let (first, last) = text.split_once('-')?;
    let (first, family) = address_of(first)?;
    let (last, other) = address_of(last)?;
    (family == other).then_some((first, last, family))
}

fn address_of(text: &str) -> Option<(u128, Family)> {
    Some(match text.parse().ok()? {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), V4),
        IpAddr::V6(v6) => (u128::from(v6), V6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(field: &str) -> Vec<String> {
        expand(field.as_bytes())
            .unwrap()
            .into_iter()
            .map(|key| String::from_utf8(key).unwrap())
            .collect()
    }

    #[test]
    fn networks_become_the_prefixes_that_cover_them() {
        assert_eq!(
            keys("10.1.0.0/22"),
            ["10.1.0", "10.1.1", "10.1.2", "10.1.3"]
        );
        assert_eq!(keys("10.1.3.7/16"), ["10.1"]);
        assert_eq!(keys("10.0.0.0/8"), ["10"]);
        assert_eq!(keys("192.0.2.7/32"), ["192.0.2.7"]);
        assert_eq!(keys("192.0.2.6/31"), ["192.0.2.6", "192.0.2.7"]);
        assert_eq!(keys("0.0.0.0/0").len(), 256);
        assert_eq!(keys("2001:db8::/32"), [":2001:0db8"]);
        assert_eq!(
            keys("2001:db8::/47"),
            [":2001:0db8:0000", ":2001:0db8:0001"]
        );
        assert_eq!(
            keys("2001:db8::1/128"),
            [":2001:0db8:0000:0000:0000:0000:0000:0001"]
        );
    }

    #[test]
    fn ranges_are_covered_exactly() {
        assert_eq!(
            keys("10.0.0.254-10.0.2.1"),
            ["10.0.0.254", "10.0.0.255", "10.0.1", "10.0.2.0", "10.0.2.1"]
        );
        assert_eq!(
            keys("9.255.255.255-11.0.0.0"),
            ["9.255.255.255", "10", "11.0.0.0"]
        );
        assert_eq!(keys("255.255.255.255-255.255.255.255"), ["255.255.255.255"]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            "10.0.0.0/33",
            "10.1/16",
            "10.0.0.2-10.0.0.1",
            "::1-1.2.3.4",
            "a-b",
        ] {
            assert_eq!(expand(bad.as_bytes()), Err(Error::Malformed), "{bad}");
        }
        assert_eq!(expand(b"::1-ffff::"), Err(Error::TooMany));
    }

    #[test]
    fn only_lines_of_the_form_are_taken_apart() {
        assert_eq!(
            split(b"10.0.0.0/8 \tdeny,A=1 2"),
            Some((&b"10.0.0.0/8"[..], &b"deny,A=1 2"[..]))
        );
        for line in [
            &b"10.0.0\tdeny"[..],
            b"10.0.0.0/8",
            b"x/y\tdeny",
            b"/8\tdeny",
            b"*\tdeny",
        ] {
            assert_eq!(split(line), None);
        }
    }
}
