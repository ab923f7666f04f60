//! Keyword sets in memory, and the grammar of `courierimapkeywords/:list` (contract: maildir 7).

use std::collections::HashMap;
use std::io::Write as _;

/// Longest `:list` read: a million messages have some.
pub(crate) const LIMIT: u64 = 128 << 20;
/// Longest update of one message read.
pub(crate) const UPDATE_LIMIT: u64 = 1 << 20;

/// Most keywords that a folder's files are believed to have. What clients add is not counted here: it costs them a
/// command each.
const MOST: usize = 1 << 16;

/// A set of keywords, as an index into a [`KeywordTable`]. Equal sets of one table compare equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct KeywordSet(u32);

impl KeywordSet {
    /// No keywords.
    pub const EMPTY: Self = Self(0);

    /// The set as a number, to be kept beside its table.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The set that [`Self::number`] gave this number of.
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// True for the empty set.
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

/// True for a keyword that clients may set: not empty, no byte up to space, none of `(){%*"\]`, no DEL, no 8-bit.
pub fn valid_keyword(keyword: &[u8]) -> bool {
    !keyword.is_empty() && keyword.iter().all(|byte| is_plain(*byte) && *byte < 0x7f)
}

fn is_plain(byte: u8) -> bool {
    byte > b' ' && !b"(){%*\"\\]".contains(&byte)
}

/// The keywords of one folder, each once without regard to ASCII case and spelled as first seen, and the sets of
/// them that messages have.
#[derive(Debug, Default, Clone)]
pub(crate) struct KeywordTable {
    names: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u32>,
    /// Set n is `sets[n - 1]`: sorted keyword numbers. The empty set is not in here.
    sets: Vec<Box<[u32]>>,
    set_ids: HashMap<Box<[u32]>, u32>,
}

impl KeywordTable {
    /// The number of a keyword, new or known. Bytes that no client could send become `_`.
    pub(crate) fn keyword(&mut self, name: &[u8]) -> u32 {
        self.keyword_within(name, usize::MAX).unwrap_or(u32::MAX)
    }

    /// As [`Self::keyword`]; `None` for a new one when there are `most` already.
    fn keyword_within(&mut self, name: &[u8], most: usize) -> Option<u32> {
        let name: Box<[u8]> = name
            .iter()
            .map(|byte| if is_plain(*byte) { *byte } else { b'_' })
            .collect();
        let folded: Box<[u8]> = name.to_ascii_lowercase().into();
        if let Some(id) = self.ids.get(&folded) {
            return Some(*id);
        }
        if self.names.len() >= most {
            return None;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name);
        self.ids.insert(folded, id);
        Some(id)
    }

    /// The set of these keyword numbers.
    pub(crate) fn set(&mut self, mut ids: Vec<u32>) -> KeywordSet {
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return KeywordSet::EMPTY;
        }
        if let Some(set) = self.set_ids.get(ids.as_slice()) {
            return KeywordSet(*set);
        }
        let ids: Box<[u32]> = ids.into();
        self.sets.push(ids.clone());
        let set = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.set_ids.insert(ids, set);
        KeywordSet(set)
    }

    /// All keywords in the order of their numbers.
    pub(crate) fn all_names(&self) -> &[Box<[u8]>] {
        &self.names
    }

    /// All sets but the empty one, in the order of their numbers, which begin with 1.
    pub(crate) fn all_sets(&self) -> &[Box<[u32]>] {
        &self.sets
    }

    /// How many sets there are beside the empty one.
    pub(crate) fn number_of_sets(&self) -> u32 {
        u32::try_from(self.sets.len()).unwrap_or(u32::MAX)
    }

    /// The keyword numbers of a set.
    pub(crate) fn ids(&self, set: KeywordSet) -> &[u32] {
        let index = usize::try_from(set.0).ok().and_then(|n| n.checked_sub(1));
        index
            .and_then(|index| self.sets.get(index))
            .map_or(&[], |ids| ids)
    }

