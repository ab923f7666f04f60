//! `-block` and `-allow`: what lists in the domain name system say about a client (contract: couriertcpd 1.8). Nothing
//! here refuses anybody: variables are set, and `-drop` or the served program looks at them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::environment::Environment;

/// After this long the lists that are left are not asked any more, as if they did not know the client: each of them
/// can cost the resolver's time-outs, twice.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Longest name that can be asked for.
const NAME_MAX: usize = 255;

/// Which of the two options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `-block`.
    Block,
    /// `-allow`.
    Allow,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    kind: Kind,
    zone: String,
    shown: String,
    variable: String,
    /// The only address that counts.
    wanted: Option<Ipv4Addr>,
    message: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Addresses.
    A,
    /// Text.
    Txt,
}

impl List {
    /// Reads `ZONE[=DISPLAYZONE][,VAR[/A.B.C.D][,MSG]]`, in which the address may follow the zone as well.
    ///
    /// # Errors
    /// The message to print.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let name = match kind {
            Kind::Block => "block",
            Kind::Allow => "allow",
        };
        let invalid = || format!("Invalid -{name} option: {text}");
        let (zones, rest) = match text.split_once(',') {
            Some((zones, rest)) => (zones, Some(rest)),
            None => (text, None),
        };
        let (zone, shown) = match zones.split_once('=') {
            Some((zone, shown)) => (zone, Some(shown)),
            None => (zones, None),
        };
        let (zone, behind_zone) = with_address(zone).ok_or_else(invalid)?;
        let (variable, message) = match rest.map(|rest| rest.split_once(',').ok_or(rest)) {
            None => ("", None),
            Some(Ok((variable, message))) => (variable, Some(message.to_owned())),
            Some(Err(variable)) => (variable, None),
        };
        let (variable, behind_variable) = with_address(variable).ok_or_else(invalid)?;
        let zone = zone.trim_matches('.');
        if zone.is_empty() || variable.contains(['=', '\0']) {
            return Err(invalid());
        }
        Ok(Self {
            kind,
            zone: zone.to_owned(),
            shown: shown
                .filter(|shown| !shown.is_empty())
                .unwrap_or(zone)
                .to_owned(),
            variable: match variable {
                "" => "BLOCK".to_owned(),
                name => name.to_owned(),
            },
            wanted: behind_variable.or(behind_zone),
            message,
        })
    }

    fn wants_text(&self) -> bool {
        match self.kind {
            Kind::Block => self.message.as_deref() == Some("*"),
            Kind::Allow => self.message.is_some(),
        }
    }

    /// The name that stands for `address` in this list.
    fn query(&self, address: Ipv6Addr) -> Option<String> {
        let mut name = String::new();
        if let Some(v4) = address.to_ipv4_mapped() {
            for octet in v4.octets().iter().rev() {
                name.push_str(&format!("{octet}."));
            }
        } else {
            for octet in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
        }
        name.push_str(&self.zone);
        (name.len() <= NAME_MAX).then_some(name)
    }
}

/// `TEXT[/A.B.C.D]`; None if what follows the slash is no address.
fn with_address(text: &str) -> Option<(&str, Option<Ipv4Addr>)> {
    match text.split_once('/') {
        None => Some((text, None)),
        Some((text, address)) => Some((text, Some(address.parse().ok()?))),
    }
}

