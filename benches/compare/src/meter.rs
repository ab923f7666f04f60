//! CPU time of a server's whole process tree, ended processes included: a control group of its own where one can be
//! made (version 1 `cpuacct`, or version 2), else the sum over `/proc`, which is coarser.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::process;

/// Accounts for one server.
pub(crate) enum Meter {
    /// Version 1: nanoseconds in `cpuacct.usage`.
    Accounting(PathBuf),
    /// Version 2: microseconds in `cpu.stat`.
    Unified(PathBuf),
    /// The processes below these, from `/proc`, in clock ticks.
    Tree(Vec<i32>),
}

impl Meter {
    /// The best that this system allows for a server called `name`.
    pub(crate) fn new(name: &str) -> Self {
        let group = format!("courier-compare-{}-{name}", std::process::id());
        for (top, key) in [
            ("/sys/fs/cgroup/cpuacct", "cpuacct.usage"),
            ("/sys/fs/cgroup/cpu,cpuacct", "cpuacct.usage"),
            ("/sys/fs/cgroup", "cpu.stat"),
        ] {
            let path = Path::new(top).join(&group);
            if !Path::new(top).join("cgroup.procs").exists() || fs::create_dir(&path).is_err() {
                continue;
            }
            if path.join(key).exists() {
                return if key == "cpu.stat" {
                    Self::Unified(path)
                } else {
                    Self::Accounting(path)
                };
            }
            // Not what it looked like; leave nothing behind.
            let _ = fs::remove_dir(&path);
        }
        Self::Tree(Vec::new())
    }

    /// How the numbers come about, for the report.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Accounting(_) => "control group (cpuacct)",
            Self::Unified(_) => "control group (cpu.stat)",
            Self::Tree(_) => "clock ticks from /proc (coarse)",
        }
    }

    /// The file that takes the ids of processes to account for.
    pub(crate) fn processes_file(&self) -> Option<PathBuf> {
        match self {
            Self::Accounting(path) | Self::Unified(path) => Some(path.join("cgroup.procs")),
            Self::Tree(_) => None,
        }
    }

    /// Names the server's first processes, for systems without control groups.
    pub(crate) fn watch(&mut self, ids: Vec<i32>) {
        if let Self::Tree(roots) = self {
            *roots = ids;
        }
    }

    /// CPU time so far.
    pub(crate) fn read(&self) -> Duration {
        match self {
            Self::Accounting(path) => fs::read_to_string(path.join("cpuacct.usage"))
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .map_or(Duration::ZERO, Duration::from_nanos),
            Self::Unified(path) => fs::read_to_string(path.join("cpu.stat"))
                .ok()
                .and_then(|text| {
                    let line = text
                        .lines()
                        .find_map(|line| line.strip_prefix("usage_usec "));
                    line?.parse().ok()
                })
                .map_or(Duration::ZERO, Duration::from_micros),
            Self::Tree(_) => self.processes().into_iter().map(ticks_of).sum(),
        }
    }

    /// The server's processes now.
    pub(crate) fn processes(&self) -> Vec<i32> {
        match self {
            Self::Accounting(path) | Self::Unified(path) => {
                fs::read_to_string(path.join("cgroup.procs"))
                    .unwrap_or_default()
                    .lines()
                    .filter_map(|line| line.parse().ok())
                    .collect()
            }
            Self::Tree(roots) => roots.iter().flat_map(|&root| process::tree(root)).collect(),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Self::Accounting(path) | Self::Unified(path) = self {
            // An ended process leaves its group a moment after it was reaped.
            for _ in 0..100 {
                if fs::remove_dir(&*path).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// User and system time of `id` and of its children that have ended.
fn ticks_of(id: i32) -> Duration {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok())
        .unwrap_or(100)
        .max(1);
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let used: u64 = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_micros(used * 1_000_000 / ticks)
}

/// Memory of `id` from `smaps_rollup`: private dirty and proportional, in KiB.
pub(crate) fn memory_of(id: i32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Some((field("Private_Dirty:")?, field("Pss:")?))
}
