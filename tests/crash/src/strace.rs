//! Runs a program under strace and understands its output (`-y`: descriptors with their paths, `-xx`: all
//! strings in hexadecimal).

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::disk::{Disk, Node};
use crate::operation::{Inode, Operation};

/// Every call that changes files, syncs, or positions a descriptor.
const CALLS: &str = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,lseek,\
                     ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,syncfs,sync,link,linkat,symlink,\
                     symlinkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,chdir,\
                     fchdir,dup,dup2,dup3,fcntl,sendto,sendmsg";

/// Why nothing can be recorded here, or `None` when it can.
pub fn unavailable() -> Option<&'static str> {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    match probe {
        Ok(status) if status.success() => None,
        Ok(_) => Some("strace may not trace here"),
        Err(_) => Some("no strace"),
    }
}

pub(crate) fn run(
    root: &Path,
    before: &Disk,
    program: &mut Command,
    input: &[u8],
) -> io::Result<Vec<Operation>> {
    let trace = std::env::temp_dir().join(format!(
        "crash-trace-{}-{:p}",
        std::process::id(),
        &raw const *before
    ));
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-y", "-xx", "-s", "16777216", "-e"])
        .arg(format!("trace={CALLS}"));
    traced
        .arg("-o")
        .arg(&trace)
        .arg("--")
        .arg(program.get_program())
        .args(program.get_args());
    if let Some(directory) = program.get_current_dir() {
        traced.current_dir(directory);
    }
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    let mut child = traced
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    child.wait_with_output()?;
    let output = std::fs::read(&trace)?;
    std::fs::remove_file(&trace)?;
    let directory = program.get_current_dir().unwrap_or(root).canonicalize()?;
    let mut parser = Parser {
        root: root.canonicalize()?,
        directory,
        disk: before.clone(),
        offsets: HashMap::new(),
        appending: HashMap::new(),
        operations: Vec::new(),
    };
    for line in output.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        parser.line(&line).map_err(|problem| {
            let shown: String = line.chars().take(400).collect();
            io::Error::other(format!("{problem}: {shown}"))
        })?;
    }
    Ok(parser.operations)
}

