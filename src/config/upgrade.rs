//! Brings a live configuration file up to date with the `.dist` file of a new release, keeping what the
//! administrator set. The `sysconftool` program is a thin shell around this.
//!
//! A file is a sequence of settings, each opened by a marker line `##NAME: tag:revision`; a `##VERSION:` line
//! near the top identifies the release. The new file is the `.dist` file with, for each setting that the live
//! file has at the same revision, the live value in place of the default. A changed revision means the old value
//! cannot be used any more: it is kept as a comment.
//!
//! Three things go beyond the original tool: lines after a comment inside a value are kept, settings that no
//! longer exist are reported, and the live file keeps its owner and mode and is never absent, not even when the
//! machine stops between two steps.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How far from the top the `##VERSION:` line may stand.
const HEADER_LINES: usize = 20;

/// What became of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The live value was kept.
    Unchanged,
    /// Its revision differs: the new default is active, the old value a comment.
    Updated,
    /// The live file did not have it.
    New,
    /// The live file has it, the `.dist` file does not: only the `.bak` file still holds it.
    Obsolete,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "unchanged",
            Self::Updated => "UPDATED",
            Self::New => "new",
            Self::Obsolete => "obsolete",
        })
    }
}

/// The result of a merge: the new file and what happened to each setting, in file order, obsolete ones last.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// Content of the new live file.
    pub content: Vec<u8>,
    /// Tag and fate of every setting.
    pub report: Vec<(Vec<u8>, Status)>,
}

/// Why a file could not be upgraded.
#[derive(Debug)]
pub enum UpgradeError {
    /// The `.dist` file has no `##VERSION:` line among its first twenty.
    NoHeader(PathBuf),
    /// A file operation failed; the live file is as it was.
    Io(PathBuf, io::Error),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader(path) => {
                write!(f, "{}: configuration header not found.", path.display())
            }
            Self::Io(path, error) => {
                // Only the reason: Display of io::Error appends " (os error 2)", which the original does not.
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                write!(f, "{}: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for UpgradeError {}

/// One setting of a live file.
struct Setting<'a> {
    tag: Vec<u8>,
    revision: Vec<u8>,
    /// From the first line that is no comment to the next marker, without comments at the end that the
    /// `.dist` file will supply again.
    value: Vec<&'a [u8]>,
}

/// The lines of a file without their line ends. A final newline ends the last line, it begins no further one.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content
        .strip_suffix(b"\n")
        .unwrap_or(content)
        .split(|&byte| byte == b'\n')
        .filter(move |_| !content.is_empty())
}

fn is_comment(line: &[u8]) -> bool {
    line.starts_with(b"#")
}

/// The number of lines up to and including the version line, and that line.
fn header(content: &[u8]) -> Option<(usize, &[u8])> {
    lines(content)
        .take(HEADER_LINES)
        .enumerate()
        .find(|(_, line)| line.starts_with(b"##VERSION:"))
        .map(|(index, line)| (index.saturating_add(1), line))
}

/// Tag and revision of a `##NAME:` line, split at its last colon, blanks removed.
fn marker(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let rest: Vec<u8> = line
        .strip_prefix(b"##NAME:")?
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let colon = rest.iter().rposition(|&byte| byte == b':')?;
    let (tag, revision) = rest.split_at(colon);
    Some((tag.to_vec(), revision.get(1..).unwrap_or_default().to_vec()))
}

/// The settings of a live file below its header.
fn settings(live: &[u8], header_lines: usize) -> Vec<Setting<'_>> {
    let mut found: Vec<Setting<'_>> = Vec::new();
    for line in lines(live).skip(header_lines) {
        if let Some((tag, revision)) = marker(line) {
            found.push(Setting {
                tag,
                revision,
                value: Vec::new(),
            });
        } else if let Some(setting) = found.last_mut() {
            // Comments before the value are the description, which the .dist file brings.
            if !is_comment(line) || !setting.value.is_empty() {
                setting.value.push(line);
            }
        }
    }
    found
}

/// One section of the `.dist` file: the marker's tag and revision and the lines below it.
struct Section<'a> {
    marker: &'a [u8],
    tag: Vec<u8>,
    revision: Vec<u8>,
    lines: Vec<&'a [u8]>,
}

impl Section<'_> {
    /// Appends the section to `out` with `old` in place of its default, or beside it. Says which.
    fn write(&self, old: Option<&Setting<'_>>, dist_name: &[u8], out: &mut Vec<u8>) -> Status {
        push(out, &[self.marker]);
        let old = old.filter(|setting| !setting.value.is_empty());
        let status = match old {
            None => Status::New,
            Some(setting) if setting.revision == self.revision => Status::Unchanged,
            Some(_) => Status::Updated,
        };
        // Comments at the end of the old value that stand in the .dist file as well come from there.
        let mut value: &[&[u8]] = old.map_or(&[], |setting| &setting.value);
        while let Some((last, rest)) = value.split_last() {
            if !is_comment(last) || !self.lines.contains(last) {
                break;
            }
            value = rest;
        }
        let mut announced = false;
        for line in &self.lines {
            if !is_comment(line) && !announced {
                announced = true;
                match status {
                    Status::Unchanged => {
                        push(out, &[b"#"]);
                        push(out, &[b"# DEFAULT SETTING from ", dist_name, b":"]);
                    }
                    Status::Updated => push_previous(out, value),
                    Status::New | Status::Obsolete => {}
                }
            }
            if status == Status::Unchanged && !is_comment(line) {
                push(out, &[b"#", line]);
            } else {
                push(out, &[line]);
            }
        }
        match status {
            Status::Unchanged => value.iter().for_each(|line| push(out, &[line])),
            Status::Updated if !announced => push_previous(out, value),
            _ => {}
        }
        status
    }
}

