//! The command line.

use std::path::PathBuf;

use getopts::{Matches, ParsingStyle};
use harness::Error;

use crate::rows::ROWS;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Messages in the big mailbox.
    pub(crate) messages: usize,
    /// How often each row is measured on each server; the table shows medians.
    pub(crate) rounds: usize,
    /// Keys of the rows to run; empty for all.
    pub(crate) rows: Vec<String>,
    /// Where the reports go.
    pub(crate) output: PathBuf,
    /// Where the maildirs are made; the system's temporary directory when absent.
    pub(crate) directory: Option<PathBuf>,
    /// Seed of the messages.
    pub(crate) seed: u64,
    /// Bytes of an ordinary message.
    pub(crate) size: usize,
    /// Bytes of the one big message.
    pub(crate) big: usize,
    /// Connections of the login rows.
    pub(crate) logins: usize,
    /// Sessions of the memory row.
    pub(crate) sessions: usize,
    /// Sizes of the mailboxes for the growth plots; none for no plots.
    pub(crate) growth: Vec<usize>,
}

/// What the command line asks for.
pub(crate) enum Parsed {
    /// A run.
    Run(Options),
    /// This text.
    Help(String),
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// An unknown option or a value that is no number.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed, Error> {
        let mut grammar = getopts::Options::new();
        grammar
            .parsing_style(ParsingStyle::FloatingFrees)
            .optflag("h", "help", "show this")
            .optopt(
                "",
                "rows",
                "only these rows; with --growth, \"none\" for the plots alone",
                "KEY,KEY",
            )
            .optopt("", "messages", "messages in the big mailbox (10000)", "N")
            .optopt("", "rounds", "measurements of each row (3)", "N")
            .optopt("", "logins", "connections of the login rows (300)", "N")
            .optopt("", "sessions", "idle sessions of the memory row (100)", "N")
            .optopt(
                "",
                "growth",
                "sizes of the mailboxes for the growth plots, 0 for none (1000,10000,100000,300000; none with --rows)",
                "N,N",
            )
            .optopt("", "seed", "seed of the messages (1)", "N")
            .optopt(
                "",
                "output",
                "where the reports go (target/compare)",
                "DIRECTORY",
            )
            .optopt("", "directory", "where the maildirs are made", "DIRECTORY")
            .optflag(
                "",
                "quick",
                "1000 messages, one round, a 5 MB big message: shows that it works",
            );
        let matches = grammar
            .parse(arguments)
            .map_err(|error| Error::new(error.to_string()))?;
        if matches.opt_present("help") {
            let mut text = grammar.usage("usage: compare [OPTIONS]");
            text.push_str("\nRows:\n");
            for row in ROWS {
                text.push_str(&format!("    {:18} {}\n", row.key, row.title));
            }
            return Ok(Parsed::Help(text));
        }
        if let Some(unexpected) = matches.free.first() {
            return Err(Error::new(format!("unexpected argument: {unexpected}")));
        }
        let quick = matches.opt_present("quick");
        let rows = matches.opt_str("rows").unwrap_or_default();
        let growth = match (matches.opt_str("growth"), rows.is_empty(), quick) {
            (Some(sizes), _, _) => sizes,
            (None, false, _) => String::new(),
            (None, true, true) => "100,1000".to_owned(),
            (None, true, false) => "1000,10000,100000,300000".to_owned(),
        };
        Ok(Parsed::Run(Self {
            growth: sizes(&growth)?,
            messages: number(&matches, "messages", if quick { 1000 } else { 10_000 })?,
            rounds: number(&matches, "rounds", if quick { 1 } else { 3 })?.max(1),
            rows: rows
                .split(',')
                .filter(|key| !key.is_empty())
                .map(str::to_owned)
                .collect(),
            output: matches
                .opt_str("output")
                .map_or_else(|| PathBuf::from("target/compare"), PathBuf::from),
            directory: matches.opt_str("directory").map(PathBuf::from),
            seed: u64::try_from(number(&matches, "seed", 1)?).unwrap_or(1),
            size: 4000,
            big: if quick { 5_000_000 } else { 50_000_000 },
            logins: number(&matches, "logins", if quick { 100 } else { 300 })?.max(1),
            sessions: number(&matches, "sessions", if quick { 20 } else { 100 })?.max(1),
        }))
    }

    /// Whether the row `key` was asked for.
    pub(crate) fn wants(&self, key: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == key)
    }

    /// Whether a row was asked for that is about TLS: their keys end in `-tls`.
    pub(crate) fn wants_tls(&self) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted.ends_with("-tls"))
    }

    /// Whether a row was asked for whose key begins with `start`.
    pub(crate) fn wants_any(&self, start: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted.starts_with(start))
    }
}

/// Numbers with commas between them; 0 is left out.
fn sizes(text: &str) -> Result<Vec<usize>, Error> {
    let mut sizes = Vec::new();
    for size in text.split(',').filter(|size| !size.is_empty()) {
        let size: usize = size
            .parse()
            .map_err(|_| Error::new(format!("--growth: {size}: not a number")))?;
        if size > 0 {
            sizes.push(size);
        }
    }
    sizes.sort_unstable();
    Ok(sizes)
}

fn number(matches: &Matches, name: &str, default: usize) -> Result<usize, Error> {
    match matches.opt_str(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| Error::new(format!("--{name}={text}: not a number"))),
    }
}
