//! `maildircheck`: explains what is wrong with maildirs, and repairs it if asked to. The examination itself is
//! [`crate::maildir::check`]; here are the command line, the words around it and the exit status.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid};

use crate::maildir::check::{self, Finding, Level, Observer, Repair, Summary};
use crate::maildir::{FolderName, Options};

/// Nothing is wrong, or everything that was wrong has been repaired.
pub const CLEAN: u8 = 0;
/// Problems remain.
pub const FINDINGS: u8 = 1;
/// A maildir could not be examined, or the command line is wrong.
pub const TROUBLE: u8 = 2;

/// Silence before progress is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two lines of progress.
const STEP: Duration = Duration::from_millis(200);

const HELP: &str = "\
Usage: maildircheck [--repair] [--json] [--remove-derived] MAILDIR...
  --repair          repair what can be repaired without losing anything
  --json            one JSON object a line instead of text
  --remove-derived  remove caches and indexes, before other software takes over
  --help            print this text
  --version         print the version
Exit status: 0 nothing wrong or all repaired, 1 problems remain, 2 trouble.
";

#[derive(Debug, PartialEq, Eq)]
enum Job {
    Help,
    Version,
    Usage(String),
    Run(Settings),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    repair: bool,
    json: bool,
    remove_derived: bool,
    maildirs: Vec<PathBuf>,
}

/// Runs the tool on `arguments` (without the program's name). Progress goes to `errors` if that is a `terminal`.
/// Returns the exit status.
///
/// # Errors
/// Output that cannot be written.
pub fn run(
    arguments: &[OsString],
    out: &mut dyn Write,
    errors: &mut dyn Write,
    terminal: bool,
) -> io::Result<u8> {
    let settings = match parse(arguments) {
        Job::Help => {
            out.write_all(HELP.as_bytes())?;
            return Ok(CLEAN);
        }
        Job::Version => {
            writeln!(out, "maildircheck {}", env!("CARGO_PKG_VERSION"))?;
            return Ok(CLEAN);
        }
        Job::Usage(reason) => {
            writeln!(errors, "maildircheck: {reason}")?;
            errors.write_all(HELP.as_bytes())?;
            return Ok(TROUBLE);
        }
        Job::Run(settings) => settings,
    };
    let mut status = CLEAN;
    for maildir in &settings.maildirs {
        let done = as_owner(maildir, || match settings.remove_derived {
            true => remove_derived(maildir, &settings, out),
            false => examine(maildir, &settings, out, errors, terminal),
        });
        match done {
            Ok(one) => status = status.max(one),
            Err(Trouble::Output(error)) => return Err(error),
            Err(Trouble::Maildir(reason)) => {
                writeln!(errors, "maildircheck: {}: {reason}", shown(maildir))?;
                status = TROUBLE;
            }
        }
    }
    out.flush()?;
    Ok(status)
}

fn parse(arguments: &[OsString]) -> Job {
    let mut settings = Settings::default();
    let mut options = true;
    for argument in arguments {
        match argument.as_bytes() {
            b"--" if options => options = false,
            b"--repair" if options => settings.repair = true,
            b"--json" if options => settings.json = true,
            b"--remove-derived" if options => settings.remove_derived = true,
            b"--help" if options => return Job::Help,
            b"--version" if options => return Job::Version,
            [b'-', _, ..] if options => {
                return Job::Usage(format!("{}: no such option", shown(Path::new(argument))));
            }
            bytes => settings
                .maildirs
                .push(PathBuf::from(OsString::from_vec(bytes.to_vec()))),
        }
    }
    if settings.maildirs.is_empty() {
        return Job::Usage("no maildir given".to_owned());
    }
    if settings.remove_derived && settings.repair {
        return Job::Usage("--repair and --remove-derived: one at a time".to_owned());
    }
    Job::Run(settings)
}

