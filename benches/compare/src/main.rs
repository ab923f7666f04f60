//! Side-by-side benchmark: ours, Debian's Courier, and Debian's Dovecot with its default settings and tuned.
//!
//! All run in one go on loopback, on copies of the same maildirs, rounds interleaved, and what counts is the CPU time
//! of a server's whole process tree as a ratio to the others': absolute times are not stable from machine to machine.
//! See `compare --help` for the options.
//!
//! - [`options`]: the command line.
//! - [`interrupt`]: Ctrl-C ends the servers too.
//! - [`meter`]: CPU time of a server, dead processes included.
//! - [`target`]: a running server with its account; [`dovecot`] starts the one that the harness does not know.
//! - [`wire`]: the client; it looks for tagged lines and at nothing else. [`secure`] puts TLS under it.
//! - [`rows`]: what is measured; [`growth`]: how some of it grows with the mailbox.
//! - [`result`]: medians and ratios; [`text`], [`json`] and [`page`] print them.

mod dovecot;
mod growth;
mod interrupt;
mod json;
mod meter;
mod options;
mod page;
mod result;
mod rows;
mod secure;
#[allow(unsafe_code)]
mod sys;
mod target;
mod text;
mod wire;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use harness::Error;

use crate::options::{Options, Parsed};
use crate::result::Table;
use crate::target::{Kind, Target};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even standard error is closed.
            let _ = writeln!(std::io::stderr(), "compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    interrupt::watch()?;
    let options = match Options::parse(std::env::args().skip(1))? {
        Parsed::Run(options) => options,
        Parsed::Help(text) => return say(&text),
    };
    let rows: Vec<&rows::Row> = rows::ROWS
        .iter()
        .filter(|row| options.wants(row.key))
        .collect();
    if rows.is_empty() && options.growth.is_empty() {
        return Err(Error::new("no such row; --help lists them"));
    }
    let mut targets = Vec::new();
    for kind in Kind::ALL {
        match Target::start(kind, &options) {
            Ok(target) => targets.push(target),
            Err(Error::Skipped(why)) => say(&format!("{}: skipped: {why}\n", kind.title()))?,
            Err(error) => return Err(error.in_context(kind.title())),
        }
    }
    let method = targets
        .first()
        .map_or("", |target| target.meter().describe());
    let mut table = Table::new(&options, method, &targets);
    for round in 1..=options.rounds {
        for row in &rows {
            progress(&format!(
                "round {round} of {}: {}",
                options.rounds, row.title
            ));
            for (index, target) in targets.iter_mut().enumerate() {
                interrupt::check()?;
                let outcome = rows::measure(row, target, &options);
                table.record(row, index, outcome);
            }
        }
    }
    let growth = match options.growth.is_empty() {
        true => None,
        false => Some(growth::Growth::measure(&mut targets, &options, progress)?),
    };
    progress("");
    // Servers first, so that nothing of theirs can mix into the report.
    drop(targets);
    table.finish(&rows);
    if let Some(growth) = growth {
        say(&growth.text())?;
        save(&options.output, "growth.txt", &growth.text())?;
        save(&options.output, "growth.csv", &growth.csv())?;
        save(&options.output, "growth.html", &growth.page())?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    say(&text::render(&table))?;
    save(&options.output, "compare.txt", &text::render(&table))?;
    save(&options.output, "compare.json", &json::render(&table))?;
    save(&options.output, "compare.html", &page::render(&table))?;
    say(&format!(
        "\nalso as compare.txt, compare.json and compare.html in {}\n",
        options.output.display()
    ))
}

fn say(text: &str) -> Result<(), Error> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// Where the run is, on a terminal only.
fn progress(text: &str) {
    use std::io::IsTerminal;
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // Progress is a courtesy.
        let _ = write!(terminal, "\r\x1b[K{text}");
    }
}

fn save(directory: &Path, name: &str, content: &str) -> Result<(), Error> {
    let path = directory.join(name);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, content))
        .map_err(|error| Error::io("write", &path, &error))
}
