//! SEARCH arguments.

use courier::text::date::Date;

use super::astring::{astring, atom};
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::date;
use super::sequence::SequenceSet;

/// Most keys in one command.
const MAX_KEYS: usize = 1000;

/// `SEARCH` or `UID SEARCH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The reply names UIDs.
    pub uid: bool,
    /// `CHARSET name`, as spelled.
    pub charset: Option<Vec<u8>>,
    /// `RETURN (…)` of RFC 4731; `None` for the old reply form.
    pub results: Option<SearchResults>,
    /// What to look for: a [`SearchKey::And`] of the keys given.
    pub key: SearchKey,
}

/// Which results RFC 4731's `RETURN` asks for. `RETURN ()` means `ALL`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchResults {
    /// The lowest number found.
    pub min: bool,
    /// The highest number found.
    pub max: bool,
    /// All numbers, as a set.
    pub all: bool,
    /// How many.
    pub count: bool,
    /// The result is kept for `$` (RFC 5182).
    pub save: bool,
}

/// A system flag as SEARCH names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchFlag {
    /// `\Answered`.
    Answered,
    /// `\Deleted`.
    Deleted,
    /// `\Draft`.
    Draft,
    /// `\Flagged`.
    Flagged,
    /// `\Recent`.
    Recent,
    /// `\Seen`.
    Seen,
}

/// A header field that has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchField {
    /// `BCC`.
    Bcc,
    /// `CC`.
    Cc,
    /// `FROM`.
    From,
    /// `SUBJECT`.
    Subject,
    /// `TO`.
    To,
}

/// How a message's date must lie to the one given. Whole days; times and zones are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateRelation {
    /// Earlier than the day.
    Before,
    /// On the day.
    On,
    /// On the day or later.
    Since,
}

/// One search key. Strings are in the command's character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// `ALL`.
    All,
    /// All of them; never empty.
    And(Vec<Self>),
    /// `OR`.
    Or(Box<Self>, Box<Self>),
    /// `NOT`.
    Not(Box<Self>),
    /// `ANSWERED` … `SEEN`, or with `false` `UNANSWERED` … `UNSEEN` and `OLD`.
    Flag(SearchFlag, bool),
    /// `NEW`: `\Recent` and not `\Seen`.
    New,
    /// `KEYWORD`, or with `false` `UNKEYWORD`.
    Keyword(Vec<u8>, bool),
    /// Message numbers.
    Numbers(SequenceSet),
    /// `UID`.
    Uids(SequenceSet),
    /// `BCC`, `CC`, `FROM`, `SUBJECT`, `TO`.
    Field(SearchField, Vec<u8>),
    /// `HEADER name text`; an empty text asks whether the field exists.
    Header(Vec<u8>, Vec<u8>),
    /// `BODY`.
    Body(Vec<u8>),
    /// `TEXT`.
    Text(Vec<u8>),
    /// `BEFORE`, `ON`, `SINCE`: the internal date.
    Internal(DateRelation, Date),
    /// `SENTBEFORE`, `SENTON`, `SENTSINCE`: the Date field.
    Sent(DateRelation, Date),
    /// `LARGER`: RFC822.SIZE above this.
    Larger(u64),
    /// `SMALLER`: RFC822.SIZE below this.
    Smaller(u64),
    /// `YOUNGER` (RFC 5032): internal date within this many seconds of now.
    Younger(u32),
    /// `OLDER` (RFC 5032): internal date this many seconds ago or longer.
    Older(u32),
}

impl Search {
    /// What follows `SEARCH`.
    /// ```abnf
    /// search          = "SEARCH" [SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"]
    ///                   [SP "CHARSET" SP astring] 1*(SP search-key)
    /// search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE"      ; RFC 4731, RFC 5182
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        cursor.space()?;
        let results = SearchResults::parse(cursor)?;
        let charset = if starts_with_word(cursor, b"CHARSET") {
            cursor.word()?;
            cursor.space()?;
            let charset = astring(cursor)?;
            cursor.space()?;
            Some(charset)
        } else {
            None
        };
        let key = Self::program(cursor)?;
        Ok(Self {
            uid,
            charset,
            results,
            key,
        })
    }

    /// The blank-separated keys up to the end of the command: the tail of SEARCH, SORT and THREAD.
    ///
    /// # Errors
    /// Not search keys.
    pub fn program(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
        let mut left = MAX_KEYS;
        let mut keys = vec![search_key(cursor, &mut left)?];
        while cursor.blanks() && cursor.peek().is_some() {
            keys.push(search_key(cursor, &mut left)?);
        }
        cursor.end()?;
        Ok(SearchKey::And(keys))
    }
}

