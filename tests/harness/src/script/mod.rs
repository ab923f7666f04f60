//! Conversation scripts, `tests/conversation/*.t`: what a client sends and what a server must answer, run alike
//! against ours and against the original.
//!
//! ```text
//! # What the script shows (RFC 3501 section 6.3.1).
//! # pending: why it cannot pass yet                  the run fails if it passes
//! # ours only: why the original fails it             so does the original's run
//! # env: IMAP_KEYWORDS=0                              a setting of the server
//! # options: group=staff                              the account's options
//! M: hello                                           a message called hello, lines after "|"
//! |Subject: hello
//! |
//! |Hello.
//! ! deliver INBOX hello                              something that happens behind the server's back, see `Action`
//! ! login                                            greeting and LOGIN as the script's own account
//! C: a FETCH 1 BODY.PEEK[]                           sent with CRLF
//! c: a FE                                            sent without
//! S: * 1 FETCH (BODY[] {<len:hello>}                 one response
//! L= <$hello>                                        the literal in it; `L: text` adds CRLF, several lines add up
//! S+: )                                              the response goes on
//! S*: * 1 EXISTS                                     neighbouring S*: lines come in any order
//! S?: * 1 RECENT                                     may be absent
//! S~: a OK <any>                                     skips responses until this one
//! C2: b NOOP                                         a second connection, likewise S2:, S2*:, ...
//! # differs: why                                     the lines right below hold for one side only
//! ours S: c BAD <any>
//! ref S: c NO <any>
//! LOG: LOGOUT, user=<user>, <any>                    a line that the server logs within two seconds
//! ```
//! Holes in S, L and LOG lines: `<any>` any text, `<num>` and `<uid>` digits, `<word>` text without blanks, brackets
//! and parentheses; `<$x:num>` also remembers what it matched, and `<$x>` must equal it later; `<!x>` is a number other
//! than x. `<$x>` works in C lines
//! too; so do `<len:x>` (length of message or value x) and `<hex:00ff>`. `<user>` and `<password>` are given.

mod parse;
mod pattern;
mod runner;

pub use parse::parse;
pub use pattern::{Bindings, Pattern};
pub use runner::run;

use crate::server::Side;

/// A parsed script.
#[derive(Debug)]
pub struct Script {
    /// Why it must fail against ours for now.
    pub pending: Option<String>,
    /// Why it must fail against the original.
    pub ours_only: Option<String>,
    /// Settings of the server.
    pub environment: Vec<(String, String)>,
    /// Options of the account, as in userdb.
    pub options: String,
    /// Messages by name.
    pub messages: Vec<(String, Vec<u8>)>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One step of a script.
#[derive(Debug)]
pub struct Step {
    /// Line number in the script, from 1.
    pub line: usize,
    /// The only side that it holds for, if not both.
    pub side: Option<Side>,
    /// What it is.
    pub kind: Kind,
}

/// What a step does.
#[derive(Debug)]
pub enum Kind {
    /// Send on this connection.
    Send(usize, Pattern),
    /// Expect a response on this connection.
    Expect(usize, Order, Expected),
    /// Expect a log line.
    Log(Pattern),
    /// Do something else.
    Act(Action),
}

/// How a response relates to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is the next one.
    Next,
    /// It is one of a group in any order.
    Unordered,
    /// It may be absent.
    Optional,
    /// Others may come before.
    Eventually,
}

/// The pattern of one response.
#[derive(Debug)]
pub struct Expected {
    /// Text pieces, as in [`crate::client::Response`].
    pub text: Vec<Pattern>,
    /// Literals.
    pub literals: Vec<Pattern>,
}

/// What scripts can do besides talking.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// `login [N]`: connect, read the greeting, LOGIN.
    Login(usize),
    /// `folder .Name`: make a folder in the maildir.
    Folder(String),
    /// `deliver FOLDER MESSAGE`: into `new`.
    Deliver(String, String),
    /// `place FOLDER MESSAGE [FLAGS]`: into `cur`, with flag letters.
    Place(String, String, String),
    /// `file PATH MESSAGE`: write a file in the maildir.
    File(String, String),
    /// `holds PATH MESSAGE`: a file of the maildir is exactly that, line ends aside.
    Holds(String, String),
    /// `absent PATH`: there is no such file in the maildir.
    Absent(String),
    /// `sleep MILLISECONDS`.
    Sleep(u64),
    /// `half-close [N]`: end the input of the server.
    HalfClose(usize),
    /// `closed [N]`: the server closes the connection.
    Closed(usize),
}
