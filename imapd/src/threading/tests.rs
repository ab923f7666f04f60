//! Threads of small and of hostile mailboxes.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Gatherer, Threads};
use crate::writer::Writer;

/// What is known of a message.
#[derive(Debug, Default)]
struct Headers {
    sent: i64,
    subject: String,
    reply: bool,
    id: Option<Vec<u8>>,
    references: Vec<Vec<u8>>,
}

fn add(gatherer: &mut Gatherer, number: u32, headers: &Headers) {
    let known = super::Headers {
        sent: headers.sent,
        subject: headers.subject.as_bytes(),
        reply: headers.reply,
        id: headers.id.as_deref(),
    };
    gatherer.add(number, &known, headers.references.iter().map(Vec::as_slice));
}

/// `id date subject references`, `-` for no id; a subject that begins with `R:` is a reply's.
fn gather(messages: &[&str]) -> Gatherer {
    let mut gatherer = Gatherer::default();
    for (line, number) in messages.iter().zip(1..) {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or("");
        let (id, sent, subject) = (word(), word(), word());
        add(
            &mut gatherer,
            number,
            &Headers {
                sent: sent.parse().unwrap(),
                subject: subject.trim_start_matches("R:").to_owned(),
                reply: subject.starts_with("R:"),
                id: (id != "-").then(|| id.as_bytes().to_vec()),
                references: words.map(|id| id.as_bytes().to_vec()).collect(),
            },
        );
    }
    gatherer
}

fn show(threads: &Threads) -> String {
    let mut out = Writer::memory();
    threads.write(&mut out, |number| number);
    String::from_utf8(out.take()).unwrap()
}

fn references(messages: &[&str]) -> String {
    show(&gather(messages).by_references())
}

fn subjects(messages: &[&str]) -> String {
    show(&gather(messages).by_subject())
}

#[test]
fn refs() {
    let refs = |messages: &[&str]| show(&gather(messages).by_references_alone());
    assert_eq!(refs(&[]), "");
    // Subjects do not count.
    assert_eq!(refs(&["a 1 x", "b 2 R:x"]), " (1)(2)");
    // The thread with the newest message comes last, whenever it began.
    assert_eq!(
        refs(&["a 1 x", "b 2 y", "c 9 R:x a", "d 3 R:z b"]),
        " (2 4)(1 3)"
    );
    // Two answers to a message that is not there stay together.
    assert_eq!(refs(&["b 5 R:x a", "c 2 R:x a", "d 4 y"]), " (3)((2)(1))");
}

#[test]
fn ordered_subject() {
    assert_eq!(subjects(&[]), "");
    assert_eq!(subjects(&["a 1 x", "b 2 y"]), " (1)(2)");
    assert_eq!(subjects(&["a 5 x", "b 2 y", "c 1 x"]), " (3 1)(2)");
    // No grandchildren: the third and later ones are siblings of the second.
    assert_eq!(
        subjects(&["a 1 x", "b 3 x", "c 2 x", "d 0 y"]),
        " (4)(1 (3)(2))"
    );
    assert_eq!(subjects(&["a 1 x", "b 1 x", "c 1 y"]), " (1 2)(3)");
    // References do not count here.
    assert_eq!(subjects(&["a 1 x", "b 2 y a"]), " (1)(2)");
}

#[test]
fn chains_and_branches() {
    assert_eq!(references(&[]), "");
    assert_eq!(
        references(&["a 1 x", "b 2 R:x a", "c 3 R:x a b"]),
        " (1 2 3)"
    );
    assert_eq!(
        references(&["a 1 x", "b 2 R:x a", "c 3 R:x a", "d 4 R:x a c"]),
        " (1 (2)(3 4))"
    );
    // Whatever the order in the mailbox; siblings by date.
    assert_eq!(
        references(&["d 4 R:x a c", "c 2 R:x a", "b 3 R:x a", "a 1 x"]),
        " (4 (2 1)(3))"
    );
    // The example of RFC 5256 section 4: (2)(3 6 (4 23)(44 7 96)).
    assert_eq!(
        references(&[
            "b 1 p",
            "c 2 q",
            "f 3 R:q c",
            "d 4 R:q c f",
            "w 5 R:q c f d",
            "x 6 R:q c f",
            "g 7 R:q c f x",
            "y 8 R:q c f x g",
        ]),
        " (1)(2 3 (4 5)(6 7 8))"
    );
}