impl SearchResults {
    /// `RETURN (…)` and the blank behind it, if it is next: in SEARCH and (RFC 5267) in SORT.
    ///
    /// # Errors
    /// An unknown result, or no list.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Option<Self>> {
        if !starts_with_word(cursor, b"RETURN") {
            return Ok(None);
        }
        cursor.word()?;
        cursor.space()?;
        let results = Self::list(cursor)?;
        cursor.space()?;
        Ok(Some(results))
    }

    fn list(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut results = Self::default();
        let options = cursor.list(0, |cursor| {
            match cursor.word()?.as_slice() {
                b"MIN" => results.min = true,
                b"MAX" => results.max = true,
                b"ALL" => results.all = true,
                b"COUNT" => results.count = true,
                b"SAVE" => results.save = true,
                _ => return Err(SyntaxError::Malformed),
            }
            Ok(())
        })?;
        if options.is_empty() {
            results.all = true;
        }
        Ok(results)
    }
}

/// ```abnf
/// search-key = "ALL" / "ANSWERED" / "BCC" SP astring / "BEFORE" SP date / "BODY" SP astring / "CC" SP astring /
///              "DELETED" / "FLAGGED" / "FROM" SP astring / "KEYWORD" SP flag-keyword / "NEW" / "OLD" / "ON" SP date /
///              "RECENT" / "SEEN" / "SINCE" SP date / "SUBJECT" SP astring / "TEXT" SP astring / "TO" SP astring /
///              "UNANSWERED" / "UNDELETED" / "UNFLAGGED" / "UNKEYWORD" SP flag-keyword / "UNSEEN" / "DRAFT" /
///              "HEADER" SP header-fld-name SP astring / "LARGER" SP number / "NOT" SP search-key /
///              "OR" SP search-key SP search-key / "SENTBEFORE" SP date / "SENTON" SP date / "SENTSINCE" SP date /
///              "SMALLER" SP number / "UID" SP sequence-set / "UNDRAFT" / sequence-set /
///              "(" search-key *(SP search-key) ")" / "YOUNGER" SP nz-number / "OLDER" SP nz-number
/// ```
fn search_key(cursor: &mut Cursor<'_>, left: &mut usize) -> Parsed<SearchKey> {
    use DateRelation::{Before, On, Since};
    use SearchFlag as F;
    use SearchKey as K;
    *left = left.checked_sub(1).ok_or(SyntaxError::TooComplex)?;
    match cursor.peek() {
        Some(b'(') => {
            return cursor
                .list(1, |cursor| search_key(cursor, left))
                .map(K::And);
        }
        Some(b'0'..=b'9' | b'*' | b'$') => return SequenceSet::parse(cursor).map(K::Numbers),
        _ => {}
    }
    let name = cursor.word()?;
    let key = match name.as_slice() {
        b"ALL" => K::All,
        b"ANSWERED" => K::Flag(F::Answered, true),
        b"DELETED" => K::Flag(F::Deleted, true),
        b"DRAFT" => K::Flag(F::Draft, true),
        b"FLAGGED" => K::Flag(F::Flagged, true),
        b"RECENT" => K::Flag(F::Recent, true),
        b"SEEN" => K::Flag(F::Seen, true),
        b"UNANSWERED" => K::Flag(F::Answered, false),
        b"UNDELETED" => K::Flag(F::Deleted, false),
        b"UNDRAFT" => K::Flag(F::Draft, false),
        b"UNFLAGGED" => K::Flag(F::Flagged, false),
        b"UNSEEN" => K::Flag(F::Seen, false),
        b"OLD" => K::Flag(F::Recent, false),
        b"NEW" => K::New,
        b"KEYWORD" | b"UNKEYWORD" => {
            cursor.space()?;
            K::Keyword(atom(cursor)?.to_vec(), name == b"KEYWORD")
        }
        b"UID" => {
            cursor.space()?;
            K::Uids(SequenceSet::parse(cursor)?)
        }
        b"BCC" => K::Field(SearchField::Bcc, argument(cursor)?),
        b"CC" => K::Field(SearchField::Cc, argument(cursor)?),
        b"FROM" => K::Field(SearchField::From, argument(cursor)?),
        b"SUBJECT" => K::Field(SearchField::Subject, argument(cursor)?),
        b"TO" => K::Field(SearchField::To, argument(cursor)?),
        b"HEADER" => K::Header(argument(cursor)?, argument(cursor)?),
        b"BODY" => K::Body(argument(cursor)?),
        b"TEXT" => K::Text(argument(cursor)?),
        b"BEFORE" => K::Internal(Before, day(cursor)?),
        b"ON" => K::Internal(On, day(cursor)?),
        b"SINCE" => K::Internal(Since, day(cursor)?),
        b"SENTBEFORE" => K::Sent(Before, day(cursor)?),
        b"SENTON" => K::Sent(On, day(cursor)?),
        b"SENTSINCE" => K::Sent(Since, day(cursor)?),
        b"LARGER" | b"SMALLER" => {
            cursor.space()?;
            let size = cursor.number64()?;
            if name == b"LARGER" {
                K::Larger(size)
            } else {
                K::Smaller(size)
            }
        }
        b"YOUNGER" | b"OLDER" => {
            cursor.space()?;
            let seconds = cursor.nz_number()?;
            if name == b"YOUNGER" {
                K::Younger(seconds)
            } else {
                K::Older(seconds)
            }
        }
        b"NOT" => {
            cursor.space()?;
            K::Not(Box::new(cursor.nested(|cursor| search_key(cursor, left))?))
        }
        b"OR" => {
            cursor.space()?;
            let first = cursor.nested(|cursor| search_key(cursor, left))?;
            cursor.space()?;
            let second = cursor.nested(|cursor| search_key(cursor, left))?;
            K::Or(Box::new(first), Box::new(second))
        }
        _ => return Err(SyntaxError::Malformed),
    };
    Ok(key)
}

