//! SORT and UID SORT (RFC 5256, RFC 5957, RFC 5267).
//!
//! What a message is compared by becomes one string of octets: ordering those orders the messages, whatever the
//! criteria. All of them lie in one buffer; of each message only its header is read, and for SIZE its length.

use courier::maildir::cache::Kind;
use courier::mime::address;
use courier::mime::header::{Fields, Known};
use courier::text::{charset, collate, rfc2047};

use super::results;
use super::search::{self, Candidate, Skip};
use crate::attempt;
use crate::digest::SortRow;
use crate::grammar::cursor::SyntaxError;
use crate::grammar::sort::{Criterion, Sort, SortKey};
use crate::reply::{Code, Reply};
use crate::session::{Executed, Session, malformed};

/// Octets of a field that are looked at for its first address.
const ADDRESS_MAX: usize = 8192;

/// Octets of a text that order it; longer ones are told apart by a checksum.
const TEXT_MAX: usize = 512;

/// A message and its place in the buffer of keys.
struct Row {
    /// The first octets of the key, which decide most comparisons.
    prefix: u64,
    index: usize,
    start: usize,
    length: usize,
}

/// The first eight octets of a key as a number that orders like them, zeros behind a shorter one.
fn prefix(key: &[u8]) -> u64 {
    let mut octets = [0; 8];
    let length = key.len().min(octets.len());
    if let (Some(to), Some(from)) = (octets.get_mut(..length), key.get(..length)) {
        to.copy_from_slice(from);
    }
    u64::from_be_bytes(octets)
}

/// SORT.
///
/// # Errors
/// The client is gone, or a signal asks for the end.
pub fn execute(session: &mut Session, sort: Result<Sort, SyntaxError>) -> Executed {
    attempt!(allowed(session));
    let sort = attempt!(sort.map_err(malformed));
    attempt!(session.selected());
    let saves = sort.results.is_some_and(|results| results.save);
    if let Err(reply) = check_charset(session, &sort.charset) {
        return Ok(results::refused(session, saves, reply));
    }
    let criteria = distinct(&sort.criteria);
    let mut keys = Vec::new();
    let mut rows = Vec::new();
    let pass = search::pass(session, Some(&sort.charset), &sort.key, |candidate| {
        let start = keys.len();
        append(candidate, &criteria, &mut keys)?;
        rows.push(Row {
            prefix: prefix(keys.get(start..).unwrap_or_default()),
            index: candidate.index(),
            start,
            length: keys.len() - start,
        });
        Ok(())
    })?;
    let key = |row: &Row| keys.get(row.start..row.start.saturating_add(row.length));
    rows.sort_unstable_by(|a, b| {
        let order = a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(&key(b)));
        order.then(a.index.cmp(&b.index))
    });
    let found: Vec<usize> = rows.iter().map(|row| row.index).collect();
    results::put(session, results::Kind::Sort, sort.uid, sort.results, &found);
    pass.finish(session, sort.uid, saves, "SORT done.")
}

/// The administrator may have turned SORT and THREAD off.
pub(super) fn allowed(session: &Session) -> Result<(), Reply> {
    if session.settings.no_thread_sort {
        Err(Reply::no(
            "This command is disabled by the system administrator.",
        ))
    } else {
        Ok(())
    }
}

/// As for SEARCH, except that the character set cannot be left out (contract: imapd 10.2).
pub(super) fn check_charset(session: &Session, label: &[u8]) -> Result<(), Reply> {
    if session.utf8 && !label.eq_ignore_ascii_case(b"UTF-8") {
        return Err(
            Reply::bad("Only UTF-8 charset is valid after enabling RFC 6855 support")
                .with(Code::BadCharset),
        );
    }
    if charset::is_known(label) {
        Ok(())
    } else {
        Err(search::unknown_charset())
    }
}

/// A criterion that was given before orders nothing any more.
fn distinct(criteria: &[Criterion]) -> Vec<Criterion> {
    let mut kept: Vec<Criterion> = Vec::new();
    for criterion in criteria {
        if kept.iter().all(|known| known.key != criterion.key) {
            kept.push(*criterion);
        }
    }
    kept
}

/// Appends the key of a message; if that fails, nothing.
fn append(
    candidate: &mut Candidate<'_>,
    criteria: &[Criterion],
    keys: &mut Vec<u8>,
) -> Result<(), Skip> {
    let start = keys.len();
    let appended = criteria.iter().try_for_each(|criterion| {
        let from = keys.len();
        append_one(candidate, criterion.key, keys)?;
        if criterion.reverse {
            for byte in keys.get_mut(from..).unwrap_or_default() {
                *byte = !*byte;
            }
        }
        Ok(())
    });
    if appended.is_err() {
        keys.truncate(start);
    }
    appended
}

fn append_one(candidate: &mut Candidate<'_>, key: SortKey, keys: &mut Vec<u8>) -> Result<(), Skip> {
    match key {
        SortKey::Arrival => append_number(candidate.internal_date()?, keys),
        SortKey::Date => append_number(sent_date(candidate)?, keys),
        SortKey::Size => {
            let size = i64::try_from(candidate.octets()?).unwrap_or(i64::MAX);
            append_number(size, keys);
        }
        SortKey::Subject => {
            candidate.with_row(Kind::Sort, |row| {
                append_collated(SortRow::read(row).subject, keys);
            })?;
        }
        SortKey::Cc => append_text(&first_address(candidate, Known::Cc, mailbox)?, keys),
        SortKey::From => append_text(&first_address(candidate, Known::From, mailbox)?, keys),
        SortKey::To => append_text(&first_address(candidate, Known::To, mailbox)?, keys),
        SortKey::DisplayFrom => {
            append_text(&first_address(candidate, Known::From, display)?, keys);
        }
        SortKey::DisplayTo => append_text(&first_address(candidate, Known::To, display)?, keys),
    }
    Ok(())
}