    pub(crate) fn name(&self, id: u32) -> &[u8] {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.names.get(id))
            .map_or(&[], |name| name)
    }

    pub(crate) fn names_of(&self, set: KeywordSet) -> impl Iterator<Item = &[u8]> {
        self.ids(set).iter().map(|id| self.name(*id))
    }

    pub(crate) fn contains(&self, set: KeywordSet, keyword: &[u8]) -> bool {
        self.names_of(set)
            .any(|name| name.eq_ignore_ascii_case(keyword))
    }

    /// The set of exactly these keywords, if there is one already.
    pub(crate) fn find<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Option<KeywordSet> {
        let mut ids = Vec::new();
        for name in names {
            ids.push(*self.ids.get(name.to_ascii_lowercase().as_slice())?);
        }
        ids.sort_unstable();
        match ids.is_empty() {
            true => Some(KeywordSet::EMPTY),
            false => self.set_ids.get(ids.as_slice()).copied().map(KeywordSet),
        }
    }

    /// The keywords of all these sets, each once, in order of first appearance in the table.
    pub(crate) fn in_use(&self, sets: impl Iterator<Item = KeywordSet>) -> Vec<&[u8]> {
        let ids = self.ids_in_use(sets);
        ids.into_iter().map(|id| self.name(id)).collect()
    }

    /// As [`Self::in_use`], their numbers.
    pub(crate) fn ids_in_use(&self, sets: impl Iterator<Item = KeywordSet>) -> Vec<u32> {
        let mut used_sets = vec![false; self.sets.len() + 1];
        for set in sets {
            if let Some(used) = usize::try_from(set.0)
                .ok()
                .and_then(|set| used_sets.get_mut(set))
            {
                *used = true;
            }
        }
        let mut used = vec![false; self.names.len()];
        for (ids, _) in self
            .sets
            .iter()
            .zip(used_sets.iter().skip(1))
            .filter(|(_, used)| **used)
        {
            for id in ids {
                if let Some(used) = usize::try_from(*id).ok().and_then(|id| used.get_mut(id)) {
                    *used = true;
                }
            }
        }
        (0_u32..)
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|(id, _)| id)
            .collect()
    }
}

/// The lines of `bytes`; one torn at the end without line feed counts.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// Reads a per-message update: one keyword a line.
pub(crate) fn parse_update(bytes: &[u8], table: &mut KeywordTable) -> KeywordSet {
    let ids = lines(bytes)
        .filter_map(|line| table.keyword_within(line, MOST))
        .collect();
    table.set(ids)
}

/// Writes a per-message update.
pub(crate) fn encode_update(table: &KeywordTable, set: KeywordSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in table.names_of(set) {
        bytes.extend_from_slice(name);
        bytes.push(b'\n');
    }
    bytes
}

/// Reads a `:list`: calls `each` with base name and set for every message line. Indexes out of range and lines
/// that make no sense are passed over.
pub(crate) fn parse_list<'a>(
    bytes: &'a [u8],
    table: &mut KeywordTable,
    mut each: impl FnMut(&'a [u8], KeywordSet),
) {
    let mut ids = Vec::new();
    let mut rest = bytes.split(|byte| *byte == b'\n');
    for line in rest.by_ref() {
        if line.is_empty() {
            break;
        }
        // One that is too many keeps its place, or the indexes would mean others.
        ids.push(table.keyword_within(line, MOST));
    }
    for line in rest {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, indexes) = line.split_at(colon);
        if name.is_empty() {
            continue;
        }
        let set = indexes
            .split(|byte| !byte.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .filter_map(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok())
            .filter_map(|index| ids.get(index).copied().flatten())
            .collect();
        each(name, table.set(set));
    }
}

