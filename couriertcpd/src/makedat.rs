//! makedat and makedatprog: a GDBM file from text (contract: couriertcpd 3.1 and 3.4, tools 5). No shell, no Perl,
//! no temporary file but the new database, which replaces the old one in one step.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use courier::sys::log::{Level, log};
use courier_dbm::Writer;

use crate::arguments::Arguments;
use crate::ranges;
use crate::{pidfile, reason};

/// A database to make.
#[derive(Debug)]
pub struct Request {
    /// A text file, or a directory of them.
    pub source: PathBuf,
    /// The database.
    pub target: PathBuf,
    /// Start of the temporary file's name, on the same file system; the process id is appended.
    pub temporary: PathBuf,
    /// Whether networks and ranges are expanded.
    pub ranges: bool,
}

/// One line of the source and where it came from.
#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    file: usize,
    number: usize,
}

/// The text: lines, and the names of the files they came from.
#[derive(Debug, Default)]
struct Text {
    files: Vec<PathBuf>,
    lines: Vec<Line>,
}

impl Text {
    fn add(&mut self, file: &Path, content: &[u8]) {
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        let index = self.files.len();
        self.files.push(file.to_owned());
        self.lines.extend(
            (1..)
                .zip(content.split(|&byte| byte == b'\n'))
                .map(|(number, text)| Line {
                    text: text.to_vec(),
                    file: index,
                    number,
                }),
        );
    }

    fn place(&self, line: &Line) -> String {
        let file = self.files.get(line.file).map(|path| path.display());
        match file {
            Some(file) => format!("{file} line {}", line.number),
            None => format!("line {}", line.number),
        }
    }
}

