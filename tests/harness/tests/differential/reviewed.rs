//! The list of reviewed differences, `tests/interop/differences`.

use std::cell::Cell;

use harness::{Error, programs};

use crate::relation;
use crate::reply::Difference;

/// One line of the list: four patterns, in which `%` stands for anything (`*` is common in IMAP), and the rule that our side follows.
struct Entry {
    line: usize,
    command: String,
    place: String,
    ours: String,
    theirs: String,
    used: Cell<bool>,
}

impl Entry {
    /// The last pattern, or with `=NAME` a relation to our side.
    fn allows_theirs(&self, difference: &Difference) -> bool {
        match self.theirs.strip_prefix('=') {
            Some(name) => relation::holds(name, &difference.ours, &difference.theirs) == Some(true),
            None => matches(&self.theirs, &difference.theirs),
        }
    }
}

/// The whole list.
pub(crate) struct Reviewed {
    entries: Vec<Entry>,
}

impl Reviewed {
    /// Reads the list.
    pub(crate) fn read() -> Result<Self, Error> {
        let path = programs::source_root().join("tests/interop/differences");
        let text =
            std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
        let mut entries = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = text.split(" | ").map(str::trim).collect();
            let &[command, place, ours, theirs, rule] = fields.as_slice() else {
                return Err(Error::new(format!(
                    "differences, line {line}: not five fields"
                )));
            };
            if let Some(name) = theirs.strip_prefix('=') {
                if relation::holds(name, "", "").is_none() {
                    return Err(Error::new(format!(
                        "differences, line {line}: no relation {name}"
                    )));
                }
            }
            if rule.is_empty() {
                return Err(Error::new(format!("differences, line {line}: no rule")));
            }
            entries.push(Entry {
                line,
                command: command.to_owned(),
                place: place.to_owned(),
                ours: ours.to_owned(),
                theirs: theirs.to_owned(),
                used: Cell::new(false),
            });
        }
        Ok(Self { entries })
    }

    /// Whether an entry allows `difference` in the reply to `command`. All entries that do count as used.
    pub(crate) fn allows(&self, command: &str, difference: &Difference) -> bool {
        let mut allowed = false;
        for entry in &self.entries {
            if matches(&entry.command, command)
                && matches(&entry.place, &difference.place)
                && matches(&entry.ours, &difference.ours)
                && entry.allows_theirs(difference)
            {
                entry.used.set(true);
                allowed = true;
            }
        }
        allowed
    }

    /// The lines that allowed nothing.
    pub(crate) fn unused(&self) -> Vec<usize> {
        let unused = self.entries.iter().filter(|entry| !entry.used.get());
        unused.map(|entry| entry.line).collect()
    }
}

/// Whether `text` is what `pattern` says.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('%');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        let Some((_, behind)) = rest.split_once(piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn a_percent_sign_stands_for_anything() {
    for (pattern, text) in [
        ("a", "a"),
        ("%", ""),
        ("a%", "abc"),
        ("%c", "abc"),
        ("a%b%c", "a--b--c"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("a", "ab"),
        ("a%b", "a"),
        ("a%b%c", "a-c"),
        ("", "a"),
        ("ab%b", "ab"),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}