struct Parser {
    root: PathBuf,
    directory: PathBuf,
    disk: Disk,
    offsets: HashMap<String, usize>,
    appending: HashMap<String, bool>,
    operations: Vec<Operation>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        // "PID call(arguments) = result".
        let Some((_pid, call)) = line.split_once(' ') else {
            return Ok(());
        };
        let call = call.trim_start();
        if call.starts_with("+++") || call.starts_with("---") {
            return Ok(());
        }
        if call.contains("<unfinished ...>") || call.starts_with("<...") {
            return Err("two processes at once are not understood".to_owned());
        }
        let (name, rest) = call.split_once('(').ok_or("no call")?;
        // Short calls are padded, so that their results line up.
        let (arguments, result) = rest.rsplit_once(" = ").ok_or("no result")?;
        let arguments = arguments
            .trim_end()
            .strip_suffix(')')
            .ok_or("no end of the arguments")?;
        let result = result.split(['<', ' ']).next().unwrap_or_default();
        let Some(result) = result
            .parse::<i64>()
            .ok()
            .and_then(|result| usize::try_from(result).ok())
        else {
            return Ok(());
        };
        let arguments = split(arguments);
        let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
        match name {
            "openat" => self.open(
                &path_at(&self.directory, argument(0), argument(1))?,
                argument(2),
                result,
            ),
            "open" => self.open(&self.path(argument(0))?, argument(1), result),
            "write" | "sendto" => self.write(argument(0), None, &text(argument(1))?, result),
            "pwrite64" => self.write(
                argument(0),
                Some(number(argument(3))?),
                &text(argument(1))?,
                result,
            ),
            "writev" => self.write(argument(0), None, &vectors(argument(1))?, result),
            "pwritev" | "pwritev2" => self.write(
                argument(0),
                Some(number(argument(3))?),
                &vectors(argument(1))?,
                result,
            ),
            "sendmsg" => {
                let (_, message) = argument(1).split_once("msg_iov=").ok_or("no msg_iov")?;
                self.write(argument(0), None, &vectors(message)?, result)
            }
            "copy_file_range" => {
                self.copy(argument(0), argument(1), argument(2), argument(3), result)
            }
            "sendfile" => self.copy(argument(1), argument(2), argument(0), "NULL", result),
            "lseek" => {
                self.offsets
                    .insert(descriptor(argument(0)).to_owned(), result);
                Ok(())
            }
            "ftruncate" => match self.file(argument(0)) {
                Some(inode) => self.push(Operation::Resize {
                    inode,
                    length: number(argument(1))?,
                }),
                None => Ok(()),
            },
            "fsync" | "fdatasync" => self.sync(argument(0)),
            "syncfs" => self.push(Operation::SyncAll),
            "linkat" => {
                let from = path_at(&self.directory, argument(0), argument(1))?;
                self.link(&from, &path_at(&self.directory, argument(2), argument(3))?)
            }
            "link" => self.link(&self.path(argument(0))?, &self.path(argument(1))?),
            "renameat" | "renameat2" => {
                let from = path_at(&self.directory, argument(0), argument(1))?;
                self.rename(&from, &path_at(&self.directory, argument(2), argument(3))?)
            }
            "rename" => self.rename(&self.path(argument(0))?, &self.path(argument(1))?),
            "unlinkat" => self.remove(&path_at(&self.directory, argument(0), argument(1))?),
            "unlink" | "rmdir" => self.remove(&self.path(argument(0))?),
            "mkdirat" => self.make_directory(&path_at(&self.directory, argument(0), argument(1))?),
            "mkdir" => self.make_directory(&self.path(argument(0))?),
            "chdir" => {
                self.directory = self.path(argument(0))?;
                Ok(())
            }
            "fchdir" => {
                self.directory = opened_path(argument(0)).ok_or("fchdir without a path")?;
                Ok(())
            }
            "dup" | "dup2" | "dup3" => self.duplicate(argument(0), result),
            "fcntl" if argument(1).starts_with("F_DUPFD") => self.duplicate(argument(0), result),
            "fcntl" => Ok(()),
            // Inside the directory these would be changes that this module does not model.
            _ if arguments
                .iter()
                .any(|argument| self.mentions_root(argument)) =>
            {
                Err(format!("{name} is not understood"))
            }
            _ => Ok(()),
        }
    }

    fn mentions_root(&self, argument: &str) -> bool {
        opened_path(argument)
            .or_else(|| self.path(argument).ok())
            .is_some_and(|path| path.starts_with(&self.root))
    }

    fn path(&self, argument: &str) -> Result<PathBuf, String> {
        Ok(self.directory.join(OsString::from_vec(text(argument)?)))
    }

    /// `path` relative to the recorded directory, if it is below it.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let relative = path.strip_prefix(&self.root).ok()?;
        Some(
            relative
                .components()
                .filter(|part| part.as_os_str() != ".")
                .collect(),
        )
    }

    fn file(&self, argument: &str) -> Option<Inode> {
        match self.disk.node(&self.inside(&opened_path(argument)?)?) {
            Some(Node::File(inode)) => Some(*inode),
            _ => None,
        }
    }

    fn push(&mut self, operation: Operation) -> Result<(), String> {
        self.disk.apply(&operation);
        self.operations.push(operation);
        Ok(())
    }

    fn open(&mut self, path: &Path, flags: &str, descriptor: usize) -> Result<(), String> {
        let descriptor = descriptor.to_string();
        self.offsets.insert(descriptor.clone(), 0);
        self.appending
            .insert(descriptor, flags.contains("O_APPEND"));
        let Some(path) = self.inside(path) else {
            return Ok(());
        };
        match self.disk.node(&path).cloned() {
            None if flags.contains("O_CREAT") => {
                let inode = self.disk.new_inode();
                self.push(Operation::Add { path, inode })
            }
            Some(Node::File(inode)) if flags.contains("O_TRUNC") => {
                self.push(Operation::Resize { inode, length: 0 })
            }
            _ => Ok(()),
        }
    }

    fn write(
        &mut self,
        target: &str,
        offset: Option<usize>,
        bytes: &[u8],
        count: usize,
    ) -> Result<(), String> {
        let bytes = bytes
            .get(..count)
            .ok_or("more written than given")?
            .to_vec();
        let descriptor = descriptor(target).to_owned();
        let Some(inode) = self.file(target) else {
            let is_client = descriptor == "1" && !self.mentions_root(target);
            return if is_client {
                self.push(Operation::Answer { bytes })
            } else {
                Ok(())
            };
        };
        let offset = match offset {
            Some(offset) => offset,
            None => {
                let position = self.offsets.entry(descriptor.clone()).or_insert(0);
                if self.appending.get(&descriptor).copied().unwrap_or(false) {
                    *position = self.disk.content(inode).len();
                }
                let offset = *position;
                *position += count;
                offset
            }
        };
        self.push(Operation::Data {
            inode,
            offset,
            bytes,
        })
    }

    fn copy(
        &mut self,
        from: &str,
        from_offset: &str,
        to: &str,
        to_offset: &str,
        count: usize,
    ) -> Result<(), String> {
        let start = match from_offset {
            "NULL" => {
                let position = self.offsets.entry(descriptor(from).to_owned()).or_insert(0);
                let start = *position;
                *position += count;
                start
            }
            offset => number(
                offset
                    .trim_matches(['[', ']'])
                    .split(' ')
                    .next()
                    .unwrap_or_default(),
            )?,
        };
        let source = self.file(from);
        let bytes = match source {
            Some(inode) => self
                .disk
                .content(inode)
                .get(start..start + count)
                .map(<[u8]>::to_vec),
            None => std::fs::read(opened_path(from).ok_or("copy from where?")?)
                .ok()
                .and_then(|content| content.get(start..start + count).map(<[u8]>::to_vec)),
        };
        let bytes = bytes.ok_or("copied more than there is")?;
        let offset = match to_offset {
            "NULL" => None,
            offset => Some(number(offset.trim_matches(['[', ']']))?),
        };
        self.write(to, offset, &bytes, count)
    }

    fn sync(&mut self, target: &str) -> Result<(), String> {
        let Some(path) = opened_path(target).and_then(|path| self.inside(&path)) else {
            return Ok(());
        };
        match self.disk.node(&path).cloned() {
            Some(Node::File(inode)) => self.push(Operation::SyncFile { inode }),
            Some(Node::Directory) => self.push(Operation::SyncDirectory { path }),
            None if path == Path::new("") => self.push(Operation::SyncDirectory { path }),
            None => Err("sync of something unknown".to_owned()),
        }
    }

    fn link(&mut self, from: &Path, to: &Path) -> Result<(), String> {
        let Some(to) = self.inside(to) else {
            return Ok(());
        };
        match self
            .inside(from)
            .and_then(|from| self.disk.node(&from).cloned())
        {
            Some(Node::File(inode)) => self.push(Operation::Add { path: to, inode }),
            _ => Err("link of something unknown".to_owned()),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), String> {
        match (self.inside(from), self.inside(to)) {
            (Some(from), Some(to)) => self.push(Operation::Rename { from, to }),
            (None, None) => Ok(()),
            _ => Err("rename across the border".to_owned()),
        }
    }

    fn remove(&mut self, path: &Path) -> Result<(), String> {
        match self.inside(path) {
            Some(path) => self.push(Operation::Remove { path }),
            None => Ok(()),
        }
    }

    fn make_directory(&mut self, path: &Path) -> Result<(), String> {
        match self.inside(path) {
            Some(path) => self.push(Operation::MakeDirectory { path }),
            None => Ok(()),
        }
    }

    fn duplicate(&mut self, from: &str, to: usize) -> Result<(), String> {
        let from = descriptor(from).to_owned();
        let offset = self.offsets.get(&from).copied().unwrap_or(0);
        let appending = self.appending.get(&from).copied().unwrap_or(false);
        self.offsets.insert(to.to_string(), offset);
        self.appending.insert(to.to_string(), appending);
        Ok(())
    }
}