/// Why a maildir was not examined to its end.
enum Trouble {
    /// Our own output failed.
    Output(io::Error),
    Maildir(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs `job` with the rights of the maildir's owner: what root creates there the owner could not replace, and
/// whoever can put links into a maildir must not lead root anywhere.
fn as_owner(maildir: &Path, job: impl FnOnce() -> Result<u8, Trouble>) -> Result<u8, Trouble> {
    let metadata = std::fs::metadata(maildir)
        .map_err(|error| Trouble::Maildir(crate::sys::log::reason(&error)))?;
    let (owner, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    let (root, own_group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if !root.is_root() || owner.is_root() {
        return job();
    }
    let failed = |errno: nix::errno::Errno| {
        Trouble::Maildir(format!(
            "cannot take on its owner's rights: {}",
            errno.desc()
        ))
    };
    let groups = nix::unistd::getgroups().map_err(failed)?;
    nix::unistd::setgroups(&[group]).map_err(failed)?;
    nix::unistd::setegid(group).map_err(failed)?;
    nix::unistd::seteuid(owner).map_err(failed)?;
    let done = job();
    nix::unistd::seteuid(root).map_err(failed)?;
    nix::unistd::setegid(own_group).map_err(failed)?;
    nix::unistd::setgroups(&groups).map_err(failed)?;
    done
}

fn remove_derived(maildir: &Path, settings: &Settings, out: &mut dyn Write) -> Result<u8, Trouble> {
    let removed =
        check::remove_derived(maildir).map_err(|error| Trouble::Maildir(error.to_string()))?;
    for path in &removed {
        match settings.json {
            true => writeln!(
                out,
                "{{\"maildir\":{},\"removed\":{}}}",
                json(maildir.as_os_str().as_bytes()),
                json(path.as_os_str().as_bytes())
            )?,
            false => writeln!(out, "removed {}", shown(path))?,
        }
    }
    Ok(CLEAN)
}

fn examine(
    maildir: &Path,
    settings: &Settings,
    out: &mut dyn Write,
    errors: &mut dyn Write,
    terminal: bool,
) -> Result<u8, Trouble> {
    let mut report = Report {
        maildir,
        settings,
        out,
        errors,
        terminal,
        started: Instant::now(),
        shown: None,
        failed: None,
    };
    let options = Options::from_environment();
    let checked = check::check(maildir, &options, settings.repair, &mut report);
    report.clear();
    if let Some(error) = report.failed.take() {
        return Err(Trouble::Output(error));
    }
    let summary = checked.map_err(|error| Trouble::Maildir(error.to_string()))?;
    report.sum_up(&summary)?;
    Ok(match summary.unrepaired {
        0 => CLEAN,
        _ => FINDINGS,
    })
}

/// Writes findings as they come.
struct Report<'a> {
    maildir: &'a Path,
    settings: &'a Settings,
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    terminal: bool,
    started: Instant,
    /// When the line of progress that stands on the terminal was written.
    shown: Option<Instant>,
    /// The first failure to write.
    failed: Option<io::Error>,
}

impl Report<'_> {
    /// Takes the line of progress away.
    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let done = self.errors.write_all(b"\r\x1b[K");
            self.keep(done);
        }
    }

    fn keep(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }

    fn write(&mut self, finding: &Finding) -> io::Result<()> {
        let folder = finding.folder.to_full();
        let level = match finding.level {
            Level::Note => "note",
            Level::Problem => "problem",
        };
        let (state, reason) = match &finding.repair {
            Repair::None => ("none", None),
            Repair::Possible => ("possible", None),
            Repair::Done => ("done", None),
            Repair::Failed(reason) => ("failed", Some(reason)),
        };
        if self.settings.json {
            let error = reason.map_or_else(String::new, |reason| {
                format!(",\"error\":{}", json(reason.as_bytes()))
            });
            return writeln!(
                self.out,
                "{{\"maildir\":{},\"folder\":{},\"file\":{},\"code\":\"{}\",\"level\":\"{level}\",\
                 \"text\":{},\"repair\":\"{state}\"{error}}}",
                json(self.maildir.as_os_str().as_bytes()),
                json(&folder),
                json(&finding.file),
                finding.code,
                json(finding.text.as_bytes()),
            );
        }
        let mut path = self.maildir.to_path_buf();
        if !finding.folder.is_inbox() {
            path.push(OsString::from_vec(finding.folder.directory()));
        }
        if !finding.file.is_empty() {
            path.push(OsString::from_vec(finding.file.clone()));
        }
        let after = match (&finding.repair, reason) {
            (Repair::Done, _) => " [repaired]".to_owned(),
            (Repair::Possible, _) => " [--repair]".to_owned(),
            (_, Some(reason)) => format!(" [not repaired: {reason}]"),
            _ => String::new(),
        };
        writeln!(
            self.out,
            "{level}: {}: {} ({}){after}",
            shown(&path),
            finding.text,
            finding.code
        )
    }

    fn sum_up(&mut self, summary: &Summary) -> io::Result<()> {
        let Summary {
            folders,
            files,
            problems,
            unrepaired,
            notes,
            repaired,
        } = *summary;
        if self.settings.json {
            return writeln!(
                self.out,
                "{{\"maildir\":{},\"folders\":{folders},\"files\":{files},\"problems\":{problems},\
                 \"unrepaired\":{unrepaired},\"notes\":{notes},\"repaired\":{repaired}}}",
                json(self.maildir.as_os_str().as_bytes())
            );
        }
        let verdict = match (problems, unrepaired) {
            (0, _) => "nothing wrong".to_owned(),
            (problems, 0) => format!("all {problems} problems repaired"),
            (problems, left) if problems == left => format!("{problems} problems"),
            (problems, left) => format!("{left} of {problems} problems remain"),
        };
        writeln!(
            self.out,
            "{}: {verdict}; {folders} folders, {files} files, {notes} notes",
            shown(self.maildir)
        )
    }
}

