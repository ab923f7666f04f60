//! The store's parsers under names that the fuzz targets can reach (`fuzz/`; feature `fuzzing`). Each function
//! takes hostile bytes and checks what must hold whatever they are.

use std::cmp::Ordering;

use super::cache;
use super::filename;
use super::flags::Flags;
use super::index;
use super::keywords::{self, KeywordSet, KeywordTable};
use super::modseq;
use super::sizelist::SizeList;
use super::uiddb;
use super::{Acl, Identity, QuotaLimits, Rights};

/// `courierimapuiddb`: UIDs and names come out once and ascending, and survive being written.
pub fn uid_database(bytes: &[u8]) {
    uiddb::faults::fuzz(bytes);
}

/// Sets by base name, the keywords as text.
fn sets(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut table = KeywordTable::default();
    let mut found: Vec<(&[u8], KeywordSet)> = Vec::new();
    keywords::parse_list(bytes, &mut table, |name, set| found.push((name, set)));
    let mut sets: Vec<(Vec<u8>, Vec<Vec<u8>>)> = found
        .into_iter()
        .filter(|(_, set)| !set.is_empty())
        .map(|(name, set)| {
            let mut words: Vec<Vec<u8>> = table
                .names_of(set)
                .map(<[u8]>::to_ascii_lowercase)
                .collect();
            words.sort();
            (name.to_vec(), words)
        })
        .collect();
    sets.sort();
    sets
}

/// `courierimapkeywords/:list`: what is read is read again after being written.
pub fn keyword_list(bytes: &[u8]) {
    let mut table = KeywordTable::default();
    let mut found: Vec<(&[u8], KeywordSet)> = Vec::new();
    keywords::parse_list(bytes, &mut table, |name, set| found.push((name, set)));
    let written = keywords::encode_list(&table, found.into_iter());
    assert_eq!(sets(bytes), sets(&written));
}

/// An update of one message's keywords: the same.
pub fn keyword_update(bytes: &[u8]) {
    let mut table = KeywordTable::default();
    let set = keywords::parse_update(bytes, &mut table);
    let written = keywords::encode_update(&table, set);
    assert_eq!(keywords::parse_update(&written, &mut table), set);
    for word in table.names_of(set) {
        // What clients could not have sent is `_`; DEL and 8-bit bytes, which other software writes, are shown.
        let seven: Vec<u8> = word
            .iter()
            .map(|byte| if *byte < 0x7f { *byte } else { b'x' })
            .collect();
        assert!(keywords::valid_keyword(&seven), "{}", word.escape_ascii());
    }
}

/// `courierpop3dsizelist`: the same.
pub fn size_list(bytes: &[u8]) {
    let list = SizeList::parse(bytes);
    let mut uidl = Vec::new();
    for (name, entry) in &list.entries {
        entry.uidl(name, &mut uidl);
    }
    assert!(uidl.iter().all(|byte| (0x21..=0x7e).contains(byte)));
    if let Some(validity) = list.validity {
        let written = SizeList::encode(list.next, validity, list.entries.iter().copied());
        let again = SizeList::parse(&written);
        assert_eq!((again.next, again.validity), (list.next, list.validity));
        assert_eq!(again.entries.len(), list.entries.len());
    }
}

/// Names of message files: a change of flags changes nothing else.
pub fn message_name(bytes: &[u8]) {
    let flags = filename::flags(bytes);
    for wanted in [Flags::NONE, flags, Flags::ALL] {
        let name = filename::with_flags(bytes, wanted);
        assert_eq!(filename::base(&name), filename::base(bytes));
        assert_eq!(filename::identity(&name), filename::identity(bytes));
        assert_eq!(filename::stored_size(&name), filename::stored_size(bytes));
        assert_eq!(filename::flags(&name), wanted);
        assert_eq!(filename::with_flags(&name, wanted), name);
        assert_eq!(filename::order(&name, bytes), Ordering::Equal);
    }
    // A file cannot have other names.
    let is_name = bytes.len() < 256 && memchr::memchr2(0, b'/', bytes).is_none();
    if is_name && filename::storable(filename::base(bytes)) {
        let base = filename::base(bytes);
        let line = [b"1 ", base, b"\n"].concat();
        let database = [b"1 7 2\n", line.as_slice()].concat();
        // What may be numbered is read back as it is.
        assert!(
            uiddb::faults::names(&database)
                .iter()
                .any(|name| name == base)
        );
    }
}

/// One record of `courierimapcache`, with its checksum made right: a field that is read lies in the record.
pub fn cache_record(bytes: &[u8]) {
    cache::fuzz(bytes);
}

/// `courierimapindex`, with its checksum made right.
pub fn folder_index(bytes: &[u8]) {
    index::fuzz(bytes);
}

/// `courierimapindex.log`, with its checksums made right.
pub fn change_log(bytes: &[u8]) {
    modseq::fuzz(bytes);
}

/// `courierimapacl`: what was written once is read again as it is, and gives the same rights as the original.
pub fn access_list(bytes: &[u8]) {
    let acl = Acl::parse(bytes);
    let again = Acl::parse(&acl.to_text());
    assert_eq!(Acl::parse(&again.to_text()), again);
    let who = Identity {
        user: bytes
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default()
            .to_vec(),
        groups: vec![b"group".to_vec()],
    };
    for owner in [false, true] {
        let (rights, same) = (acl.rights(&who, owner), again.rights(&who, owner));
        for letter in Rights::all().letters() {
            assert_eq!(rights.has_any(&[*letter]), same.has_any(&[*letter]));
        }
    }
}

/// The first line of `maildirsize`: the same.
pub fn quota_limits(bytes: &[u8]) {
    let limits = QuotaLimits::parse(bytes);
    assert_eq!(QuotaLimits::parse(limits.to_text().as_bytes()), limits);
    if let Some(strict) = QuotaLimits::parse_strict(bytes) {
        assert_eq!(strict, limits);
    }
}