/// Arguments at the top level of a call.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut part) = (Vec::new(), 0_u32, false, String::new());
    for character in arguments.chars() {
        match character {
            '"' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part.trim().to_owned());
    parts
}

/// A string argument: `"\x61\x62"`.
fn text(argument: &str) -> Result<Vec<u8>, String> {
    let inner = argument
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| "not a whole string".to_owned())?;
    inner
        .split("\\x")
        .skip(1)
        .map(|pair| u8::from_str_radix(pair, 16).map_err(|error| error.to_string()))
        .collect()
}

/// The joined contents of an array of `{iov_base="…", iov_len=…}`.
fn vectors(argument: &str) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for piece in argument.split("iov_base=").skip(1) {
        let end = piece
            .get(1..)
            .and_then(|rest| rest.find('"'))
            .ok_or("unfinished vector")?;
        all.extend(text(piece.get(..end + 2).unwrap_or_default())?);
    }
    Ok(all)
}

fn number(argument: &str) -> Result<usize, String> {
    argument
        .parse()
        .map_err(|_| format!("not a number: {argument}"))
}

/// The number of `3</path>`.
fn descriptor(argument: &str) -> &str {
    argument.split('<').next().unwrap_or_default()
}

/// The path of `3</path>`, with `-xx` in hexadecimal.
fn opened_path(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    let path = rest.strip_suffix('>')?;
    let path = path.strip_suffix(">(deleted)").unwrap_or(path);
    let bytes = if path.starts_with("\\x") {
        text(&format!("\"{path}\"")).ok()?
    } else {
        path.as_bytes().to_vec()
    };
    bytes
        .starts_with(b"/")
        .then(|| PathBuf::from(OsString::from_vec(bytes)))
}

fn path_at(current: &Path, directory: &str, name: &str) -> Result<PathBuf, String> {
    let base = match opened_path(directory) {
        Some(path) => path,
        None if directory.starts_with("AT_FDCWD") => current.to_owned(),
        None => return Err("directory descriptor without a path".to_owned()),
    };
    Ok(base.join(OsString::from_vec(text(name)?)))
}
