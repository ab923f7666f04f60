use super::*;

fn snapshot(messages: &[(u32, &[u8])]) -> Snapshot {
    let mut snapshot = Snapshot::new(1, false);
    for (uid, name) in messages {
        snapshot.push(Message::new(*uid, filename::flags(name)), name);
    }
    snapshot
}

#[test]
fn expunges_are_numbered_as_imap_wants_them() {
    let old = snapshot(&[(1, b"a:2,"), (2, b"b:2,"), (3, b"c:2,"), (5, b"e:2,S")]);
    let new = snapshot(&[(2, b"b:2,S"), (5, b"e:2,S"), (6, b"f:2,")]);
    let diff = Diff::between(&old, &new);
    assert_eq!(
        diff.expunged,
        [
            Expunged {
                sequence: 1,
                uid: 1
            },
            Expunged {
                sequence: 2,
                uid: 3
            }
        ]
    );
    assert_eq!(diff.changed, [0]);
    assert_eq!(diff.added, 1);
}

#[test]
fn messages_are_found_by_base_name() {
    let names: Vec<String> = (0..40).map(|number| format!("{number}.a:2,S")).collect();
    let messages: Vec<(u32, &[u8])> = (1..).zip(names.iter().map(String::as_bytes)).collect();
    let view = snapshot(&messages);
    for count in [0, 1, 8, 9, 30] {
        let mut bases: Vec<String> = (0..count).map(|number| format!("{number}.a")).collect();
        bases.push("1.".to_owned());
        bases.push("3.a:2".to_owned());
        let bases: Vec<&[u8]> = bases.iter().map(String::as_bytes).collect();
        let mut expected: Vec<Option<usize>> = (0..count).map(Some).collect();
        expected.extend([None, None]);
        assert_eq!(view.positions(&bases), expected);
    }
}

#[test]
fn names_survive_renames_and_compaction() {
    let mut snapshot = snapshot(&[]);
    for uid in 1..=2000 {
        let name = format!("{uid:050}:2,");
        snapshot.push(Message::new(uid, Flags::NONE), name.as_bytes());
    }
    for round in 0..4 {
        for index in 0..2000 {
            let letters = if round % 2 == 0 { "FS" } else { "" };
            let name = format!("{:050}:2,{letters}", index + 1);
            snapshot.renamed(index, name.as_bytes());
        }
    }
    assert_eq!(
        snapshot.messages.held().names.len() - snapshot.waste,
        2000 * 54
    );
    let last = snapshot.messages[1999];
    assert_eq!(snapshot.name(&last), format!("{:050}:2,", 2000).as_bytes());
    assert_eq!(snapshot.index_of_uid(7), Some(6));
    assert_eq!(snapshot.indexes_of_uids(3, 5), 2..5);
    assert_eq!(snapshot.indexes_of_uids(5, 3), 4..4);
    assert_eq!(snapshot.indexes_of_uids(1999, u32::MAX), 1998..2000);
}
