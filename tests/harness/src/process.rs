//! Server processes: started with an explicit environment, ended by process id with everything they left behind.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::Error;

/// How long a server gets to come up, or to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server process, ended on drop.
pub struct Process {
    name: String,
    child: Child,
    /// The mount namespace that Debian's programs run in, when it is not ours. Held open: once it is gone its number
    /// names another one, and the programs in that are not ours to kill.
    namespace: Option<(PathBuf, File)>,
}

impl Process {
    /// Starts `command` in a process group of its own; its standard error is appended to `log`.
    ///
    /// Where util-linux's setpriv is installed the kernel ends the server when the calling thread dies, so that a
    /// killed test leaves nothing behind.
    ///
    /// # Errors
    /// The program could not be started.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self, Error> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(log)
            .map_err(|error| Error::io("open", log, &error))?;
        let child = ending_with_us(command)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .process_group(0)
            .spawn()
            .map_err(|error| Error::new(format!("{name}: {error}")))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            namespace: None,
        })
    }

    /// The process id.
    pub fn id(&self) -> Pid {
        // Process ids fit: the kernel's own type is signed.
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// The process ended first, or took too long. Status 77 means that the reference cannot run here.
    pub fn wait_until(&mut self, log: &Path, mut ready: impl FnMut() -> bool) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let last = text.lines().last().unwrap_or_default();
                return Err(match last.strip_prefix("skipped: ") {
                    Some(why) if status.code() == Some(77) => Error::Skipped(why.to_owned()),
                    _ => Error::new(format!("{} ended, {status}:\n{text}", self.name)),
                });
            }
            if Instant::now() > end {
                return Err(Error::new(format!(
                    "{} is not ready after {PATIENCE:?}:\n{}",
                    self.name,
                    std::fs::read_to_string(log).unwrap_or_default()
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let held = File::open(namespace_path(self.id().as_raw())).ok();
        self.namespace = namespace_of(self.id().as_raw())
            .filter(|namespace| {
                namespace_of(Pid::this().as_raw()).is_some_and(|own| own != *namespace)
            })
            .zip(held);
        Ok(())
    }

    /// SIGTERM, then SIGKILL for what does not end, also for what left the process group.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let id = self.id();
        // Every kill below may find the process gone already, which is what it wants.
        let _ = kill(id, Signal::SIGTERM);
        let end = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = killpg(id, Signal::SIGKILL);
        let _ = self.child.wait();
        if let Some((namespace, _held)) = &self.namespace {
            for id in processes().filter(|&id| namespace_of(id).as_ref() == Some(namespace)) {
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
            }
        }
        self.namespace = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `command` as a new one, wrapped in setpriv where there is one. The environment is what was set explicitly.
fn ending_with_us(command: &Command) -> Command {
    let mut wrapped = match crate::programs::installed("setpriv") {
        Ok(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "TERM", "--"]);
            wrapped.arg(command.get_program());
            wrapped
        }
        Err(_) => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    wrapped
}

/// The ids of all processes, in no order.
pub fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The ids of `root`'s descendants, children before their own children, `root` itself first.
pub fn tree(root: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = processes()
        .filter_map(|id| Some((id, parent_of(id)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|&&(_, its_parent)| its_parent == parent)
                .map(|&(id, _)| id),
        );
        next += 1;
    }
    found
}

/// Kilobytes of memory that process `id` had resident at most, from `/proc`.
pub fn peak_resident_kib(id: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
/// It could not be started or failed; with the text that it printed.
pub fn output(command: &mut Command) -> Result<Vec<u8>, Error> {
    let program = command.get_program().to_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new(format!("{}: {error}", Path::new(&program).display())))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Err(match text.trim().strip_prefix("skipped: ") {
        Some(why) if output.status.code() == Some(77) => Error::Skipped(why.to_owned()),
        _ => Error::new(format!(
            "{}: {}: {text}",
            Path::new(&program).display(),
            output.status
        )),
    })
}

/// Creates `path` with `content` and `mode`.
///
/// # Errors
/// The file could not be written.
pub fn write_file(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<(), Error> {
    let write = |file: &mut File| std::io::Write::write_all(file, content.as_ref());
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| write(&mut file))
        .map_err(|error| Error::io("write", path, &error))
}

fn namespace_of(id: i32) -> Option<PathBuf> {
    std::fs::read_link(namespace_path(id)).ok()
}

fn namespace_path(id: i32) -> String {
    format!("/proc/{id}/ns/mnt")
}

fn parent_of(id: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let after_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The environment entry `name` of the running process `id`.
pub fn environment_of(id: i32) -> Vec<Vec<u8>> {
    let content = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    content
        .split(|&byte| byte == 0)
        .filter(|entry| !entry.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// What the descriptors of process `id` point at: number and link text, sorted.
pub fn descriptors_of(id: i32) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = std::fs::read_dir(format!("/proc/{id}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            Some((number, target.to_string_lossy().into_owned()))
        })
        .collect();
    found.sort();
    found
}

/// True when process `id` runs the program file `name`.
pub fn runs(id: i32, name: &str) -> bool {
    std::fs::read_link(format!("/proc/{id}/exe"))
        .is_ok_and(|program| program.file_name() == Some(OsStr::new(name)))
}