impl Observer for Report<'_> {
    fn finding(&mut self, finding: &Finding) {
        self.clear();
        let done = self.write(finding);
        self.keep(done);
    }

    fn progress(&mut self, folder: &FolderName, files: u64) {
        let due = match self.shown {
            None => self.started.elapsed() >= PATIENCE,
            Some(last) => last.elapsed() >= STEP,
        };
        if !self.terminal || !due {
            return;
        }
        self.shown = Some(Instant::now());
        let done = write!(
            self.errors,
            "\r\x1b[K{}: {}, {files} files",
            shown(self.maildir),
            folder.to_full().escape_ascii()
        )
        .and_then(|()| self.errors.flush());
        self.keep(done);
    }
}

/// A path for people, who may have a terminal that obeys control characters. UTF-8 stays as it is.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    text
}

/// A JSON string. Bytes that are not UTF-8 become U+FFFD.
fn json(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if u32::from(c) < 0x20 || c == '\x7f' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    fn call(list: &[&str]) -> (u8, String, String) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let status = run(&arguments(list), &mut out, &mut errors, false).unwrap();
        (
            status,
            String::from_utf8(out).unwrap(),
            String::from_utf8(errors).unwrap(),
        )
    }

    #[test]
    fn command_lines_are_understood_or_refused() {
        assert_eq!(call(&["--help"]).0, CLEAN);
        for wrong in [
            &[][..],
            &["--repair"],
            &["--what", "M"],
            &["-r", "M"],
            &["--repair", "--remove-derived", "M"],
        ] {
            let (status, out, errors) = call(wrong);
            assert_eq!((status, out.as_str()), (TROUBLE, ""), "{wrong:?}");
            assert!(errors.contains("Usage: "));
        }
        let Job::Run(settings) = parse(&arguments(&["--json", "--", "--repair"])) else {
            panic!();
        };
        assert!(settings.json && !settings.repair);
        assert_eq!(settings.maildirs, [PathBuf::from("--repair")]);
    }

    #[test]
    fn the_worst_maildir_decides_the_status() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (good, bad) = (path("good"), path("bad"));
        for maildir in [&good, &bad] {
            crate::maildir::make_maildir(Path::new(maildir), 0o700).unwrap();
        }
        std::fs::remove_dir(format!("{bad}/new")).unwrap();
        let (status, out, _) = call(&[&good]);
        assert_eq!(status, CLEAN);
        assert_eq!(
            out,
            format!("{good}: nothing wrong; 1 folders, 0 files, 0 notes\n")
        );
        let (status, out, errors) = call(&[&good, &bad]);
        assert_eq!((status, errors.as_str()), (FINDINGS, ""));
        assert!(out.contains("(missing) [--repair]\n"), "{out}");
        let (status, _, errors) = call(&[&path("none"), &bad]);
        assert_eq!(status, TROUBLE);
        assert!(errors.contains("No such file"), "{errors}");
        assert_eq!(call(&[dir.path().to_str().unwrap()]).0, TROUBLE);
        let (status, out, _) = call(&["--repair", &bad]);
        assert_eq!(status, CLEAN, "{out}");
        assert!(out.contains("all 1 problems repaired"), "{out}");
        assert_eq!(call(&[&bad]).0, CLEAN);
    }

    #[test]
    fn what_is_printed_is_harmless_and_json_is_json() {
        assert_eq!(shown(Path::new("é\u{1b}[1m\\")), "é\\u{1b}[1m\\\\");
        assert_eq!(json(b"a\"b\\c\n\xff"), "\"a\\\"b\\\\c\\u000a\u{fffd}\"");
        let dir = tempfile::tempdir().unwrap();
        let maildir = dir.path().join("M\"");
        crate::maildir::make_maildir(&maildir, 0o700).unwrap();
        std::fs::create_dir(maildir.join("cur/a\nb")).unwrap();
        let (status, out, _) = call(&["--json", maildir.to_str().unwrap()]);
        assert_eq!(status, FINDINGS);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2, "{out}");
        assert!(
            lines[0]
                .contains("\"file\":\"cur/a\\u000ab\",\"code\":\"stray\",\"level\":\"problem\"")
        );
        assert!(lines[1].ends_with("\"problems\":1,\"unrepaired\":1,\"notes\":0,\"repaired\":0}"));
    }

    #[test]
    fn progress_is_shown_on_a_terminal_after_a_while_and_taken_away() {
        let settings = Settings::default();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        for (terminal, started) in [(true, Instant::now()), (false, long_ago), (true, long_ago)] {
            let mut report = Report {
                maildir: Path::new("M"),
                settings: &settings,
                out: &mut out,
                errors: &mut errors,
                terminal,
                started,
                shown: None,
                failed: None,
            };
            report.progress(&FolderName::inbox(), 1000);
            report.progress(&FolderName::inbox(), 1001);
            report.clear();
        }
        let errors = String::from_utf8(errors).unwrap();
        assert_eq!(errors, "\r\x1b[KM: INBOX, 1000 files\r\x1b[K");
    }
}