#[test]
fn missing_messages() {
    // One child of a missing parent takes its place; two stay together.
    assert_eq!(references(&["b 1 R:x a"]), " (1)");
    assert_eq!(references(&["b 1 R:x a", "c 2 R:x a"]), " ((1)(2))");
    assert_eq!(references(&["b 1 x a", "c 2 y a"]), " ((1)(2))");
    // Below a message the missing ones vanish.
    assert_eq!(
        references(&["a 1 x", "c 2 R:x a b", "d 3 R:x a b"]),
        " (1 (2)(3))"
    );
    // Dummies below dummies are one.
    assert_eq!(
        references(&["d 1 x a b", "e 2 y a b", "f 3 z a c"]),
        " ((1)(2)(3))"
    );
    assert_eq!(references(&["d 1 x a b c", "d 2 x a b c"]), " ((1)(2))");
}

#[test]
fn wrong_and_odd_references() {
    // An id used twice belongs to the first; the second hangs on its own references.
    assert_eq!(references(&["a 1 p", "a 2 q", "b 3 r a"]), " (1 3)(2)");
    // Loops are refused.
    assert_eq!(references(&["a 1 p b", "b 2 q a"]), " (2 1)");
    assert_eq!(references(&["a 1 p a"]), " (1)");
    assert_eq!(references(&["a 1 p a b a"]), " (1)");
    assert_eq!(references(&["a 1 p", "b 2 q c a c a"]), " (1 2)");
    // A message's own header overrules what another's says of its parent.
    assert_eq!(
        references(&["a 1 p", "b 2 q", "d 4 s a c", "c 3 r b"]),
        " (1)(2 4 3)"
    );
    // Also if it says that there is none.
    assert_eq!(references(&["a 1 p", "c 3 q a b", "b 2 r"]), " (1)(3 2)");
    // An existing parent is not overruled by a third message.
    assert_eq!(
        references(&["a 1 p", "b 2 q", "c 3 r a", "d 4 s b c"]),
        " (1 3 4)(2)"
    );
    assert_eq!(references(&["- 1 p", "- 2 q", "- 3 r"]), " (1)(2)(3)");
}

#[test]
fn same_subjects() {
    // A reply goes below the original, whatever the order of dates.
    assert_eq!(references(&["a 1 x", "b 2 R:x"]), " (1 2)");
    assert_eq!(references(&["a 2 x", "b 1 R:x"]), " (1 2)");
    assert_eq!(references(&["a 1 x", "b 2 R:x", "c 3 R:x"]), " (1 (2)(3))");
    // Two originals, or two replies, are siblings.
    assert_eq!(references(&["a 1 x", "b 2 x"]), " ((1)(2))");
    assert_eq!(references(&["a 1 R:x", "b 2 R:x"]), " ((1)(2))");
    assert_eq!(references(&["a 1 x", "b 2 x", "c 3 R:x"]), " ((1)(2)(3))");
    // The original stays where it is when a reply was merged before.
    assert_eq!(references(&["a 1 x", "c 2 R:x", "b 3 x"]), " ((1 2)(3))");
    // Threads with a missing root are merged into one.
    assert_eq!(
        references(&["b 1 x m", "c 2 x m", "d 3 x n", "e 4 x n"]),
        " ((1)(2)(3)(4))"
    );
    assert_eq!(references(&["b 2 x m", "c 3 x m", "a 1 x"]), " ((3)(1)(2))");
    // No subject is no reason.
    assert_eq!(references(&["a 1 ", "b 2 R:"]), " (1)(2)");
    // Only roots are looked at.
    assert_eq!(references(&["a 1 x", "b 2 y a", "c 3 R:y"]), " (1 2)(3)");
}

#[test]
fn threads_are_in_the_order_of_dates() {
    assert_eq!(references(&["a 3 x", "b 2 y", "c 1 z"]), " (3)(2)(1)");
    assert_eq!(references(&["a 1 x", "b 1 y", "c 1 z"]), " (1)(2)(3)");
    // A missing root stands where its oldest child does.
    assert_eq!(references(&["a 2 x", "b 9 p m", "c 1 q m"]), " ((3)(2))(1)");
}