fn argument(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.space()?;
    // Bytes outside ASCII in an unquoted word are no astring; the original takes punctuation such as `[` here.
    astring(cursor)
}

fn day(cursor: &mut Cursor<'_>) -> Parsed<Date> {
    cursor.space()?;
    date::date(cursor)
}

fn starts_with_word(cursor: &Cursor<'_>, word: &[u8]) -> bool {
    let mut ahead = cursor.clone();
    ahead.eat_text(word) && matches!(ahead.peek(), Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Search> {
        Search::parse(&mut Cursor::new(text.as_bytes()), false)
    }

    #[test]
    fn keys_nest() {
        let search = parse(" CHARSET UTF-8 NOT NOT 1:3 OR (SEEN UNDELETED) FROM \"x\"").unwrap();
        assert_eq!(search.charset.as_deref(), Some(&b"UTF-8"[..]));
        let SearchKey::And(keys) = search.key else {
            panic!("no And")
        };
        assert!(matches!(
            keys.as_slice(),
            [SearchKey::Not(_), SearchKey::Or(_, _)]
        ));
    }

    #[test]
    fn results_default_to_all() {
        assert_eq!(
            parse(" RETURN () ALL").unwrap().results,
            Some(SearchResults {
                all: true,
                ..SearchResults::default()
            })
        );
        assert!(parse(" RETURN (MIN COUNT) CHARSET US-ASCII 1").is_ok());
        assert!(parse(" RETURN (PARTIAL) ALL").is_err());
        assert!(parse(" RETURN MIN ALL").is_err());
        let saved = parse(" RETURN (SAVE) $ SEEN").unwrap().results.unwrap();
        assert!(saved.save && !saved.all);
    }

    #[test]
    fn what_is_not_search() {
        for text in [
            "",
            " ",
            " CHARSET UTF-8",
            " ()",
            " (ALL",
            " NOT",
            " OR ALL",
            " BEFORE 1-Foo-2000",
            " LARGER x",
            " HEADER Subject",
            " UID 0",
            " YOUNGER 0",
            " FOO",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn depth_and_count_are_bounded() {
        assert!(parse(&format!(" {}ALL", "NOT ".repeat(190))).is_ok());
        assert_eq!(
            parse(&format!(" {}ALL", "NOT ".repeat(100_000))),
            Err(SyntaxError::TooComplex)
        );
        assert_eq!(
            parse(&format!(" {}", "(".repeat(100_000))),
            Err(SyntaxError::TooComplex)
        );
        assert_eq!(
            parse(&format!(" ALL{}", " ALL".repeat(100_000))),
            Err(SyntaxError::TooComplex)
        );
    }
}
