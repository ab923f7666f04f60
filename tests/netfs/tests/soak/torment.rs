//! Stops sessions for longer than their locks live, and kills them, in the middle of whatever they do.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Dice;
use super::session::Living;

/// Older than a lock may get.
const PAST_THE_LEASE: Duration = Duration::from_secs(150);

/// What was done to the sessions.
#[derive(Default)]
pub(crate) struct Torments {
    pub(crate) stopped: AtomicU64,
    /// Stopped with a folder's lock in their hands, which others then took away.
    pub(crate) past_the_lease: AtomicU64,
    pub(crate) killed: AtomicU64,
}

fn signal(living: &Living, pid: u32, signal: Signal) -> bool {
    // Held, so that the process is not waited for, and its pid not used again, in between.
    let living = living.lock().unwrap();
    let process = Pid::from_raw(i32::try_from(pid).unwrap());
    living.contains(&pid) && kill(process, signal).is_ok()
}

/// The pid in a lock file.
fn holder(lock: &Path) -> Option<u32> {
    let content = std::fs::read_to_string(lock).ok()?;
    content.split(':').next()?.parse().ok()
}

/// `store` is the directory behind the mounts: there a lock can be made old, instead of waiting for two minutes.
pub(crate) fn torment(
    store: &Path,
    living: &Living,
    torments: &Torments,
    is_over: impl Fn() -> bool,
    mut dice: Dice,
) {
    let locks: Vec<PathBuf> = ["Maildir/tmp", "Maildir/.Other/tmp"]
        .iter()
        .map(|tmp| store.join(tmp).join("courier.lock"))
        .collect();
    while !is_over() {
        std::thread::sleep(Duration::from_millis(20 + dice.below(150)));
        // Who holds a lock is worth more than anybody else; looked for a while.
        let held = (0..dice.below(200)).find_map(|_| {
            std::thread::sleep(Duration::from_micros(200));
            locks.iter().find_map(|lock| holder(lock))
        });
        let any = {
            let living = living.lock().unwrap();
            let count = living.len().max(1) as u64;
            let index = usize::try_from(dice.below(count)).unwrap();
            living.iter().nth(index).copied()
        };
        let Some(pid) = held.or(any) else {
            continue;
        };
        if dice.below(4) == 0 {
            if signal(living, pid, Signal::SIGKILL) {
                torments.killed.fetch_add(1, Ordering::Relaxed);
            }
            continue;
        }
        if !signal(living, pid, Signal::SIGSTOP) {
            continue;
        }
        torments.stopped.fetch_add(1, Ordering::Relaxed);
        for lock in locks.iter().filter(|lock| holder(lock) == Some(pid)) {
            let file = std::fs::File::options().write(true).open(lock);
            let old = SystemTime::now() - PAST_THE_LEASE;
            // It may have become another's between the two looks, if that process was not stopped but killed.
            if file.is_ok_and(|file| file.set_modified(old).is_ok()) {
                torments.past_the_lease.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(10 + dice.below(400)));
        signal(living, pid, Signal::SIGCONT);
    }
}