/// Asks `lists` in their order about the client `address`, which `shown` is in messages, and sets the variables of
/// those that know it. `ask` gives the answer to a question as it came from the network, nothing if there is none.
pub fn apply(
    lists: &[List],
    address: Ipv6Addr,
    shown: &str,
    environment: &mut Environment,
    ask: &dyn Fn(&str, Record) -> Option<Vec<u8>>,
) {
    let mut allowed = 0_usize;
    for list in lists {
        let variable = list.variable.as_bytes();
        if environment.get(variable).is_some() {
            continue;
        }
        let Some(name) = list.query(address) else {
            continue;
        };
        let addresses = ask(&name, Record::A).map_or_else(Vec::new, |answer| addresses_in(&answer));
        let text = list
            .wants_text()
            .then(|| ask(&name, Record::Txt).and_then(|answer| text_in(&answer)))
            .flatten()
            .filter(|text| !text.is_empty());
        let mut matching = addresses
            .iter()
            .filter(|found| list.wanted.is_none_or(|wanted| wanted == **found));
        let found = if list.message.is_some() {
            matching.next_back()
        } else {
            matching.next()
        };
        if found.is_none() && (list.wanted.is_some() || text.is_none()) {
            continue;
        }
        let value = match (list.kind, list.message.as_deref(), &text) {
            (Kind::Allow, ..) => Vec::new(),
            // A text says nothing about one address among several.
            (Kind::Block, Some("*"), Some(text)) if list.wanted.is_none() => text.clone(),
            (Kind::Block, Some("*"), _) => b"*".to_vec(),
            (Kind::Block, Some(message), _) if !message.is_empty() => {
                message.replacen('@', shown, 1).into_bytes()
            }
            (Kind::Block, ..) => format!("Blacklisted by {}", list.zone)
                .replacen('@', shown, 1)
                .into_bytes(),
        };
        let mut set = |suffix: &str, value: &[u8]| {
            environment.set(format!("{}{suffix}", list.variable).as_bytes(), value);
        };
        set("", &value);
        if let Some(found) = found {
            set("_IP", found.to_string().as_bytes());
        }
        set("_ZONE", list.shown.as_bytes());
        if let Some(text) = &text {
            set("_TXT", text);
        }
        if list.kind == Kind::Allow {
            environment.set(format!("ALLOW_{allowed}").as_bytes(), variable);
            allowed = allowed.saturating_add(1);
        }
    }
}

/// `ask`, which gives no more answers once `limit` has passed from now.
pub fn within(
    limit: Duration,
    ask: impl Fn(&str, Record) -> Option<Vec<u8>>,
) -> impl Fn(&str, Record) -> Option<Vec<u8>> {
    let start = Instant::now();
    move |name, record| (start.elapsed() < limit).then(|| ask(name, record))?
}

/// Types and classes of RFC 1035 section 3.2.
const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;
const CLASS_IN: u16 = 1;

/// The addresses in an answer, in their order. The resolver has followed aliases, whose targets are in there too.
fn addresses_in(answer: &[u8]) -> Vec<Ipv4Addr> {
    records(answer, TYPE_A)
        .filter_map(|data| <[u8; 4]>::try_from(data).ok())
        .map(Ipv4Addr::from)
        .collect()
}

/// The first text in an answer, its pieces one behind the other, without what a variable cannot hold.
fn text_in(answer: &[u8]) -> Option<Vec<u8>> {
    let mut data = records(answer, TYPE_TXT).next()?;
    let mut text = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let piece = rest.get(..usize::from(length))?;
        text.extend(piece.iter().filter(|byte| !byte.is_ascii_control()));
        data = rest.get(usize::from(length)..).unwrap_or_default();
    }
    Some(text)
}

/// The data of the answer's records of one type (RFC 1035 section 4.1). Ends at the first thing that is wrong.
fn records(answer: &[u8], wanted: u16) -> impl Iterator<Item = &[u8]> {
    let mut position = HEADER;
    let questions = number(answer, 4).unwrap_or(0);
    let mut left = number(answer, 6).unwrap_or(0);
    for _ in 0..questions {
        position = after_name(answer, position).map_or(usize::MAX, |end| end.saturating_add(4));
    }
    std::iter::from_fn(move || {
        while left > 0 {
            left = left.saturating_sub(1);
            let fixed = after_name(answer, position)?;
            let (kind, class) = (
                number(answer, fixed)?,
                number(answer, fixed.checked_add(2)?)?,
            );
            let length = number(answer, fixed.checked_add(8)?)?;
            let start = fixed.checked_add(10)?;
            let end = start.checked_add(usize::from(length))?;
            let data = answer.get(start..end)?;
            position = end;
            if (kind, class) == (wanted, CLASS_IN) {
                return Some(data);
            }
        }
        None
    })
}

/// Length of a message's header.
const HEADER: usize = 12;