/// makedat.
pub fn main(program: &str, arguments: &[OsString]) -> ExitCode {
    let usage = format!("Usage: {program} -src=src -file=file -tmp=tmpfile -hup=hupfile [-cidr]");
    if let Some(status) = help(arguments, "makedat", &usage) {
        return status;
    }
    let names = ["src", "file", "tmp", "hup", "cidr"];
    let Ok(parsed) = Arguments::parse(arguments, &names) else {
        return fail(&usage);
    };
    let path = |name: &str| {
        parsed
            .last(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let (Some(source), Some(target), Some(temporary), true) = (
        path("src"),
        path("file"),
        path("tmp"),
        parsed.operands.is_empty(),
    ) else {
        return fail(&usage);
    };
    let request = Request {
        source,
        target,
        temporary,
        ranges: parsed.has("cidr"),
    };
    if let Err(message) = make(&request) {
        return fail(&message);
    }
    if let Some(pid_file) = path("hup") {
        if let Err(error) = pidfile::hang_up(&pid_file) {
            return fail(&format!("{}: {}", pid_file.display(), reason(&error)));
        }
    }
    ExitCode::SUCCESS
}

/// makedatprog: the text ends with a line `.`, which makedat's own sources do not have.
pub fn program_main(program: &str, arguments: &[OsString]) -> ExitCode {
    let usage = format!("Usage: {program} textfile tmpfile gdbmfile");
    if let Some(status) = help(arguments, "makedatprog", &usage) {
        return status;
    }
    let [source, temporary, target, ..] = arguments else {
        return fail(&usage);
    };
    let shown = Path::new(source).display();
    let content = if source == "-" {
        let mut content = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut content)
            .map(|_length| content)
    } else {
        std::fs::read(source)
    };
    let result = content
        .map_err(|error| format!("{shown}: {}", reason(&error)))
        .and_then(|content| {
            let mut text = Text::default();
            text.add(Path::new(source), &content);
            let end = text
                .lines
                .iter()
                .position(|line| line.text == b".")
                .ok_or_else(|| format!("{shown}: no line with a single dot at the end"))?;
            text.lines.truncate(end);
            store(&text, Path::new(temporary), Path::new(target), false)
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

/// Answers `--help` and `--version`.
fn help(arguments: &[OsString], name: &str, usage: &str) -> Option<ExitCode> {
    let text = match arguments {
        [only] if only == "--help" => usage.to_owned(),
        [only] if only == "--version" => format!("{name} {}", env!("CARGO_PKG_VERSION")),
        _ => return None,
    };
    Some(match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn fail(message: &str) -> ExitCode {
    for line in message.lines() {
        log(Level::Plain, format_args!("{line}"));
    }
    ExitCode::FAILURE
}

/// Makes the database.
///
/// # Errors
/// What to print; the old database, if any, is untouched.
pub fn make(request: &Request) -> Result<(), String> {
    let text = read(&request.source)?;
    if let Some(dot) = text.lines.iter().find(|line| line.text == b".") {
        // The original would drop everything from here on without a word.
        return Err(format!(
            "{}: a line with a single dot is not allowed",
            text.place(dot)
        ));
    }
    store(&text, &request.temporary, &request.target, request.ranges)
}

fn read(source: &Path) -> Result<Text, String> {
    let failed =
        |path: &Path, error: &std::io::Error| Err(format!("{}: {}", path.display(), reason(error)));
    let mut text = Text::default();
    match std::fs::metadata(source) {
        Err(error) => return failed(source, &error),
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return match std::fs::read(source) {
                Ok(content) => {
                    text.add(source, &content);
                    Ok(text)
                }
                Err(error) => failed(source, &error),
            };
        }
    }
    for path in directory_files(source)? {
        match std::fs::read(&path) {
            Ok(content) => text.add(&path, &content),
            Err(error) => return failed(&path, &error),
        }
    }
    Ok(text)
}

/// The files of a source directory, sorted. Leftovers of package upgrades are errors: whoever upgrades has to look
/// at them.
fn directory_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {}", directory.display(), reason(&error));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        if name.ends_with(b"~") || !std::fs::metadata(&path).is_ok_and(|file| file.is_file()) {
            continue;
        }
        if let Some(length) = leftover(name) {
            let original = path.with_file_name(OsString::from_vec(
                name.get(..length).unwrap_or_default().to_vec(),
            ));
            return Err(format!(
                "{} found, please investigate and remove it, and\nmake any needed changes to {}",
                path.display(),
                original.display()
            ));
        }
        if let Some(live) = name.strip_suffix(b".dist") {
            let live = path.with_file_name(OsString::from_vec(live.to_vec()));
            let time = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified());
            match (time(&live), time(&path)) {
                (Ok(ours), Ok(shipped)) if ours >= shipped => continue,
                (Ok(_), _) => {
                    return Err(format!(
                        "{} is newer than {}, please compare them",
                        path.display(),
                        live.display()
                    ));
                }
                (Err(_), _) => {
                    return Err(format!(
                        "{} exists, please copy to {}",
                        path.display(),
                        live.display()
                    ));
                }
            }
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}

/// Length of the original's name when `name` is what a package manager left beside it.
fn leftover(name: &[u8]) -> Option<usize> {
    for suffix in [&b".rpmsave"[..], b".rpmnew"] {
        if let Some(original) = name.strip_suffix(suffix) {
            return Some(original.len());
        }
    }
    let marker = b".dpkg-";
    name.windows(marker.len().saturating_add(1))
        .position(|window| {
            window
                .strip_prefix(marker)
                .is_some_and(|next| next.iter().all(u8::is_ascii_lowercase))
        })
}

fn store(text: &Text, temporary: &Path, target: &Path, expand: bool) -> Result<(), String> {
    // A name of our own: two runs at the same time must not fill, or rename, one file.
    let mut name = OsString::from(temporary);
    name.push(format!(".{}", std::process::id()));
    let mut writer = Writer::create(Path::new(&name), 0o664)
        .map_err(|error| format!("Cannot create {}\n{error}", temporary.display()))?;
    for line in &text.lines {
        if line.text.is_empty() || line.text.starts_with(b"#") {
            continue;
        }
        if let Some((field, rest)) = ranges::split(&line.text).filter(|_split| expand) {
            let keys = ranges::expand(field).map_err(|error| {
                let what = match error {
                    ranges::Error::Malformed => "not a network or address range",
                    ranges::Error::TooMany => "needs too many records",
                };
                format!("{}: {what}", text.place(line))
            })?;
            for key in keys {
                put(&mut writer, &key, rest, text, line)?;
            }
            continue;
        }
        let tab = line.text.iter().position(|&byte| byte == b'\t');
        let (key, value) = line.text.split_at(tab.unwrap_or(line.text.len()));
        let value = value.get(1..).filter(|value| !value.is_empty());
        if !key.is_empty() {
            put(&mut writer, key, value.unwrap_or(b"1"), text, line)?;
        }
    }
    writer.commit(target).map_err(|error| error.to_string())
}

fn put(
    writer: &mut Writer,
    key: &[u8],
    value: &[u8],
    text: &Text,
    line: &Line,
) -> Result<(), String> {
    let detail = match writer.insert(key, value) {
        Ok(true) => return Ok(()),
        Ok(false) => String::from("the key is there already"),
        Err(error) => error.to_string(),
    };
    Err(format!(
        "Cannot store record for {} - duplicate or out of disk space.\n{}: {detail}",
        String::from_utf8_lossy(key),
        text.place(line)
    ))
}

#[cfg(test)]
mod tests;
