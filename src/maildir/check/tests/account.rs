use std::fs;

use super::*;

#[test]
fn subscriptions_keep_every_name() {
    let mailbox = repaired(&["subscriptions"], |mailbox| {
        mailbox.put(
            "courierimapsubscribed",
            "INBOX.Work\nINBOX\n\u{0}\u{0}\nINBOX.Work\n#shared.x",
        );
    });
    assert_eq!(
        fs::read_to_string(mailbox.path().join("courierimapsubscribed")).unwrap(),
        "INBOX.Work\nINBOX\n#shared.x\n"
    );
    explained(
        &["subscription-absent", "subscription-name"],
        Level::Note,
        |mailbox| {
            mailbox.put(
                "courierimapsubscribed",
                "INBOX.Gone\nelsewhere\nINBOX.Work\n",
            )
        },
    );
}

#[test]
fn the_quota_file_is_counted_anew() {
    let mailbox = repaired(&["quota"], |mailbox| {
        mailbox.put(
            "maildirsize",
            "10000S,100C\n          34            2\nrubbish\n",
        );
    });
    let text = fs::read_to_string(mailbox.path().join("maildirsize")).unwrap();
    let total: u64 = [("cur", 3), (".Work/cur", 2)]
        .iter()
        .flat_map(|(cur, _)| fs::read_dir(mailbox.path().join(cur)).unwrap())
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(text, format!("10000S,100C\n{total:>12} {:>12}\n", 5));
    repaired(&["quota"], |mailbox| {
        mailbox.put("maildirsize", "100C\n 1 1\n")
    });
    repaired(&["quota"], |mailbox| {
        mailbox.put("maildirsize", "100C\n 1 ")
    });
    for text in ["", "junk\n 1 1\n"] {
        explained(&["quota"], Level::Problem, |mailbox| {
            mailbox.put("maildirsize", text)
        });
    }
}

#[test]
fn the_pop3_list_keeps_its_identifiers() {
    let good = "/3 9 77\n1.a:2, 5 1:77:0\n2.b 6 2:77:0\n";
    let mailbox = repaired(&["pop3-lines"], |mailbox| {
        mailbox.put("courierpop3dsizelist", &format!("{good}rubbish\n"));
    });
    let path = mailbox.path().join("courierpop3dsizelist");
    assert_eq!(fs::read_to_string(path).unwrap(), good);
    explained(&["pop3-list"], Level::Problem, |mailbox| {
        mailbox.put("courierpop3dsizelist", "\u{0}\u{0}\n1.a 5 1:77:0\n");
    });
    explained(&["pop3-uidl"], Level::Problem, |mailbox| {
        mailbox.put(
            "courierpop3dsizelist",
            "/3 9 77\n1.a 5 1:77:0\n2.b 5 1:77:0\n",
        );
    });
}

#[test]
fn a_damaged_counter_is_set_above_what_is_known() {
    let mailbox = repaired(&["counter"], |mailbox| {
        mailbox.put("courierimapuidvalidity", "\u{0}\u{0}\u{0}");
    });
    let counter = fs::read_to_string(mailbox.path().join("courierimapuidvalidity")).unwrap();
    let counter: u32 = counter.trim().parse().unwrap();
    let folders = [mailbox.inbox(), mailbox.folder("Work")];
    assert!(
        folders
            .iter()
            .all(|f| f.uid_validity().unwrap().unwrap() <= counter)
    );
}

/// Sessions write these files under the folder's lock: a repair in between would give identifiers twice.
#[test]
fn files_of_the_account_are_not_replaced_while_a_session_holds_the_lock() {
    for (file, damaged) in [
        ("courierpop3dsizelist", "/3 9 7\n1.a 10 3:7:0\nnonsense\n"),
        ("maildirsize", "1000000S\n99 9\n"),
        ("courierimapuidvalidity", "nonsense\n"),
        ("courierimapsubscribed", "INBOX\nINBOX\n"),
    ] {
        let mailbox = used();
        fs::write(mailbox.path().join(file), damaged).unwrap();
        let lock = mailbox.path().join("tmp/courier.lock");
        fs::write(&lock, "1:elsewhere").unwrap();
        let options = Options {
            lock_wait: Duration::from_millis(100),
            ..Options::default()
        };
        let mut found = Collected::default();
        let summary = check(&mailbox.path(), &options, true, &mut found).unwrap();
        assert_eq!(
            (summary.problems, summary.unrepaired),
            (1, 1),
            "{file}: {:?}",
            found.0
        );
        assert!(matches!(found.0[0].repair, Repair::Failed(_)), "{file}");
        assert_eq!(
            fs::read_to_string(mailbox.path().join(file)).unwrap(),
            damaged
        );
        fs::remove_file(lock).unwrap();
        let summary = check(&mailbox.path(), &options, true, &mut found).unwrap();
        assert_eq!((summary.problems, summary.unrepaired), (1, 0), "{file}");
    }
}
