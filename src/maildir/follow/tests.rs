use proptest::prelude::*;

use crate::maildir::fixture::{Mailbox, append, names, settle, uids};
use crate::maildir::{Action, Change, Diff, Flags, Folder, Mode, Snapshot};

const COUNT: usize = 220;

struct Watched {
    mailbox: Mailbox,
    folder: Folder,
    view: Snapshot,
}

impl Watched {
    /// A folder that is attended; `None` where there is no notification.
    fn new() -> Option<Self> {
        let mailbox = Mailbox::new();
        for number in 0..COUNT {
            mailbox.put(&format!("cur/{number}.a,S=2:2,S"), "x\n");
        }
        settle();
        let folder = mailbox.inbox();
        let mut view = folder.scan(Mode::ReadWrite).unwrap();
        settle();
        // Writes the mark and the database settles.
        folder.rescan(&mut view).unwrap();
        folder.attend(&mut view);
        view.attended.then_some(Self {
            mailbox,
            folder,
            view,
        })
    }

    fn follow(&mut self) -> Diff {
        self.folder
            .follow(&mut self.view)
            .unwrap()
            .expect("followed without a listing")
    }

    fn rename(&self, from: &str, to: &str) {
        let cur = self.mailbox.path().join("cur");
        std::fs::rename(cur.join(from), cur.join(to)).unwrap();
    }

    fn check(&self) {
        let plain = rows(&self.folder.scan(Mode::ReadOnly).unwrap());
        let view = rows(&self.view);
        assert_eq!(view.len(), plain.len());
        if let Some((a, b)) = view.iter().zip(&plain).find(|(a, b)| a != b) {
            assert_eq!(a, b);
        }
    }
}

/// UID, name, flags and keywords.
type Row = (u32, String, Flags, Vec<String>);

fn rows(view: &Snapshot) -> Vec<Row> {
    let messages = view.messages().iter().zip(names(view));
    messages
        .map(|(message, name)| {
            let keywords = view.keywords(message);
            let mut keywords: Vec<String> = keywords
                .map(|keyword| String::from_utf8_lossy(keyword).into_owned())
                .collect();
            keywords.sort();
            (message.uid(), name, message.flags(), keywords)
        })
        .collect()
}

#[test]
fn what_others_do_is_followed_name_by_name() {
    let Some(mut watched) = Watched::new() else {
        return;
    };
    watched.rename("7.a,S=2:2,S", "7.a,S=2:2,FS");
    watched.rename("8.a,S=2:2,S", "8.a,S=2:2,");
    watched.rename("8.a,S=2:2,", "8.a,S=2:2,T");
    // There and back again, and a name without any meaning.
    watched.rename("9.a,S=2:2,S", "9.a,S=2:2,");
    watched.rename("9.a,S=2:2,", "9.a,S=2:2,S");
    watched.mailbox.put("cur/.hidden", "");
    std::fs::remove_file(watched.mailbox.path().join("cur/5.a,S=2:2,S")).unwrap();
    std::fs::remove_file(watched.mailbox.path().join("cur/6.a,S=2:2,S")).unwrap();
    let diff = watched.follow();
    let expunged: Vec<(usize, u32)> = diff.expunged.iter().map(|e| (e.sequence, e.uid)).collect();
    assert_eq!((expunged.len(), diff.changed.len(), diff.added), (2, 2, 0));
    assert_eq!(expunged[0].0, expunged[1].0);
    watched.check();
    // Nothing more to tell, however recent all this is.
    assert!(!watched.folder.is_changed(&watched.view).unwrap());
}

#[test]
fn own_changes_cost_no_listing_and_are_not_reported() {
    let Some(mut watched) = Watched::new() else {
        return;
    };
    for action in [Action::Add, Action::Remove, Action::Add] {
        let change = Change::new(action, Flags::FLAGGED | Flags::DELETED, Vec::new());
        watched
            .folder
            .change(&mut watched.view, &[1, 2, 3], &change)
            .unwrap();
        assert!(watched.follow().is_empty());
    }
    watched.folder.expunge(&mut watched.view, &[1, 2]).unwrap();
    assert_eq!(watched.follow().expunged.len(), 2);
    let change = Change::new(Action::Add, Flags::NONE, vec![b"work".to_vec()]);
    watched
        .folder
        .change(&mut watched.view, &[4], &change)
        .unwrap();
    assert!(watched.follow().changed.is_empty());
    assert_eq!(
        append(&watched.folder, "a: b\r\n\r\n").unwrap().uids.len(),
        1
    );
    let diff = watched.follow();
    assert_eq!(diff.added, 1);
    assert!(!watched.view.messages().last().unwrap().is_recent());
    watched.check();
}

#[test]
fn a_delivery_is_numbered_and_moved_without_a_listing() {
    let Some(mut watched) = Watched::new() else {
        return;
    };
    for round in 0..3 {
        watched.mailbox.put(&format!("new/{round}000.b"), "x\n");
        watched.mailbox.put(&format!("new/{round}001.b"), "x\n");
        let diff = watched.follow();
        assert_eq!(
            (diff.added, diff.changed.len(), diff.expunged.len()),
            (2, 0, 0)
        );
        assert!(watched.view.messages().last().unwrap().is_recent());
    }
    assert_eq!(watched.view.recent(), COUNT + 6);
    watched.check();
    settle();
    assert!(watched.follow().is_empty());
    assert!(!watched.folder.is_changed(&watched.view).unwrap());
}

