//! Replies as trees, and what two of them differ in.

use std::collections::{BTreeMap, BTreeSet};

use harness::client::{Reply, Response};

/// One value of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// An atom, with everything in brackets that belongs to it.
    Atom(Vec<u8>),
    /// A quoted string or a literal, which mean the same.
    Text(Vec<u8>),
    /// A list in parentheses.
    List(Vec<Self>),
}

/// One place where two replies differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    /// Where: `tagged`, `FETCH/KIND/ITEM`, `SEARCH/KIND`, or the response's name.
    pub(crate) place: String,
    /// What ours has there; `-` for nothing.
    pub(crate) ours: String,
    /// What the original has there.
    pub(crate) theirs: String,
}

/// A response by what it is about: its name, with number, mailbox or response code.
type Responses = BTreeMap<String, Vec<Value>>;

/// Everything that differs. `kinds` names the messages of the mailbox, first to last; `by_uid` says whether a search
/// gives UIDs, which `uids` then turns into numbers.
pub(crate) fn differences(
    ours: &Reply,
    theirs: &Reply,
    kinds: &[String],
    uids: Option<&[String]>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    if ours.tagged != theirs.tagged {
        found.push(Difference {
            place: "tagged".to_owned(),
            ours: ours.tagged.clone(),
            theirs: theirs.tagged.clone(),
        });
    }
    let (one, other) = (responses(ours), responses(theirs));
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let empty = Vec::new();
    for key in keys {
        let left = one.get(key).unwrap_or(&empty);
        let right = other.get(key).unwrap_or(&empty);
        if left == right {
            continue;
        }
        if key == "SEARCH" && one.contains_key(key) == other.contains_key(key) {
            compare_sets(left, right, kinds, uids, &mut found);
            continue;
        }
        compare(&place(key, kinds), left, right, &mut found);
    }
    found
}

/// `3 FETCH ENVELOPE` as `FETCH/KIND/ENVELOPE`.
fn place(key: &str, kinds: &[String]) -> String {
    let mut words = key.splitn(3, ' ');
    let number = words.next().and_then(|word| word.parse::<usize>().ok());
    match (number, words.next(), words.next()) {
        (Some(number), Some("FETCH"), Some(item)) => {
            let kind = number.checked_sub(1).and_then(|index| kinds.get(index));
            format!("FETCH/{}/{item}", kind.map_or("none", String::as_str))
        }
        _ => key.to_owned(),
    }
}

fn compare_sets(
    left: &[Value],
    right: &[Value],
    kinds: &[String],
    uids: Option<&[String]>,
    found: &mut Vec<Difference>,
) {
    let numbers = |values: &[Value]| -> BTreeSet<String> { values.iter().map(printed).collect() };
    let (one, other) = (numbers(left), numbers(right));
    for number in one.symmetric_difference(&other) {
        let index = match uids {
            Some(uids) => uids.iter().position(|uid| uid == number),
            None => number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)),
        };
        let kind = index.and_then(|index| kinds.get(index));
        let word = |has: bool| if has { "found" } else { "-" }.to_owned();
        found.push(Difference {
            place: format!("SEARCH/{}", kind.map_or("none", String::as_str)),
            ours: word(one.contains(number)),
            theirs: word(other.contains(number)),
        });
    }
}

fn compare(place: &str, left: &[Value], right: &[Value], found: &mut Vec<Difference>) {
    for index in 0..left.len().max(right.len()) {
        match (left.get(index), right.get(index)) {
            (Some(one), Some(other)) if one == other => {}
            (Some(Value::List(one)), Some(Value::List(other))) => {
                compare(place, one, other, found);
            }
            (one, other) => {
                let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), printed);
                found.push(Difference {
                    place: place.to_owned(),
                    ours: text(one),
                    theirs: text(other),
                });
            }
        }
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Atom(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Text(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::List(values) => {
            let inner: Vec<String> = values.iter().map(printed).collect();
            format!("({})", inner.join(" "))
        }
    }
}

