//! `deliverquota`: delivers a message to a maildir within its quota, and warns the account that becomes full (contract:
//! tools 4, quota 3).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::paths::Paths;
use crate::maildir::{
    Delivery, Details, Error, ErrorKind, Folder, FolderName, Maildir, Options, Pending, QuotaLimits,
};
use crate::sys::log;
use crate::text::date;

/// Delivered.
const DELIVERED: u8 = 0;
/// The command line is wrong (sysexits: cannot create).
const USAGE: u8 = 73;
/// Reading or writing failed.
const IO: u8 = 74;
/// The maildir cannot be used, now.
const TEMPORARY: u8 = 75;
/// Over quota.
const OVER: u8 = 77;

/// Largest text of a warning, in bytes.
const WARNING_MAX: u64 = 1 << 20;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Job {
    /// Make the maildir if there is none.
    create: bool,
    /// Warn from this percentage on.
    warn: Option<u64>,
    /// The text of the warning.
    text: Option<PathBuf>,
    maildir: PathBuf,
    /// Limits that the account gets.
    quota: Option<QuotaLimits>,
}

/// Runs the tool on `arguments` (without the program's name), with the message on `input`; `file`: its size in bytes, if
/// it is a regular file. The exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn run(
    arguments: &[OsString],
    input: &mut impl Read,
    file: Option<u64>,
    paths: &Paths,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let Some(job) = parse(arguments) else {
        writeln!(errors, "Usage: deliverquota [-c] [-w percent] maildir")?;
        return Ok(USAGE);
    };
    let shown = job.maildir.display();
    let opened = match job.create {
        true => create(&job.maildir).map_err(|error| log::reason(&error)),
        false => Ok(()),
    };
    let opened = opened.and_then(|()| {
        let maildir = Maildir::open(&job.maildir, Options::from_environment());
        maildir
            .and_then(|maildir| Ok((maildir.folder(&FolderName::inbox())?, maildir)))
            .map_err(|error| reason(&error))
    });
    let (folder, maildir) = match opened {
        Ok(opened) => opened,
        Err(reason) => {
            writeln!(errors, "{shown}: {reason}")?;
            return Ok(TEMPORARY);
        }
    };
    match deliver(&job, &maildir, &folder, input, file) {
        Ok(before) => {
            warn(&job, &maildir, before, paths, errors)?;
            Ok(DELIVERED)
        }
        Err(Failure::Over(before)) => {
            writeln!(out, "Mail quota exceeded.")?;
            if file.is_some() {
                warn(&job, &maildir, before, paths, errors)?;
            }
            Ok(OVER)
        }
        Err(Failure::Temporary(reason)) => {
            writeln!(errors, "{shown}: {reason}")?;
            Ok(TEMPORARY)
        }
        Err(Failure::Io(reason)) => {
            writeln!(errors, "{shown}: {reason}")?;
            Ok(IO)
        }
    }
}

fn parse(arguments: &[OsString]) -> Option<Job> {
    let mut job = Job::default();
    let mut rest = arguments.iter();
    let maildir = loop {
        let argument = rest.next()?;
        match argument.as_bytes() {
            b"-c" => job.create = true,
            [b'-', letter @ (b'w' | b'W'), attached @ ..] => {
                let value = if attached.is_empty() {
                    rest.next()?.as_bytes()
                } else {
                    attached
                };
                if *letter == b'W' {
                    job.text = Some(PathBuf::from(std::ffi::OsStr::from_bytes(value)));
                } else {
                    let percent: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
                    if !(-1..=100).contains(&percent) {
                        return None;
                    }
                    job.warn = u64::try_from(percent).ok();
                }
            }
            [b'-', ..] => return None,
            _ => break argument,
        }
    };
    job.maildir = PathBuf::from(maildir);
    job.quota = rest
        .next()
        .map(|quota| QuotaLimits::parse(quota.as_bytes()));
    Some(job)
}

/// Makes the maildir and all above it. `tmp` comes last: where it is, all is.
fn create(maildir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    ["cur", "new", "tmp"]
        .iter()
        .try_for_each(|part| builder.create(maildir.join(part)))
}

/// Why nothing was delivered.
enum Failure {
    /// Over quota; how full the account was, in percent.
    Over(Option<u64>),
    /// The message could not be begun.
    Temporary(String),
    /// It could not be completed.
    Io(String),
}