#[test]
fn what_is_not_plain_is_left_to_a_listing() {
    type Act<'a> = (&'a str, fn(&Watched));
    let acts: [Act<'_>; 6] = [
        ("a file without UID in cur", |w| {
            w.mailbox.put("cur/x.y:2,", "x\n")
        }),
        ("two names of one message", |w| {
            w.mailbox.put("cur/4.a,S=2:2,F", "x\n");
        }),
        ("a name of cur in new", |w| {
            w.mailbox.put("new/4.a,S=2", "x\n")
        }),
        ("a name that cannot be numbered", |w| {
            w.mailbox.put("new/ 4.b", "x\n")
        }),
        ("a UID database replaced", |w| {
            let db = w.mailbox.db();
            let db = db.replacen("220 ", "221 ", 1);
            std::fs::write(w.mailbox.path().join("db"), db).unwrap();
            std::fs::rename(
                w.mailbox.path().join("db"),
                w.mailbox.path().join("courierimapuiddb"),
            )
            .unwrap();
        }),
        ("more than anybody can follow", |w| {
            for number in 0..600 {
                let name = w.mailbox.path().join(format!("cur/{number}.junk"));
                std::fs::write(&name, "").unwrap();
                std::fs::remove_file(&name).unwrap();
                std::fs::write(name.with_extension("more"), "").unwrap();
                std::fs::remove_file(name.with_extension("more")).unwrap();
            }
        }),
    ];
    for (what, act) in acts {
        let Some(mut watched) = Watched::new() else {
            return;
        };
        let before = rows(&watched.view);
        act(&watched);
        assert!(
            watched.folder.follow(&mut watched.view).unwrap().is_none(),
            "{what}"
        );
        assert!(rows(&watched.view) == before, "{what}");
        watched.folder.rescan(&mut watched.view).unwrap();
        settle();
        watched.folder.rescan(&mut watched.view).unwrap();
        watched.check();
    }
}

/// What a client knows that is told only of differences.
fn tell(client: &mut Vec<(u32, Flags)>, diff: &Diff, view: &Snapshot) {
    for expunged in &diff.expunged {
        let (uid, _) = client.remove(expunged.sequence - 1);
        assert_eq!(uid, expunged.uid);
    }
    for message in view.messages().iter().skip(view.len() - diff.added) {
        client.push((message.uid(), message.flags()));
    }
    for index in &diff.changed {
        client[*index].1 = view.messages()[*index].flags();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// Two sessions, other programs, and no pause between them: each client learns everything.
    #[test]
    fn every_client_learns_everything(
        steps in proptest::collection::vec((0_u8..9, any::<usize>(), any::<bool>()), 1..60)
    ) {
        let Some(watched) = Watched::new() else { return Ok(()) };
        let Watched { mailbox, folder, view } = watched;
        let other = folder.scan(Mode::ReadWrite).unwrap();
        let client = |view: &Snapshot| -> Vec<(u32, Flags)> {
            view.messages().iter().map(|message| (message.uid(), message.flags())).collect()
        };
        let mut sessions = [(client(&view), view), (client(&other), other)];
        let cur = mailbox.path().join("cur");
        for (serial, (kind, pick, second)) in steps.into_iter().enumerate() {
            let (known, view) = &mut sessions[usize::from(second)];
            let index = pick % view.len();
            let name = names(view)[index].clone();
            let base = name.split(':').next().unwrap().to_owned();
            match kind {
                0 | 1 => {
                    let action = if kind == 0 { Action::Add } else { Action::Remove };
                    let flags = if pick % 2 == 0 { Flags::SEEN } else { Flags::FLAGGED };
                    let change = Change::new(action, flags, Vec::new());
                    folder.change(view, &[index], &change).unwrap();
                    // STORE answers with the flags itself.
                    for index in [index].into_iter().chain(view.take_news()) {
                        known[index].1 = view.messages()[index].flags();
                    }
                }
                2 => {
                    let deleted = Change::new(Action::Add, Flags::DELETED, Vec::new());
                    folder.change(view, &[index], &deleted).unwrap();
                    for index in [index].into_iter().chain(view.take_news()) {
                        known[index].1 = view.messages()[index].flags();
                    }
                    folder.expunge(view, &[index]).unwrap();
                }
                3 => {
                    append(&folder, "Subject: x\r\n\r\n").unwrap();
                }
                4 => mailbox.put(&format!("new/{serial}.new"), "x\n"),
                // Whoever else does it may find the name changed.
                5 => drop(std::fs::rename(cur.join(&name), cur.join(format!("{base}:2,R")))),
                6 => drop(std::fs::remove_file(cur.join(&name))),
                _ => {
                    let diff = folder.rescan(view).unwrap();
                    tell(known, &diff, view);
                    prop_assert!(&client(view) == known);
                }
            }
        }
        for (known, view) in &mut sessions {
            for _ in 0..3 {
                let diff = folder.rescan(view).unwrap();
                tell(known, &diff, view);
                settle();
            }
            prop_assert!(&client(view) == known);
        }
        let plain = folder.scan(Mode::ReadOnly).unwrap();
        for (_, view) in &sessions {
            prop_assert!(rows(view) == rows(&plain));
        }
        prop_assert_eq!(uids(&plain).len(), plain.len());
    }
}
