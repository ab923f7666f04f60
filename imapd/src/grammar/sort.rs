//! SORT and THREAD arguments (RFC 5256), with the results of RFC 5267 and the keys of RFC 5957.

use super::astring::astring;
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::search::{Search, SearchKey, SearchResults};

/// Most keys in one command, as in the original.
const MAX_KEYS: usize = 1000;

/// `SORT` or `UID SORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The reply names UIDs.
    pub uid: bool,
    /// `RETURN (…)`; `None` for the old reply form.
    pub results: Option<SearchResults>,
    /// By what, most important first; never empty.
    pub criteria: Vec<Criterion>,
    /// Character set of the search keys, as spelled.
    pub charset: Vec<u8>,
    /// Which messages.
    pub key: SearchKey,
}

/// One sort criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    /// What is compared.
    pub key: SortKey,
    /// `REVERSE`: largest first.
    pub reverse: bool,
}

/// What messages are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// The internal date.
    Arrival,
    /// The mailbox name of the first Cc address.
    Cc,
    /// The sent date.
    Date,
    /// What a client shows of the first From address (RFC 5957).
    DisplayFrom,
    /// What a client shows of the first To address (RFC 5957).
    DisplayTo,
    /// The mailbox name of the first From address.
    From,
    /// RFC822.SIZE.
    Size,
    /// The base subject.
    Subject,
    /// The mailbox name of the first To address.
    To,
}

/// `THREAD` or `UID THREAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The reply names UIDs.
    pub uid: bool,
    /// How threads are found.
    pub algorithm: Algorithm,
    /// Character set of the search keys, as spelled.
    pub charset: Vec<u8>,
    /// Which messages.
    pub key: SearchKey,
}

/// How threads are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// By base subject and date.
    OrderedSubject,
    /// By References and In-Reply-To, then by base subject.
    References,
    /// By References and In-Reply-To alone, the threads by their newest messages.
    Refs,
}

impl Sort {
    /// What follows `SORT`.
    /// ```abnf
    /// sort            = "SORT" [SP "RETURN" SP "(" … ")"] SP sort-criteria SP search-criteria     ; RFC 5267
    /// sort-criteria   = "(" sort-criterion *(SP sort-criterion) ")"
    /// sort-criterion  = ["REVERSE" SP] sort-key
    /// search-criteria = charset 1*(SP search-key)
    /// ```
    /// As in the original, two `REVERSE` make none.
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        cursor.space()?;
        let results = SearchResults::parse(cursor)?;
        let mut left = MAX_KEYS;
        let criteria = cursor.list(1, |cursor| Criterion::parse(cursor, &mut left))?;
        let (charset, key) = search_criteria(cursor)?;
        Ok(Self {
            uid,
            results,
            criteria,
            charset,
            key,
        })
    }
}

impl Criterion {
    fn parse(cursor: &mut Cursor<'_>, left: &mut usize) -> Parsed<Self> {
        let mut reverse = false;
        loop {
            *left = left.checked_sub(1).ok_or(SyntaxError::TooComplex)?;
            let key = match cursor.word()?.as_slice() {
                b"REVERSE" => {
                    reverse = !reverse;
                    cursor.space()?;
                    continue;
                }
                b"ARRIVAL" => SortKey::Arrival,
                b"CC" => SortKey::Cc,
                b"DATE" => SortKey::Date,
                b"DISPLAYFROM" => SortKey::DisplayFrom,
                b"DISPLAYTO" => SortKey::DisplayTo,
                b"FROM" => SortKey::From,
                b"SIZE" => SortKey::Size,
                b"SUBJECT" => SortKey::Subject,
                b"TO" => SortKey::To,
                _ => return Err(SyntaxError::Malformed),
            };
            return Ok(Self { key, reverse });
        }
    }
}

impl Thread {
    /// What follows `THREAD`.
    /// ```abnf
    /// thread     = "THREAD" SP thread-alg SP search-criteria
    /// thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / "REFS"
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        cursor.space()?;
        let algorithm = match cursor.word()?.as_slice() {
            b"ORDEREDSUBJECT" => Algorithm::OrderedSubject,
            b"REFERENCES" => Algorithm::References,
            b"REFS" => Algorithm::Refs,
            _ => return Err(SyntaxError::Malformed),
        };
        let (charset, key) = search_criteria(cursor)?;
        Ok(Self {
            uid,
            algorithm,
            charset,
            key,
        })
    }
}

/// The character set, which must be given, and the keys.
fn search_criteria(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u8>, SearchKey)> {
    cursor.space()?;
    let charset = astring(cursor)?;
    cursor.space()?;
    Ok((charset, Search::program(cursor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(text: &str) -> Parsed<Sort> {
        Sort::parse(&mut Cursor::new(text.as_bytes()), false)
    }

    fn thread(text: &str) -> Parsed<Thread> {
        Thread::parse(&mut Cursor::new(text.as_bytes()), true)
    }

    #[test]
    fn sort_arguments() {
        let parsed =
            sort(" RETURN (COUNT) (reverse Subject REVERSE REVERSE date) \"utf-8\" SEEN 1:3")
                .unwrap();
        assert_eq!(
            parsed.criteria,
            [
                Criterion {
                    key: SortKey::Subject,
                    reverse: true
                },
                Criterion {
                    key: SortKey::Date,
                    reverse: false
                }
            ]
        );
        assert!(parsed.results.unwrap().count);
        assert_eq!(parsed.charset, b"utf-8");
        for text in [
            "",
            " (DATE)",
            " (DATE) UTF-8",
            " () UTF-8 ALL",
            " (REVERSE) UTF-8 ALL",
            " DATE UTF-8 ALL",
            " (SENT) UTF-8 ALL",
            " (DATE)UTF-8 ALL",
            " RETURN (PARTIAL 1:2) (DATE) UTF-8 ALL",
        ] {
            assert!(sort(text).is_err(), "{text:?} was accepted");
        }
        let many = format!(" ({}DATE) UTF-8 ALL", "REVERSE ".repeat(2000));
        assert_eq!(sort(&many), Err(SyntaxError::TooComplex));
    }

    #[test]
    fn thread_arguments() {
        assert_eq!(
            thread(" references UTF-8 ALL").unwrap().algorithm,
            Algorithm::References
        );
        for text in [
            "",
            " REFERENCES",
            " REFERENCES UTF-8",
            " SUBJECT UTF-8 ALL",
            " (REFERENCES) UTF-8 ALL",
        ] {
            assert!(thread(text).is_err(), "{text:?} was accepted");
        }
    }
}
