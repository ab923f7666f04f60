//! `courierwho`: who is on, from the roster, and ending their sessions.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::config::paths::Paths;
use crate::roster::{self, Entry};
use crate::sys::log::reason;
use crate::sys::{clock, localtime, pidfd};
use crate::text::date::Date;

const HELP: &str = "\
Usage: courierwho [--json] [--watch] [ACCOUNT...]    who is on; without ACCOUNT everybody
       courierwho --kick ACCOUNT|PID...              end all sessions of an account, or one session
";

/// Between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

/// Runs the tool on `arguments` (without the program's name); the exit code: 0, 1 if `--kick` found nobody, 2 if
/// something failed.
///
/// # Errors
/// Output that cannot be written.
pub fn run(
    arguments: &[OsString],
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let (mut json, mut watch, mut kick) = (false, false, false);
    let mut names: Vec<&[u8]> = Vec::new();
    for word in arguments {
        match word.as_bytes() {
            b"--json" => json = true,
            b"--watch" => watch = true,
            b"--kick" => kick = true,
            b"--help" => {
                out.write_all(HELP.as_bytes())?;
                return Ok(0);
            }
            b"--version" => {
                writeln!(out, "courierwho {}", env!("CARGO_PKG_VERSION"))?;
                return Ok(0);
            }
            [b'-', ..] => {
                errors.write_all(HELP.as_bytes())?;
                return Ok(2);
            }
            name => names.push(name),
        }
    }
    if kick && (names.is_empty() || json || watch) {
        errors.write_all(HELP.as_bytes())?;
        return Ok(2);
    }
    let path = match Paths::load() {
        Ok(paths) => roster::path(&paths),
        Err(error) => {
            writeln!(errors, "courierwho: {error}")?;
            return Ok(2);
        }
    };
    loop {
        let sessions = match roster::sessions(&path) {
            Ok(sessions) => sessions,
            Err(error) => return failed(&path, &error, errors),
        };
        if kick {
            return end(&sessions, &names, out, errors);
        }
        let chosen: Vec<&Entry> = sessions
            .iter()
            .filter(|session| names.is_empty() || names.contains(&session.account.as_slice()))
            .collect();
        let text = if json {
            as_json(&chosen)
        } else {
            as_table(&chosen)
        };
        if watch && !json {
            // Home, and nothing left of the last picture.
            out.write_all(b"\x1b[H\x1b[2J")?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !watch {
            return Ok(0);
        }
        std::thread::sleep(WATCH);
    }
}

fn failed(path: &Path, error: &io::Error, errors: &mut impl Write) -> io::Result<u8> {
    writeln!(errors, "courierwho: {}: {}", path.display(), reason(error))?;
    Ok(2)
}

/// Ends the sessions of accounts and process ids. An account whose name is a number wins over the process.
fn end(
    sessions: &[Entry],
    names: &[&[u8]],
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let mut status = 0;
    for &name in names {
        let mut chosen: Vec<&Entry> = sessions
            .iter()
            .filter(|session| session.account == name)
            .collect();
        if chosen.is_empty() {
            chosen.extend(
                sessions
                    .iter()
                    .find(|session| session.pid.to_string().as_bytes() == name),
            );
        }
        if chosen.is_empty() {
            writeln!(errors, "courierwho: {}: not on", shown(name))?;
            status = status.max(1);
        }
        for session in chosen {
            match pidfd::signal_if(session.pid, libc::SIGTERM, || session.is_alive()) {
                Ok(true) => writeln!(out, "{} {}", session.pid, shown(&session.account))?,
                // It has ended by itself.
                Ok(false) => {}
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => {
                    writeln!(errors, "courierwho: {}: {}", session.pid, reason(&error))?;
                    status = 2;
                }
            }
        }
    }
    Ok(status)
}

/// A name for the terminal: what would command it is a question mark.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn as_table(sessions: &[&Entry]) -> String {
    let mut rows =
        vec![["ACCOUNT", "SERVICE", "TLS", "ADDRESS", "SINCE", "PID"].map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        [
            shown(&session.account),
            session.service.name().to_owned(),
            if session.tls { "yes" } else { "no" }.to_owned(),
            address(session),
            local_time(session.since),
            session.pid.to_string(),
        ]
    }));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `2026-11-24 23:59`, in the zone of this machine.
fn local_time(unix: u64) -> String {
    let unix = i64::try_from(unix).unwrap_or(0);
    let offset = localtime::offset_minutes(unix);
    let day = Date::of_unix(unix, offset);
    let minute = unix
        .saturating_add(i64::from(offset).saturating_mul(60))
        .rem_euclid(86_400)
        / 60;
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}",
        day.year,
        day.month,
        day.day,
        minute / 60,
        minute % 60
    )
}

/// Without the prefix that says "IPv4" to programs.
fn address(session: &Entry) -> String {
    let text = shown(&session.address);
    match text.strip_prefix("::ffff:") {
        Some(rest) if rest.contains('.') => rest.to_owned(),
        _ => text,
    }
}

fn as_json(sessions: &[&Entry]) -> String {
    let lines: Vec<String> = sessions
        .iter()
        .map(|session| {
            let age = clock::since_boot().saturating_sub(session.boot).as_secs();
            format!(
                "{{\"account\":{},\"service\":\"{}\",\"tls\":{},\"address\":{},\"port\":{},\"since\":{},\"seconds\":{age},\"pid\":{}}}",
                quoted(&session.account),
                session.service.name(),
                session.tls,
                quoted(address(session).as_bytes()),
                session.port,
                session.since,
                session.pid
            )
        })
        .collect();
    format!("[{}]\n", lines.join(",\n "))
}

/// A JSON string (RFC 8259 section 7). What is no UTF-8 becomes U+FFFD.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if u32::from(c) < 0x20 => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_a_terminal_nor_leave_a_string() {
        assert_eq!(shown(b"a\x1b[2Jb"), "a?[2Jb");
        assert_eq!(quoted(b"a\"\\\n\xff"), "\"a\\\"\\\\\\u000a\u{fffd}\"");
    }
}