/// Where the name that begins at `position` ends. A pointer ends it; where that points to is nobody's concern here.
fn after_name(message: &[u8], mut position: usize) -> Option<usize> {
    loop {
        let length = *message.get(position)?;
        position = position.checked_add(1)?;
        match length {
            0 => return Some(position),
            1..=63 => position = position.checked_add(usize::from(length))?,
            192.. => return position.checked_add(1),
            _ => return None,
        }
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> List {
        List::parse(Kind::Block, text).unwrap()
    }

    fn allow(text: &str) -> List {
        List::parse(Kind::Allow, text).unwrap()
    }

    /// An answer with an alias and these records behind the question.
    fn answer(records: &[(u16, &[u8])]) -> Vec<u8> {
        let count = u16::try_from(records.len() + 1).unwrap();
        let mut message = vec![0, 1, 0x81, 0x80, 0, 1];
        message.extend_from_slice(&count.to_be_bytes());
        message.extend_from_slice(&[0, 0, 0, 0]);
        message.extend_from_slice(b"\x012\x04zone\0\0\x01\0\x01");
        for (kind, data) in [(5_u16, &b"\x01x\xc0\x0e"[..])].iter().chain(records) {
            message.extend_from_slice(b"\xc0\x0c");
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 0, 9]);
            message.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    /// What is set for the client 192.0.2.7, `before` being set already.
    fn set(lists: &[List], before: &[(&str, &str)], a: &[[u8; 4]], txt: &[u8]) -> Vec<String> {
        let mut environment = Environment::default();
        for (name, value) in before {
            environment.set(name.as_bytes(), value.as_bytes());
        }
        let address = "::ffff:192.0.2.7".parse().unwrap();
        apply(
            lists,
            address,
            "::ffff:192.0.2.7",
            &mut environment,
            &|name, record| {
                assert!(name.starts_with("7.2.0.192."), "{name}");
                match record {
                    Record::A if a.is_empty() => None,
                    Record::A => {
                        let records: Vec<(u16, &[u8])> =
                            a.iter().map(|a| (TYPE_A, &a[..])).collect();
                        Some(answer(&records))
                    }
                    Record::Txt => (!txt.is_empty()).then(|| answer(&[(TYPE_TXT, txt)])),
                }
            },
        );
        let mut lines: Vec<String> = environment
            .entries()
            .iter()
            .map(|entry| entry.to_str().unwrap().to_owned())
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn lists_are_asked_for_a_limited_time() {
        let asked = std::cell::Cell::new(0);
        let ask = |_: &str, _| {
            asked.set(asked.get() + 1);
            Some(answer(&[(TYPE_A, &[127, 0, 0, 2])]))
        };
        let lists = [block("one.example"), block("two.example,OTHER")];
        let mut environment = Environment::default();
        let address = "::ffff:192.0.2.7".parse().unwrap();
        let (none, enough) = (Duration::ZERO, Duration::from_secs(1000));
        apply(&lists, address, "", &mut environment, &within(none, ask));
        assert_eq!((asked.get(), environment.entries().len()), (0, 0));
        apply(&lists, address, "", &mut environment, &within(enough, ask));
        assert!(environment.get(b"BLOCK").is_some() && environment.get(b"OTHER").is_some());
        assert_eq!(asked.get(), 2);
    }

    const TWO: [[u8; 4]; 2] = [[127, 0, 0, 2], [127, 0, 0, 9]];

    #[test]
    fn specifications_are_taken_apart() {
        let list = block("zone.example");
        assert_eq!(
            (list.shown.as_str(), list.variable.as_str()),
            ("zone.example", "BLOCK")
        );
        assert_eq!((list.wanted, list.message.as_deref()), (None, None));
        let list = block("z/127.0.0.2=Shown,VAR,go away, @, please");
        assert_eq!((list.zone.as_str(), list.shown.as_str()), ("z", "Shown"));
        assert_eq!(list.wanted, Some(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(list.message.as_deref(), Some("go away, @, please"));
        let list = allow("z,OK/127.0.0.3,");
        assert_eq!(
            (list.variable.as_str(), list.message.as_deref()),
            ("OK", Some(""))
        );
        for wrong in ["", ",X", "z/1.2.3", "z,A/b", "z,A=b"] {
            assert_eq!(
                List::parse(Kind::Block, wrong).unwrap_err(),
                format!("Invalid -block option: {wrong}")
            );
        }
    }

    #[test]
    fn names_are_reversed() {
        let list = block("z");
        let name = |address: &str| list.query(address.parse().unwrap()).unwrap();
        assert_eq!(name("::ffff:192.0.2.7"), "7.2.0.192.z");
        assert_eq!(
            name("2001:db8::f1"),
            "1.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.z"
        );
        assert_eq!(block(&"z".repeat(250)).query(Ipv6Addr::LOCALHOST), None);
    }

    #[test]
    fn hits_set_variables() {
        assert_eq!(
            set(&[block("z=List")], &[], &TWO, b""),
            [
                "BLOCK=Blacklisted by z",
                "BLOCK_IP=127.0.0.2",
                "BLOCK_ZONE=List"
            ]
        );
        // With a message the last address counts, with a wanted one only that.
        assert_eq!(
            set(&[block("z,B,no @ or @")], &[], &TWO, b""),
            ["B=no ::ffff:192.0.2.7 or @", "B_IP=127.0.0.9", "B_ZONE=z"]
        );
        assert_eq!(
            set(&[block("z,B/127.0.0.9")], &[], &TWO, b""),
            ["B=Blacklisted by z", "B_IP=127.0.0.9", "B_ZONE=z"]
        );
        assert_eq!(set(&[block("z/127.0.0.7")], &[], &TWO, b""), [""; 0]);
        assert_eq!(set(&[block("z")], &[], &[], b""), [""; 0]);
    }

    #[test]
    fn texts_are_used_where_they_are_asked_for() {
        let txt = b"\x04spam\x05\nhere";
        assert_eq!(set(&[block("z")], &[], &TWO, txt).len(), 3);
        assert_eq!(
            set(&[block("z,B,*")], &[], &TWO, txt),
            ["B=spamhere", "B_IP=127.0.0.9", "B_TXT=spamhere", "B_ZONE=z"]
        );
        assert_eq!(
            set(&[block("z,B/127.0.0.2,*")], &[], &TWO, txt),
            ["B=*", "B_IP=127.0.0.2", "B_TXT=spamhere", "B_ZONE=z"]
        );
        assert_eq!(set(&[block("z,B,*")], &[], &TWO, b"")[0], "B=*");
        // Text alone is enough, unless one address is wanted.
        assert_eq!(
            set(&[block("z,B,*")], &[], &[], txt),
            ["B=spamhere", "B_TXT=spamhere", "B_ZONE=z"]
        );
        assert_eq!(set(&[block("z/127.0.0.2,B,*")], &[], &[], txt), [""; 0]);
    }

    #[test]
    fn what_is_set_already_is_skipped() {
        assert_eq!(
            set(&[allow("good"), block("bad")], &[], &TWO, b""),
            [
                "ALLOW_0=BLOCK",
                "BLOCK=",
                "BLOCK_IP=127.0.0.2",
                "BLOCK_ZONE=good"
            ]
        );
        assert_eq!(set(&[block("z")], &[("BLOCK", "")], &TWO, b""), ["BLOCK="]);
        assert_eq!(
            set(&[allow("a,A,"), allow("b,B")], &[], &TWO, b"\x02ok"),
            [
                "A=",
                "ALLOW_0=A",
                "ALLOW_1=B",
                "A_IP=127.0.0.9",
                "A_TXT=ok",
                "A_ZONE=a",
                "B=",
                "B_IP=127.0.0.2",
                "B_ZONE=b",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_answer_harms_the_reader(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            whole in proptest::prelude::any::<bool>(),
            cut in 0..80_usize,
        ) {
            if whole {
                bytes = answer(&[(TYPE_A, &[127, 0, 0, 2]), (TYPE_TXT, &bytes)]);
                bytes.truncate(bytes.len().saturating_sub(cut));
            }
            addresses_in(&bytes);
            text_in(&bytes);
        }
    }
}
