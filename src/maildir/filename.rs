//! Names of message files: base name, flags, size; and the making of new unique ones (contract: maildir 3.1, 3.4).
//!
//! A name is `BASE[:2,FLAGS]`. The base name identifies the message for life; it ends at the first colon.

use std::cmp::Ordering;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::time::{SystemTime, UNIX_EPOCH};

use super::flags::Flags;

/// The part before the first colon.
pub(crate) fn base(name: &[u8]) -> &[u8] {
    match memchr::memchr(b':', name) {
        Some(colon) => name.get(..colon).unwrap_or(name),
        None => name,
    }
}

/// The letters after the last `:2,`; `None` without one.
fn letters(name: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::rfind(name, b":2,")?;
    name.get(at + 3..)
}

/// True if the name has a `:2,` part. Messages without one are never recent.
pub(crate) fn has_info(name: &[u8]) -> bool {
    letters(name).is_some()
}

/// The flags that a name carries; none without `:2,`.
pub(crate) fn flags(name: &[u8]) -> Flags {
    letters(name)
        .unwrap_or_default()
        .iter()
        .fold(Flags::NONE, |flags, letter| {
            flags | Flags::of_letter(*letter)
        })
}

/// The same message with other flags. Letters that are not ours (`P`, the lower-case keyword letters of other
/// servers) stay; all are sorted, each once. A foreign suffix such as `:1,x` is replaced.
pub(crate) fn with_flags(name: &[u8], flags: Flags) -> Vec<u8> {
    let mut info: Vec<u8> = letters(name)
        .unwrap_or_default()
        .iter()
        .copied()
        .filter(|letter| Flags::of_letter(*letter).is_empty())
        .collect();
    info.extend(
        Flags::LETTERS
            .iter()
            .filter(|(flag, _)| flags.contains(*flag))
            .map(|(_, letter)| *letter),
    );
    info.sort_unstable();
    info.dedup();
    let mut result = base(name).to_vec();
    result.extend_from_slice(b":2,");
    result.extend_from_slice(&info);
    result
}

/// The last `,S=digits` of a base name as (start, end, value).
fn size_field(base: &[u8]) -> Option<(usize, usize, u64)> {
    let mut end_of_search = base.len();
    while let Some(start) = memchr::memmem::rfind(base.get(..end_of_search)?, b",S=") {
        let digits = base.get(start + 3..)?;
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length > 0 {
            let value = digits.iter().take(length).try_fold(0_u64, |value, digit| {
                value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            });
            return Some((start, start + 3 + length, value?));
        }
        end_of_search = start;
    }
    None
}

/// The name of a message in `cur`.
pub(crate) fn of_message(base: &[u8], flags: Flags) -> Vec<u8> {
    with_flags(&[base, b":2,"].concat(), flags)
}

/// The size in bytes, as on disk, that the name promises. It is a hint: whoever made the file wrote it.
pub(crate) fn stored_size(name: &[u8]) -> Option<u64> {
    size_field(base(name)).map(|(_, _, size)| size)
}

/// The base name without its `,S=n`: what is compared when a file is looked for that somebody renamed.
pub(crate) fn identity(name: &[u8]) -> Vec<u8> {
    let base = base(name);
    match size_field(base) {
        Some((start, end, _)) => {
            let mut identity = base.get(..start).unwrap_or_default().to_vec();
            identity.extend_from_slice(base.get(end..).unwrap_or_default());
            identity
        }
        None => base.to_vec(),
    }
}

/// The order in which unnumbered messages get their UIDs: leading decimal number, then bytes, both up to the
/// first colon. A name that does not start with a digit counts as 0.
pub(crate) fn order(a: &[u8], b: &[u8]) -> Ordering {
    leading_number(a)
        .cmp(&leading_number(b))
        .then_with(|| base(a).cmp(base(b)))
}

