//! Commands of every form, from a seed.

use harness::mail::Seed;

/// Makes commands for a mailbox of so many messages.
pub(crate) struct Commands {
    random: Seed,
    created: usize,
}

const ITEMS: &[&str] = &[
    "FLAGS",
    "UID",
    "INTERNALDATE",
    "RFC822.SIZE",
    "ENVELOPE",
    "BODY",
    "BODYSTRUCTURE",
    "RFC822.HEADER",
    "BODY.PEEK[]",
    "RFC822",
    "(UID FLAGS)",
    "(BODY BODYSTRUCTURE)",
    "(uid rfc822.size body.peek[header])",
    "ALL",
    "FAST",
    "FULL",
    "(ENVELOPE INTERNALDATE)",
];

const SECTIONS: &[&str] = &[
    "",
    "HEADER",
    "TEXT",
    "1",
    "2",
    "3",
    "1.1",
    "1.2",
    "2.1",
    "2.2",
    "1.1.1",
    "2.1.1",
    "1.HEADER",
    "2.HEADER",
    "1.TEXT",
    "2.TEXT",
    "HEADER.FIELDS (Subject)",
    "HEADER.FIELDS (from \"TO\" Cc)",
    "HEADER.FIELDS (X-None)",
    "HEADER.FIELDS.NOT (Subject Received)",
    "2.HEADER.FIELDS (Subject)",
    "1.HEADER.FIELDS.NOT (Subject)",
    "1.MIME",
    "2.MIME",
    "2.1.MIME",
    "99",
];

const PARTIALS: &[&str] = &[
    "<0.1>",
    "<0.10>",
    "<5.100>",
    "<17.33>",
    "<0.100000>",
    "<100000.5>",
];

const KEYS: &[&str] = &[
    "ALL",
    "ANSWERED",
    "DELETED",
    "DRAFT",
    "FLAGGED",
    "NEW",
    "OLD",
    "RECENT",
    "SEEN",
    "UNANSWERED",
    "UNDELETED",
    "UNDRAFT",
    "UNFLAGGED",
    "UNSEEN",
    "KEYWORD work",
    "UNKEYWORD work",
    "KEYWORD none",
    "NOT SEEN",
    "OR SEEN FLAGGED",
    "NOT (SEEN FLAGGED)",
    "(ANSWERED)",
    "UID 1:20",
    "UID 3,5,7:9",
    "1:5",
    "2,4,8",
    "3:*",
    "BEFORE 6-Jan-2026",
    "ON 5-Jan-2026",
    "SINCE 7-Jan-2026",
    "SENTBEFORE 6-Jan-2026",
    "SENTON 5-Jan-2026",
    "SENTSINCE 1-Jan-2024",
    "LARGER 400",
    "SMALLER 400",
    "LARGER 0",
    "SUBJECT apple",
    "SUBJECT \"folded\"",
    "SUBJECT inner",
    "SUBJECT \"\"",
    "FROM ann",
    "FROM \"a@example.net\"",
    "TO bob",
    "CC d@example.com",
    "BCC nobody",
    "HEADER Subject stone",
    "HEADER X-Empty \"\"",
    "HEADER Message-ID \"\"",
    "HEADER X-Part one",
    "BODY text",
    "BODY \"first lamp\"",
    "BODY broken",
    "TEXT garden",
    "TEXT Lee",
    "TEXT nowhere-at-all",
    "CHARSET UTF-8 TEXT apple",
    "CHARSET us-ascii SUBJECT lamp",
    "CHARSET x-none ALL",
    "CHARSET UTF-8 BODY \"Gr\u{fc}\u{df}e\"",
    "*",
    "9:3",
    "UID *",
];

const LISTS: &[&str] = &[
    "LIST \"\" *",
    "LIST \"\" %",
    "LIST \"\" INBOX",
    "LIST \"\" inbox",
    "LIST \"\" INBOX.%",
    "LIST INBOX. *",
    "LIST \"\" INBOX.Wo%k",
    "LIST \"\" INBOX.None",
    "LIST \"\" \"\"",
    "LSUB \"\" *",
    "LSUB \"\" %",
    "LSUB \"\" INBOX.*",
    "NAMESPACE",
    "LIST INBOX %",
    "LIST \"\" INBOX.Work.*",
];

/// Not IMAP, or not allowed.
const ERRORS: &[&str] = &[
    "",
    "FETCH",
    "FETCH 1",
    "FETCH 1 (",
    "FETCH 1 (FLAGS",
    "FETCH 1 NOTHING",
    "FETCH x FLAGS",
    "FETCH 1,, FLAGS",
    "FETCH 1: FLAGS",
    "FETCH 0 FLAGS",
    "FETCH 1 BODY[",
    "FETCH 1 BODY[NONE]",
    "FETCH 1 BODY[]<0>",
    "FETCH 1 BODY[HEADER.FIELDS]",
    "FETCH 1 BODY[MIME]",
    "FETCH 1 (FLAGS))",
    "SEARCH",
    "SEARCH (",
    "SEARCH NONE",
    "SEARCH NOT",
    "SEARCH OR SEEN",
    "SEARCH LARGER x",
    "STORE 1 FLAGS",
    "COPY 1",
    "STATUS INBOX",
    "STATUS INBOX (NOTHING)",
    "UID",
    "UID NOOP",
    "UID FETCH 1",
    "NONSENSE",
    "LIST",
    "LIST \"\"",
    "NOOP extra",
    "CREATE",
    "RENAME INBOX.None",
    "LOGIN joe secret",
    "SORT (SUBJECT) UTF-8",
    "SORT () UTF-8 ALL",
    "THREAD NONE UTF-8 ALL",
    "COPY 1 INBOX.None",
    "DELETE INBOX.None",
    "DELETE INBOX",
    "CREATE INBOX",
    "STATUS INBOX.None (MESSAGES)",
    "CREATE INBOX.Work",
    "STORE 1 FLAGS (\\Recent)",
    "UNSUBSCRIBE INBOX.None",
    "FETCH 9999 FLAGS",
    "FETCH 5:4 FLAGS",
    "UID FETCH 9999 FLAGS",
    "STORE 9999 +FLAGS (x)",
];