fn responses(reply: &Reply) -> Responses {
    let mut all = Responses::new();
    for response in &reply.untagged {
        let line = response.line();
        let line = line.strip_prefix("* ").unwrap_or(&line);
        let upper = line.to_ascii_uppercase();
        if let Some(rest) = ["OK ", "NO ", "BAD ", "BYE "]
            .iter()
            .find_map(|word| upper.strip_prefix(word))
        {
            // Free text is told apart by its code only.
            let code = rest.split([' ', ']']).next().unwrap_or_default();
            let word = upper.split(' ').next().unwrap_or_default();
            let key = if code.starts_with('[') {
                format!("{word} {code}")
            } else {
                word.to_owned()
            };
            let mut line = line.as_bytes().to_vec();
            if code == "[PERMANENTFLAGS" {
                let mut words: Vec<&[u8]> = line.split(|byte| b" ()".contains(byte)).collect();
                words.sort_unstable();
                line = words.join(&b' ');
            }
            all.entry(key).or_default().push(Value::Atom(line));
            continue;
        }
        let star = Value::Atom(b"*".to_vec());
        let mut values = Parser::parse(response)
            .into_iter()
            .skip_while(|value| *value == star);
        let first = values.next().as_ref().map_or(String::new(), printed);
        let rest: Vec<Value> = values.collect();
        match (first.as_str(), rest.first()) {
            ("FLAGS", Some(Value::List(_))) => {
                all.insert(first, rest.into_iter().map(sorted).collect());
            }
            ("LIST" | "LSUB", _) => {
                let name = rest.last().map_or(String::new(), printed);
                let name = name.trim_matches('"').to_owned();
                let attributes = rest.into_iter().take(2).map(sorted);
                all.entry(format!("{first} {name}"))
                    .or_default()
                    .extend(attributes);
            }
            ("CAPABILITY", _) => {
                // A word at a time, so that each has its own line in the list.
                for word in rest {
                    all.insert(format!("{first} {}", printed(&word)), vec![word]);
                }
            }
            (_, Some(Value::Atom(word))) if word.eq_ignore_ascii_case(b"FETCH") => {
                if let Some(Value::List(items)) = rest.get(1) {
                    for pair in items.chunks(2) {
                        let (Some(name), Some(value)) = (pair.first(), pair.get(1)) else {
                            continue;
                        };
                        let name = printed(name);
                        let value = if name == "FLAGS" {
                            sorted(value.clone())
                        } else {
                            value.clone()
                        };
                        all.insert(format!("{first} FETCH {name}"), vec![value]);
                    }
                }
            }
            (number, Some(Value::Atom(word))) if number.bytes().all(|b| b.is_ascii_digit()) => {
                let word = String::from_utf8_lossy(word).into_owned();
                all.entry(word)
                    .or_default()
                    .push(Value::Atom(number.as_bytes().to_vec()));
            }
            _ => all.entry(first).or_default().extend(rest),
        }
    }
    all
}

/// A list of flags in one order.
fn sorted(value: Value) -> Value {
    match value {
        Value::List(mut values) => {
            values.sort_by_key(printed);
            Value::List(values)
        }
        other => other,
    }
}

/// Reads the values of a response.
struct Parser<'a> {
    response: &'a Response,
    piece: usize,
    at: usize,
}

impl Parser<'_> {
    fn parse(response: &Response) -> Vec<Value> {
        let mut parser = Parser {
            response,
            piece: 0,
            at: 0,
        };
        parser.values(0)
    }

    fn rest(&self) -> &[u8] {
        let text = self.response.text.get(self.piece);
        let text = text.and_then(|text| text.get(self.at..));
        text.unwrap_or_default()
    }

    fn values(&mut self, depth: usize) -> Vec<Value> {
        let mut values = Vec::new();
        loop {
            let rest = self.rest();
            let last = self.piece + 1 >= self.response.text.len();
            // The announcement of the literal that follows this piece.
            if !last && rest.starts_with(b"{") && !rest.contains(&b' ') {
                let literal = self.response.literals.get(self.piece);
                values.push(Value::Text(literal.cloned().unwrap_or_default()));
                self.piece += 1;
                self.at = 0;
                continue;
            }
            match rest.first() {
                None => return values,
                Some(b' ') => self.at += 1,
                Some(b'(') => {
                    self.at += 1;
                    let inner = self.values(depth + 1);
                    values.push(Value::List(inner));
                }
                Some(b')') => {
                    self.at += 1;
                    if depth > 0 {
                        return values;
                    }
                }
                Some(b'"') => values.push(self.quoted()),
                Some(_) => values.push(self.atom()),
            }
        }
    }

    fn quoted(&mut self) -> Value {
        let mut text = Vec::new();
        let mut escaped = false;
        let mut length = 1;
        for &byte in self.rest().iter().skip(1) {
            length += 1;
            match byte {
                b'\\' if !escaped => escaped = true,
                b'"' if !escaped => break,
                _ => {
                    text.push(byte);
                    escaped = false;
                }
            }
        }
        self.at += length;
        Value::Text(text)
    }

    fn atom(&mut self) -> Value {
        let mut brackets = 0_usize;
        let rest = self.rest();
        let end = rest.iter().position(|&byte| {
            match byte {
                b'[' => brackets += 1,
                b']' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            brackets == 0 && matches!(byte, b' ' | b'(' | b')' | b'"')
        });
        let length = end.unwrap_or(rest.len()).max(1);
        let atom = rest.get(..length).unwrap_or_default().to_vec();
        self.at += length;
        Value::Atom(atom)
    }
}