fn push(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

fn push_previous(out: &mut Vec<u8>, value: &[&[u8]]) {
    push(out, &[b"#"]);
    push(out, &[b"# Previous setting (inserted by sysconftool):"]);
    push(out, &[b"#"]);
    for line in value {
        push(out, &[b"# ", line]);
    }
    push(out, &[b"#"]);
}

/// Merges `live` into `dist`. `dist_name` is what the comment about the default calls the `.dist` file.
/// `None` when nothing is to be done because both carry the same version line and `force` is off.
///
/// # Errors
/// [`UpgradeError::NoHeader`] when `dist` has no version line.
pub fn merge(
    dist_name: &Path,
    dist: &[u8],
    live: Option<&[u8]>,
    force: bool,
) -> Result<Option<Merged>, UpgradeError> {
    let (header_lines, version) =
        header(dist).ok_or_else(|| UpgradeError::NoHeader(dist_name.to_owned()))?;
    let old = match live.and_then(|live| Some((live, header(live)?))) {
        Some((_, (_, old_version))) if old_version == version && !force => return Ok(None),
        Some((live, (lines, _))) => settings(live, lines),
        // No version line: a file from before these markers, of which nothing can be told apart.
        None => Vec::new(),
    };

    let mut content = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (index, line) in lines(dist).enumerate() {
        match (marker(line), sections.last_mut()) {
            (Some((tag, revision)), _) if index >= header_lines => sections.push(Section {
                marker: line,
                tag,
                revision,
                lines: Vec::new(),
            }),
            (_, Some(section)) => section.lines.push(line),
            (_, None) => push(&mut content, &[line]),
        }
    }
    let mut report = Vec::new();
    for section in &sections {
        // The last of several settings with one tag is the one that the shell would have used.
        let setting = old.iter().rev().find(|setting| setting.tag == section.tag);
        let status = section.write(setting, dist_name.as_os_str().as_bytes(), &mut content);
        report.push((section.tag.clone(), status));
    }
    for setting in &old {
        if !sections.iter().any(|section| section.tag == setting.tag) {
            report.push((setting.tag.clone(), Status::Obsolete));
        }
    }
    Ok(Some(Merged { content, report }))
}

/// Upgrades the live file `file` from `file.dist`; `file` may be named with or without `.dist`. The previous
/// live file becomes `file.bak`. Returns what was done, `None` for nothing. With `dry_run` no file changes.
///
/// # Errors
/// [`UpgradeError`]; the live file is then as it was before.
pub fn upgrade(file: &Path, force: bool, dry_run: bool) -> Result<Option<Merged>, UpgradeError> {
    let name = file.as_os_str().as_bytes();
    let live_path = PathBuf::from(OsString::from_vec(
        name.strip_suffix(b".dist").unwrap_or(name).to_vec(),
    ));
    let dist_path = with_suffix(&live_path, ".dist");
    let (dist, dist_metadata) = read(&dist_path)?;
    let live = match read(&live_path) {
        Ok(live) => Some(live),
        Err(UpgradeError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let live_content = live.as_ref().map(|(content, _)| content.as_slice());
    let Some(merged) = merge(&dist_path, &dist, live_content, force)? else {
        return Ok(None);
    };
    if !dry_run {
        let model = live
            .as_ref()
            .map_or(&dist_metadata, |(_, metadata)| metadata);
        replace(&live_path, live.is_some(), &merged.content, model)?;
    }
    Ok(Some(merged))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<(Vec<u8>, std::fs::Metadata), UpgradeError> {
    let io = |error| UpgradeError::Io(path.to_owned(), error);
    let mut file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let mut content = Vec::new();
    io::Read::read_to_end(&mut file, &mut content).map_err(io)?;
    Ok((content, metadata))
}

/// Puts `content` in the place of `path`, with the owner and mode of `model`, keeping the old file as `.bak`.
/// At every moment there is a complete file of that name.
fn replace(
    path: &Path,
    exists: bool,
    content: &[u8],
    model: &std::fs::Metadata,
) -> Result<(), UpgradeError> {
    let new_path = with_suffix(path, ".new");
    let written = write_new(&new_path, content, model)
        .map_err(|error| UpgradeError::Io(new_path.clone(), error))
        .and_then(|()| {
            if exists {
                let backup = with_suffix(path, ".bak");
                keep_backup(path, &backup).map_err(|error| UpgradeError::Io(backup, error))?;
            }
            std::fs::rename(&new_path, path)
                .map_err(|error| UpgradeError::Io(path.to_owned(), error))
        });
    if written.is_err() {
        // The first error is the one to report; a leftover .new file does no harm and is replaced next time.
        let _ = std::fs::remove_file(&new_path);
        return written;
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| UpgradeError::Io(directory.to_owned(), error))
}

fn write_new(path: &Path, content: &[u8], model: &std::fs::Metadata) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        std::os::unix::fs::fchown(&file, Some(model.uid()), Some(model.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(model.mode() & 0o7777))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes `backup` the file that `path` is, leaving `path` in place; where links are impossible, moves it.
fn keep_backup(path: &Path, backup: &Path) -> io::Result<()> {
    match std::fs::remove_file(backup) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match std::fs::hard_link(path, backup) {
        Ok(()) => Ok(()),
        Err(_) => std::fs::rename(path, backup),
    }
}

#[cfg(test)]
mod tests;