/// The decimal number that a name begins with, usually the time of delivery; 0 without one.
pub(crate) fn leading_number(name: &[u8]) -> u64 {
    name.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u64, |value, digit| {
            value
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
}

/// False for base names that the line-based files of a folder cannot hold: empty, with a line feed, or starting
/// with white space (readers skip it). Such files get a new name before they are numbered.
pub(crate) fn storable(base: &[u8]) -> bool {
    match base.first() {
        None => false,
        Some(first) => {
            !first.is_ascii_whitespace()
                && *first != 0x0b
                && memchr::memchr2(b'\n', b'\r', base).is_none()
        }
    }
}

/// A name for a new file in `tmp`, from which the final name of a message can be derived.
#[derive(Debug, Clone)]
pub(crate) struct TmpName {
    seconds: u64,
    microseconds: u32,
    pid: u32,
    unique: String,
    host: String,
}

/// Distinguishes the files that this process makes within one microsecond.
static COUNTER: AtomicU64 = AtomicU64::new(0);

impl TmpName {
    /// A name never used before by this process. `purpose` is empty for messages, else a word that ends up after
    /// the underscore, so that the original's habits of naming are kept.
    pub(crate) fn new(purpose: &str, host: &str) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let count = COUNTER.fetch_add(1, Atomic::Relaxed);
        Self {
            seconds: now.as_secs(),
            microseconds: now.subsec_micros(),
            pid: std::process::id(),
            unique: format!("{purpose}{count}"),
            host: host.to_owned(),
        }
    }

    /// A new name like this one, for making many at a time.
    pub(crate) fn another(&self) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let count = COUNTER.fetch_add(1, Atomic::Relaxed);
        Self {
            seconds: now.as_secs(),
            microseconds: now.subsec_micros(),
            pid: self.pid,
            unique: count.to_string(),
            host: self.host.clone(),
        }
    }

    /// The name in `tmp`.
    pub(crate) fn tmp(&self) -> Vec<u8> {
        let Self {
            seconds,
            microseconds,
            pid,
            unique,
            host,
        } = self;
        format!("{seconds}.M{microseconds}P{pid}_{unique}.{host}").into_bytes()
    }

    /// The base name of the message once it is complete: with device, inode and size.
    pub(crate) fn message(&self, device: u64, inode: u64, size: u64) -> Vec<u8> {
        let Self {
            seconds,
            microseconds,
            pid,
            unique,
            host,
        } = self;
        let mut name = Vec::with_capacity(96);
        // Writing to a Vec cannot fail.
        let _ = write!(
            name,
            "{seconds}.M{microseconds}P{pid}V{device:016X}I{inode:016X}_{unique}.{host},S={size}"
        );
        name
    }
}

/// Makes a host name fit for file names: `/` and `:` by their octal codes as is the custom, anything odd dropped.
pub(crate) fn host_part(host: &[u8]) -> String {
    let mut part = String::new();
    for byte in host {
        match byte {
            b'/' => part.push_str("\\057"),
            b':' => part.push_str("\\072"),
            0x21..=0x7e => part.push(char::from(*byte)),
            _ => {}
        }
    }
    if part.is_empty() {
        part.push_str("localhost");
    }
    part.truncate(64);
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_taken_apart_as_the_contract_says() {
        let name = b"1795395414.M640917P28004V00FEI00.vm,S=18:2,S";
        assert_eq!(base(name), b"1795395414.M640917P28004V00FEI00.vm,S=18");
        assert_eq!(flags(name), Flags::SEEN);
        assert_eq!(stored_size(name), Some(18));
        assert_eq!(base(b"900.foo.bar"), b"900.foo.bar");
        assert_eq!(flags(b"x:1,S"), Flags::NONE);
        assert_eq!(flags(b"x:1,a:2,ST"), Flags::SEEN | Flags::DELETED);
        assert_eq!(stored_size(b"x,S=1,W=2,S=33,S=:2,S=9"), Some(33));
        assert_eq!(stored_size(b"x,S=99999999999999999999999"), None);
        assert_eq!(identity(b"x,S=12,W=5:2,"), b"x,W=5");
    }

    #[test]
    fn names_made_together_differ() {
        let first = TmpName::new("", "host");
        let mut names: Vec<Vec<u8>> = (0..50).map(|_| first.another().message(1, 2, 3)).collect();
        names.push(first.message(1, 2, 3));
        names.push(TmpName::new("", "host").message(1, 2, 3));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 52);
    }

    #[test]
    fn flag_changes_keep_foreign_letters_and_sort() {
        assert_eq!(
            with_flags(b"x:2,PSa", Flags::SEEN | Flags::FLAGGED),
            b"x:2,FPSa"
        );
        assert_eq!(with_flags(b"x:1,z", Flags::SEEN), b"x:2,S");
        assert_eq!(with_flags(b"x", Flags::NONE), b"x:2,");
        assert_eq!(with_flags(b"x:2,TSRFD", Flags::ALL), b"x:2,DFRST");
    }

    #[test]
    fn unnumbered_messages_sort_by_leading_number_then_bytes() {
        let mut names: Vec<&[u8]> = vec![
            b"1000.b",
            b"99.z:2,S",
            b"cur",
            b"1000.a:2,",
            b"99999999999999999999.a",
        ];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(
            names,
            [
                &b"cur"[..],
                b"99.z:2,S",
                b"1000.a:2,",
                b"1000.b",
                b"99999999999999999999.a"
            ]
        );
    }

    proptest! {
        #[test]
        fn changing_flags_keeps_the_base_name_and_reads_back(
            name in proptest::collection::vec(1_u8..=255, 0..40), bits in 0_u8..32
        ) {
            let wanted = Flags::LETTERS.iter().enumerate().fold(Flags::NONE, |flags, (bit, (flag, _))| {
                if bits & (1 << bit) == 0 { flags } else { flags | *flag }
            });
            let changed = with_flags(&name, wanted);
            prop_assert_eq!(base(&changed), base(&name));
            prop_assert_eq!(flags(&changed), wanted);
            let _ = (stored_size(&name), identity(&name), order(&name, &changed));
        }
    }
}
