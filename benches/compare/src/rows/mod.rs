//! What is measured: one [`Row`] for each line of the table.

mod change;
mod memory;
mod pop3;
mod read;
mod session;
mod tls;

use harness::Error;

use crate::options::Options;
use crate::target::{Sample, Target};

/// A column that ours is compared to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versus {
    /// The lowest of the peers.
    Best,
    /// Debian's Courier.
    Courier,
    /// Dovecot with default settings.
    Dovecot,
    /// A fixed number.
    Absolute,
}

/// What ours shall reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// At most this ratio, or this number for [`Versus::Absolute`].
    pub(crate) most: f64,
    /// Of what.
    pub(crate) versus: Versus,
    /// Wall time instead of CPU.
    pub(crate) wall: bool,
}

/// What the numbers of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds of CPU, and of wall time.
    Milliseconds,
    /// KiB private dirty, and KiB proportional.
    Kibibytes,
}

/// Measures one server once.
type Work = fn(&mut Target, &Options) -> Result<Sample, Error>;

/// A line of the table.
pub(crate) struct Row {
    /// Name on the command line.
    pub(crate) key: &'static str,
    /// First column.
    pub(crate) title: &'static str,
    /// Unit of its numbers.
    pub(crate) unit: Unit,
    /// What ours shall reach.
    pub(crate) goal: Goal,
    /// How it is measured; absent while no server of ours can take part.
    pub(crate) work: Option<Work>,
}

const fn cpu(most: f64, versus: Versus) -> Goal {
    Goal {
        most,
        versus,
        wall: false,
    }
}

const fn row(key: &'static str, title: &'static str, goal: Goal, work: Work) -> Row {
    Row {
        key,
        title,
        unit: Unit::Milliseconds,
        goal,
        work: Some(work),
    }
}

/// All rows.
#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    row("login", "connect, LOGIN, LOGOUT, plain", cpu(0.4, Versus::Courier), session::login),
    row("login-tls", "... over TLS, full handshake", cpu(0.4, Versus::Dovecot), tls::login),
    row("login-again-tls", "... over TLS, session offered", cpu(0.4, Versus::Dovecot), tls::login_again),
    row("select-cold", "SELECT, cold", cpu(0.7, Versus::Best), session::select_cold),
    row("select", "SELECT, unchanged folder", cpu(0.5, Versus::Best), session::select_again),
    row("noop", "100 × NOOP, unchanged folder", cpu(0.8, Versus::Best), session::noop),
    row("flags", "UID FETCH 1:* FLAGS", cpu(0.6, Versus::Best), read::flags),
    row("envelope-1", "FETCH ENVELOPE BODYSTRUCTURE, first", cpu(0.5, Versus::Best), read::envelope_first),
    row("envelope-2", "... second, new connection", cpu(0.15, Versus::Best), read::envelope_second),
    row("size", "FETCH RFC822.SIZE", cpu(0.5, Versus::Best), read::size),
    row("headers-1", "FETCH header fields, first", cpu(0.4, Versus::Best), read::headers_first),
    row("headers-2", "... second, new connection", cpu(0.4, Versus::Best), read::headers_second),
    row("bodies", "FETCH BODY.PEEK[], all", cpu(0.6, Versus::Best), read::bodies),
    row("bodies-tls", "... over TLS", cpu(0.9, Versus::Best), tls::bodies),
    row("one-by-one", "FETCH of 500 bodies one by one", Goal { most: 0.7, versus: Versus::Best, wall: true }, read::one_by_one),
    row("big", "big message: FETCH", cpu(0.6, Versus::Best), read::big),
    row("big-tls", "... twice, over TLS", cpu(1.1, Versus::Dovecot), tls::big),
    row("big-parts", "big message: FETCH in 512 KiB parts", cpu(0.6, Versus::Best), read::big_parts),
    row("big-append", "big message: APPEND", cpu(0.6, Versus::Best), change::big_append),
    row("text", "SEARCH TEXT, absent word", cpu(0.2, Versus::Best), read::search_text),
    row("body", "SEARCH BODY, absent word", cpu(0.2, Versus::Best), read::search_body),
    row("subject-1", "SEARCH SUBJECT, first", cpu(0.4, Versus::Best), read::subject_first),
    row("subject-2", "... second, new connection", cpu(0.1, Versus::Best), read::subject_second),
    row("sort-1", "SORT (DATE), first", cpu(0.5, Versus::Best), read::sort_first),
    row("sort-2", "... second, new connection", cpu(0.5, Versus::Best), read::sort_second),
    row("thread-1", "THREAD REFERENCES, first", cpu(0.5, Versus::Best), read::thread_first),
    row("thread-2", "... second, new connection", cpu(0.3, Versus::Best), read::thread_second),
    row("append", "APPEND, 1000 messages", cpu(0.5, Versus::Dovecot), change::append),
    row("copy", "COPY 1:*", cpu(0.25, Versus::Best), change::copy),
    row("store", "STORE 1:* +FLAGS", cpu(0.6, Versus::Best), change::store),
    row("store-keyword", "STORE 1:* +FLAGS, keyword", cpu(0.6, Versus::Best), change::store_keyword),
    row("store-one", "500 × STORE of one flag", cpu(1.0, Versus::Best), change::store_one),
    row("expunge", "EXPUNGE of every second message", cpu(0.8, Versus::Best), change::expunge),
    row("pop3", "POP3 login, STAT, UIDL, warm", cpu(0.3, Versus::Best), pop3::again),
    row("pop3-cold", "... cold", cpu(0.6, Versus::Best), pop3::cold),
    row("pop3-retr", "POP3 RETR of all, pipelined", cpu(0.5, Versus::Best), pop3::retrieve),
    Row { key: "memory", title: "idle session, plain, KiB", unit: Unit::Kibibytes,
          goal: cpu(250.0, Versus::Absolute), work: Some(memory::idle) },
    Row { key: "memory-tls", title: "idle session, TLS, KiB", unit: Unit::Kibibytes,
          goal: cpu(500.0, Versus::Absolute), work: Some(tls::idle) },
];

/// Measures `row` on `target` once; `None` where there is nothing to measure yet.
pub(crate) fn measure(
    row: &Row,
    target: &mut Target,
    options: &Options,
) -> Option<Result<Sample, Error>> {
    row.work.map(|work| work(target, options))
}