impl Commands {
    /// Starts at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Seed::new(seed),
            created: 0,
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from.get(self.random.below(from.len()))
            .copied()
            .unwrap_or_default()
    }

    /// A set that means the same to everybody.
    fn set(&mut self, count: usize) -> String {
        let count = count.max(1);
        let mut number = || 1 + self.random.below(count);
        let (one, two, three) = (number(), number(), number());
        let (low, high) = (one.min(two), one.max(two));
        match self.random.below(8) {
            0..=2 => one.to_string(),
            3 => format!("{low}:{}", high.min(low + 6)),
            4 => format!("{one},{two}"),
            5 => format!("{low}:{},{three}", high.min(low + 3)),
            6 => "1:*".to_owned(),
            _ => format!("{}:*", count.saturating_sub(2).max(1)),
        }
    }

    /// The next command; no two messages of `inbox` have one date.
    pub(crate) fn next(&mut self, count: usize, inbox: bool) -> String {
        let uid = self.pick(&["", "", "UID "]);
        match self.random.below(100) {
            0..=24 => format!("{uid}FETCH {} {}", self.set(count), self.pick(ITEMS)),
            25..=49 => {
                let peek = self.pick(&["BODY.PEEK", "BODY.PEEK", "BODY"]);
                let partial = if self.random.below(3) == 0 {
                    self.pick(PARTIALS)
                } else {
                    ""
                };
                let section = self.pick(SECTIONS);
                format!("{uid}FETCH {} {peek}[{section}]{partial}", self.set(count))
            }
            50 => format!("FETCH {} RFC822.TEXT", self.set(count)),
            51..=68 => self.search(uid, inbox),
            69..=76 => {
                let flags = self.pick(&[
                    "(\\Seen)",
                    "(\\Flagged \\Answered)",
                    "(\\Draft)",
                    "(work)",
                    "()",
                    "(\\seen)",
                    "(\\Deleted)",
                    "\\Flagged",
                    "($Forwarded work)",
                ]);
                let action = self.pick(&[
                    "FLAGS",
                    "+FLAGS",
                    "-FLAGS",
                    "+FLAGS.SILENT",
                    "-FLAGS.SILENT",
                    "flags",
                ]);
                // Not all of the mailbox goes with the next EXPUNGE.
                let set = if flags.contains("Deleted") {
                    (1 + self.random.below(count.max(1))).to_string()
                } else {
                    self.set(count)
                };
                format!("{uid}STORE {set} {action} {flags}")
            }
            77..=79 => {
                let to = self.pick(&["INBOX.Work.Old", "\"INBOX.Work.Old\""]);
                let number = 1 + self.random.below(count.max(1));
                format!("{uid}COPY {number} {to}")
            }
            80..=83 => {
                let name = self.pick(&["INBOX", "INBOX.Work", "INBOX.Work.Old", "inbox"]);
                let items = self.pick(&[
                    "(MESSAGES)",
                    "(UIDNEXT UIDVALIDITY)",
                    "(UNSEEN RECENT)",
                    "(MESSAGES UNSEEN UIDNEXT)",
                ]);
                format!("STATUS {name} {items}")
            }
            84..=88 => self.pick(LISTS).to_owned(),
            89 => "NOOP".to_owned(),
            90 => {
                self.created += 1;
                format!("CREATE INBOX.New{}", self.created)
            }
            91 => format!(
                "DELETE INBOX.New{}",
                1 + self.random.below(self.created + 1)
            ),
            92 => {
                let name = self.pick(&["INBOX.Work", "INBOX.Lists", "INBOX.Work.Old"]);
                format!("{} {name}", self.pick(&["SUBSCRIBE", "UNSUBSCRIBE"]))
            }
            93 => self.pick(&["CHECK", "EXPUNGE", "CAPABILITY"]).to_owned(),
            _ => self.pick(ERRORS).to_owned(),
        }
    }

    fn search(&mut self, uid: &str, inbox: bool) -> String {
        let key = self.pick(KEYS);
        match self.random.below(12) {
            0 if !key.starts_with("CHARSET") => format!("{uid}SEARCH SEEN {key}"),
            1 if inbox => format!(
                "{uid}SORT ({}) UTF-8 SEEN",
                self.pick(&["ARRIVAL", "REVERSE ARRIVAL"])
            ),
            _ => format!("{uid}SEARCH {key}"),
        }
    }
}