/// Writes a `:list` of these messages; those without keywords are left out, as are keywords nobody has.
pub(crate) fn encode_list<'a>(
    table: &KeywordTable,
    messages: impl Iterator<Item = (&'a [u8], KeywordSet)>,
) -> Vec<u8> {
    let mut positions: HashMap<u32, usize> = HashMap::new();
    let mut order = Vec::new();
    let mut body = Vec::new();
    for (name, set) in messages {
        if set.is_empty() {
            continue;
        }
        body.extend_from_slice(name);
        body.push(b':');
        for (number, id) in table.ids(set).iter().enumerate() {
            let position = *positions.entry(*id).or_insert_with(|| {
                order.push(*id);
                order.len() - 1
            });
            let separator = if number == 0 { "" } else { " " };
            // Writing to a Vec cannot fail.
            let _ = write!(body, "{separator}{position}");
        }
        body.push(b'\n');
    }
    let mut bytes = Vec::with_capacity(body.len() + 64);
    for id in order {
        bytes.extend_from_slice(table.name(id));
        bytes.push(b'\n');
    }
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_the_original_is_read() {
        let mut table = KeywordTable::default();
        let mut seen = Vec::new();
        let list = b"work\n$Label1\nweird kw%x\n\n1000.M1.h:1 0\n1001.M1.h,S=12:0\nx:2/9;77\n:1\nnonsense\n";
        let mut found = Vec::new();
        parse_list(list, &mut table, |name, set| found.push((name, set)));
        for (name, set) in found {
            let names: Vec<Vec<u8>> = table.names_of(set).map(<[u8]>::to_vec).collect();
            seen.push((name.to_vec(), names));
        }
        assert_eq!(
            seen,
            [
                (
                    b"1000.M1.h".to_vec(),
                    vec![b"work".to_vec(), b"$Label1".to_vec()]
                ),
                (b"1001.M1.h,S=12".to_vec(), vec![b"work".to_vec()]),
                (b"x".to_vec(), vec![b"weird_kw_x".to_vec()]),
            ]
        );
    }

    #[test]
    fn an_empty_list_is_one_empty_line() {
        let table = KeywordTable::default();
        assert_eq!(encode_list(&table, std::iter::empty()), b"\n");
    }

    #[test]
    fn keywords_compare_without_case_and_keep_their_first_spelling() {
        let mut table = KeywordTable::default();
        let a = parse_update(b"Foo\nbar\n", &mut table);
        let b = parse_update(b"BAR\nfoo", &mut table);
        assert_eq!(a, b);
        assert!(table.contains(a, b"FOO"));
        assert_eq!(encode_update(&table, b), b"Foo\nbar\n");
    }

    #[test]
    fn only_atoms_are_valid_keywords() {
        for good in [&b"$Forwarded"[..], b"a", b"[x"] {
            assert!(valid_keyword(good));
        }
        for bad in [
            &b""[..],
            b"a b",
            b"a]",
            b"a*",
            b"\xc3\xa9",
            b"a\x7f",
            b"\\Seen",
        ] {
            assert!(!valid_keyword(bad));
        }
    }

    #[test]
    fn a_file_of_endless_keywords_is_believed_up_to_a_limit() {
        let mut list: Vec<u8> = (0..MOST + 10)
            .flat_map(|n| format!("k{n}\n").into_bytes())
            .collect();
        list.extend_from_slice(format!("\n1.a:5 {}\n", MOST + 5).as_bytes());
        let mut table = KeywordTable::default();
        let mut found = Vec::new();
        parse_list(&list, &mut table, |name, set| found.push((name, set)));
        assert_eq!(table.all_names().len(), MOST);
        let names: Vec<&[u8]> = found
            .iter()
            .flat_map(|(_, set)| table.names_of(*set))
            .collect();
        assert_eq!(names, [b"k5"]);
        assert!(parse_update(b"new\nk7\n", &mut table) == table.set(vec![7]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut table = KeywordTable::default();
            parse_list(&bytes, &mut table, |_, _| {});
            parse_update(&bytes, &mut table);
        }

        #[test]
        fn lists_survive_a_round_trip(
            messages in proptest::collection::btree_map("[a-z0-9.]{1,20}",
                proptest::collection::vec("[a-zA-Z$]{1,10}", 0..5), 0..20)
        ) {
            let mut table = KeywordTable::default();
            let sets: Vec<(String, KeywordSet)> = messages.iter().map(|(name, keywords)| {
                let ids = keywords.iter().map(|keyword| table.keyword(keyword.as_bytes())).collect();
                (name.clone(), table.set(ids))
            }).collect();
            let list = encode_list(&table, sets.iter().map(|(name, set)| (name.as_bytes(), *set)));
            let mut again = Vec::new();
            parse_list(&list, &mut table, |name, set| again.push((name.to_vec(), set)));
            let expected: Vec<(Vec<u8>, KeywordSet)> = sets.into_iter()
                .filter(|(_, set)| !set.is_empty())
                .map(|(name, set)| (name.into_bytes(), set)).collect();
            prop_assert_eq!(again, expected);
        }
    }
}