/// The algorithm as the RFC tells it, with no thought for time: parents by walking.
fn slow_parents(messages: &[(u8, Vec<u8>)]) -> Vec<Option<usize>> {
    const IDS: usize = 8;
    let mut parents: Vec<Option<usize>> = vec![None; IDS];
    let mut owner: Vec<Option<usize>> = vec![None; IDS];
    let mut nodes = Vec::new();
    let is_above = |parents: &[Option<usize>], low: usize, high: usize| {
        let mut at = Some(low);
        while let Some(node) = at {
            if node == high {
                return true;
            }
            at = parents[node];
        }
        false
    };
    for (entry, (id, refs)) in messages.iter().enumerate() {
        let id = *id as usize;
        let node = if owner[id].is_none() {
            id
        } else {
            parents.push(None);
            owner.push(None);
            parents.len() - 1
        };
        owner[node] = Some(entry);
        nodes.push(node);
        for pair in refs.windows(2) {
            let (parent, child) = (pair[0] as usize, pair[1] as usize);
            if parents[child].is_none() && !is_above(&parents, parent, child) {
                parents[child] = Some(parent);
            }
        }
        parents[node] = None;
        if let Some(&last) = refs.last() {
            if !is_above(&parents, last as usize, node) {
                parents[node] = Some(last as usize);
            }
        }
    }
    nodes
        .iter()
        .map(|&node| {
            let mut at = parents[node];
            while let Some(above) = at.filter(|&above| owner[above].is_none()) {
                at = parents[above];
            }
            at.and_then(|above| owner[above])
        })
        .collect()
}

proptest! {
    #[test]
    fn links_are_those_of_the_slow_way(
        messages in proptest::collection::vec((0u8..8, proptest::collection::vec(0u8..8, 0..6)), 0..12)
    ) {
        let mut gatherer = Gatherer::default();
        for ((id, refs), number) in messages.iter().zip(1..) {
            add(&mut gatherer, number, &Headers {
                id: Some(vec![*id]),
                references: refs.iter().map(|id| vec![*id]).collect(),
                ..Headers::default()
            });
        }
        let found: Vec<Option<usize>> = gatherer
            .items()
            .into_iter()
            .map(|item| match item {
                super::Item::Below(entry) => Some(entry as usize),
                _ => None,
            })
            .collect();
        prop_assert_eq!(found, slow_parents(&messages));
    }

    #[test]
    fn each_message_is_shown_once(
        messages in proptest::collection::vec(
            (0u8..9, 0i64..4, 0u8..3, any::<bool>(), proptest::collection::vec(0u8..9, 0..5)), 0..20)
    ) {
        for by_references in [true, false] {
            let mut gatherer = Gatherer::default();
            for ((id, sent, subject, reply, refs), number) in messages.iter().zip(1..) {
                add(&mut gatherer, number, &Headers {
                    sent: *sent,
                    subject: "x".repeat(*subject as usize),
                    reply: *reply,
                    id: (*id > 0).then(|| vec![*id]),
                    references: refs.iter().map(|id| vec![*id]).collect(),
                });
            }
            let text = show(&if by_references { gatherer.by_references() } else { gatherer.by_subject() });
            let mut numbers: Vec<usize> = text
                .split(|c: char| !c.is_ascii_digit())
                .filter(|word| !word.is_empty())
                .map(|word| word.parse().unwrap())
                .collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (1..=messages.len()).collect::<Vec<_>>());
            prop_assert!(!text.contains("()") && !text.contains("( ") && !text.contains(" )"));
            let mut depth = 0;
            for c in text.chars() {
                depth += match c { '(' => 1, ')' => -1, _ => 0 };
                prop_assert!(depth >= 0);
            }
            prop_assert_eq!(depth, 0);
        }
    }
}

/// A mailbox whose references make the longest chains and the most refused loops.
#[test]
fn hostile_references_take_little_time_and_memory() {
    let start = Instant::now();
    let id = |number: usize| number.to_string().into_bytes();
    let mut gatherer = Gatherer {
        max_unknown: 10_000,
        ..Gatherer::default()
    };
    for number in 0..3000 {
        // Up and down the same chain.
        let references = (0..100)
            .map(|step| id((number * 37 + step * 7919) % 60_000))
            .collect();
        add(
            &mut gatherer,
            u32::try_from(number).unwrap() + 1,
            &Headers {
                id: Some(id(number)),
                references,
                subject: "x".to_owned(),
                ..Headers::default()
            },
        );
    }
    assert!(gatherer.owners.len() <= 10_000 + 9 * 3000);
    assert!(show(&gatherer.by_references()).len() > 3000);
    // One thread, a hundred thousand deep.
    let mut gatherer = Gatherer::default();
    for number in 0..100_000 {
        add(
            &mut gatherer,
            u32::try_from(number).unwrap() + 1,
            &Headers {
                sent: 1,
                id: Some(id(number)),
                references: vec![id(number + 1)],
                ..Headers::default()
            },
        );
    }
    let text = show(&gatherer.by_references());
    assert!(text.starts_with(" (100000 99999 99998") && text.ends_with(" 2 1)"));
    assert!(start.elapsed() < Duration::from_secs(9));
}