/// Numbers in an order of octets: most significant first, negative ones below.
fn append_number(number: i64, keys: &mut Vec<u8>) {
    let mut bytes = number.to_be_bytes();
    if let Some(sign) = bytes.first_mut() {
        *sign ^= 0x80;
    }
    keys.extend_from_slice(&bytes);
}

/// A text in the order of its collation, ended so that a shorter one stands before a longer one that begins like it.
fn append_text(text: &str, keys: &mut Vec<u8>) {
    append_collated(collate::key(text).as_bytes(), keys);
}

/// As [`append_text`] for what its collation made of the text.
fn append_collated(bytes: &[u8], keys: &mut Vec<u8>) {
    let kept = bytes.get(..TEXT_MAX).unwrap_or(bytes);
    for &byte in kept {
        keys.push(byte);
        if byte == 0 {
            keys.push(0xff);
        }
    }
    keys.extend_from_slice(&[0, 0]);
    if kept.len() < bytes.len() {
        let rest = bytes.get(TEXT_MAX..).unwrap_or_default();
        keys.extend_from_slice(&checksum(rest).to_be_bytes());
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The sent date of RFC 5256 section 2.2: the Date field in UTC, INTERNALDATE if there is no usable one.
fn sent_date(candidate: &mut Candidate<'_>) -> Result<i64, Skip> {
    match candidate.with_row(Kind::Sort, |row| SortRow::read(row).sent)? {
        Some(sent) => Ok(sent),
        None => candidate.internal_date(),
    }
}

/// Reads the first field of this name, if there is one.
fn first_field<T>(
    candidate: &mut Candidate<'_>,
    name: Known,
    read: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>, Skip> {
    candidate.with_remembered(|header| {
        Fields::new(header)
            .find(|field| Known::of(field.name) == Some(name))
            .map(|field| read(field.value))
    })
}

fn first_address(
    candidate: &mut Candidate<'_>,
    name: Known,
    read: fn(&address::Item<'_>) -> String,
) -> Result<String, Skip> {
    let text = first_field(candidate, name, |value| {
        let value = value.get(..ADDRESS_MAX).unwrap_or(value);
        address::parse(value).first().map(read)
    })?;
    Ok(text.flatten().unwrap_or_default())
}

/// `addr-mailbox` of ENVELOPE: the local part, or the name of a group.
fn mailbox(item: &address::Item<'_>) -> String {
    match item {
        address::Item::Mailbox { local, .. } => charset::guess(local).into_owned(),
        address::Item::GroupStart(name) => charset::guess(name).into_owned(),
        address::Item::GroupEnd => String::new(),
    }
}

/// What a client shows of an address (RFC 5957 section 3): its name, decoded; else the address.
fn display(item: &address::Item<'_>) -> String {
    match item {
        address::Item::Mailbox {
            name,
            local,
            domain,
        } => {
            let name = name.as_deref().map(rfc2047::decode).unwrap_or_default();
            if !name.is_empty() {
                return name;
            }
            let mut text = charset::guess(local).into_owned();
            if !domain.is_empty() {
                text.push('@');
                text.push_str(&charset::guess(domain));
            }
            text
        }
        other => mailbox(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_key(text: &str) -> Vec<u8> {
        let mut keys = Vec::new();
        append_text(text, &mut keys);
        keys
    }

    fn number_key(number: i64) -> Vec<u8> {
        let mut keys = Vec::new();
        append_number(number, &mut keys);
        keys
    }

    #[test]
    fn long_texts_cost_little_and_stay_apart() {
        let long = "x".repeat(100_000);
        assert!(text_key(&long).len() < 600);
        assert_ne!(text_key(&long), text_key(&(long.clone() + "y")));
        assert_eq!(text_key(&long), text_key(&long.to_uppercase()));
        assert!(text_key("x") < text_key(&long));
    }

    #[test]
    fn first_addresses() {
        let first = |text: &str, read: fn(&address::Item<'_>) -> String| {
            address::parse(text.as_bytes()).first().map(read)
        };
        for (text, local, shown) in [
            ("Ann <ann@b>, c@d", "ann", "Ann"),
            ("=?utf-8?Q?J=C3=B6rg?= <j@b>", "j", "J\u{f6}rg"),
            ("a@b", "a", "a@b"),
            ("a@b (Ann)", "a", "Ann"),
            ("\"\" <a@b>", "a", "a@b"),
            ("Team: a@b;", "Team", "Team"),
            ("nobody", "nobody", "nobody"),
        ] {
            assert_eq!(first(text, mailbox).as_deref(), Some(local), "{text}");
            assert_eq!(first(text, display).as_deref(), Some(shown), "{text}");
        }
        assert_eq!(first("", mailbox), None);
    }

    proptest! {
        #[test]
        fn keys_order_like_what_they_stand_for(a: i64, b: i64, x in "[a-c\0]{0,6}", y in "[a-c\0]{0,6}") {
            prop_assert_eq!(number_key(a).cmp(&number_key(b)), a.cmp(&b));
            prop_assert_eq!(text_key(&x).cmp(&text_key(&y)), collate::key(&x).cmp(&collate::key(&y)));
            // Nothing behind a text can change its order.
            let (mut long_x, mut long_y) = (text_key(&x), text_key(&y));
            if long_x != long_y {
                let order = long_x.cmp(&long_y);
                long_x.extend_from_slice(&number_key(a));
                long_y.extend_from_slice(&number_key(b));
                prop_assert_eq!(long_x.cmp(&long_y), order);
            }
        }
    }
}