/// Delivers the message: how full the account is to count as, in percent, if it has a quota.
fn deliver(
    job: &Job,
    maildir: &Maildir,
    folder: &Folder,
    input: &mut impl Read,
    file: Option<u64>,
) -> Result<Option<u64>, Failure> {
    let counts = !is_trash(&job.maildir, maildir);
    let reserve = |bytes| {
        let before = percent(maildir);
        if !counts {
            return Ok(before);
        }
        match maildir.reserve_quota(bytes, job.quota) {
            Ok(()) => Ok(before),
            Err(error) if error.kind() == ErrorKind::OverQuota => Err(Failure::Over(before)),
            Err(error) => Err(Failure::Temporary(reason(&error))),
        }
    };
    // A file whose size is known is refused before it is written.
    let known = file.filter(|&size| size > 0);
    let mut full = match known {
        Some(size) => reserve(size)?,
        None => None,
    };
    let written = write(folder, input);
    let (pending, size) = match written {
        Ok(written) => written,
        Err(failure) => {
            if let Some(size) = known.filter(|_| counts) {
                maildir.settle_quota(size, false);
            }
            return Err(failure);
        }
    };
    if known.is_none() {
        reserve(size)?;
    }
    if let Err(error) = folder.post(pending) {
        if counts {
            maildir.settle_quota(known.unwrap_or(size), false);
        }
        return Err(Failure::Io(reason(&error)));
    }
    if known.is_none() {
        // What came through a pipe counts, too.
        full = percent(maildir);
    }
    Ok(full)
}

/// Writes the message to the maildir's `tmp`, as it is; with its size.
fn write(folder: &Folder, input: &mut impl Read) -> Result<(Pending, u64), Failure> {
    let mut delivery: Delivery = folder
        .deliver()
        .map_err(|error| Failure::Temporary(reason(&error)))?;
    io::copy(input, &mut delivery).map_err(|error| Failure::Io(log::reason(&error)))?;
    let size = delivery.size();
    delivery
        .finish(Details::default())
        .map(|pending| (pending, size))
        .map_err(|error| Failure::Io(reason(&error)))
}

/// True for the folder whose messages do not count.
fn is_trash(path: &Path, maildir: &Maildir) -> bool {
    let is_folder = fs::symlink_metadata(maildir.path().join("maildirfolder")).is_ok();
    is_folder && path.file_name().is_some_and(|name| name == ".Trash")
}

/// How full the account is; `None` without a quota, or if that cannot be told.
fn percent(maildir: &Maildir) -> Option<u64> {
    maildir.quota().ok().flatten().map(|quota| quota.percent())
}

/// Warns the account if it is full enough and was not warned within a day. Failures cost a line: the message itself
/// has been dealt with.
fn warn(
    job: &Job,
    maildir: &Maildir,
    full: Option<u64>,
    paths: &Paths,
    errors: &mut impl Write,
) -> io::Result<()> {
    let (Some(least), Some(full)) = (job.warn, full) else {
        return Ok(());
    };
    if full < least {
        return Ok(());
    }
    let own = job.text.as_deref().and_then(text_of);
    let Some(text) = own.or_else(|| text_of(&paths.sysconfdir.join("quotawarnmsg"))) else {
        return Ok(());
    };
    if let Err(error) = post_warning(maildir, &text) {
        let path = error.path().display().to_string();
        writeln!(errors, "{path}: {}", reason(&error))?;
    }
    Ok(())
}

/// The text of a file; `None` if it cannot be read.
fn text_of(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    file.take(WARNING_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Delivers the warning to the account's INBOX. It counts, and is let in whatever the limit.
fn post_warning(maildir: &Maildir, text: &[u8]) -> Result<(), Error> {
    let account = maildir.account()?;
    if !account.may_warn()? {
        return Ok(());
    }
    let folder = account.folder(&FolderName::inbox())?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let head = format!(
        "Date: {}\nMessage-Id: <{now}.overquota@{}>\n",
        date::format_rfc5322(i64::try_from(now).unwrap_or(0), 0),
        account.options().host
    );
    let mut delivery = folder.deliver_as("warn")?;
    delivery
        .write_all(&[head.as_bytes(), text].concat())
        .map_err(|error| Error::std("write", account.path(), &error))?;
    let size = delivery.size();
    folder.post(delivery.finish(Details::default())?)?;
    account.settle_quota(size, true);
    Ok(())
}

/// The system's words for an error.
fn reason(error: &Error) -> String {
    error
        .errno()
        .map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}

#[cfg(test)]
mod tests;
