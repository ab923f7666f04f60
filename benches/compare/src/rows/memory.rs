//! Memory of idle sessions, from `smaps_rollup` of every process of the server.

use harness::Error;

use crate::meter::memory_of;
use crate::options::Options;
use crate::target::{Sample, Target};
use crate::wire::Wire;

/// What one more session costs: IDLE with a small mailbox selected.
pub(super) fn idle(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    measure(target, options, Target::session)
}

/// What `open` makes, idle.
pub(super) fn measure(
    target: &mut Target,
    options: &Options,
    open: impl Fn(&Target) -> Result<Wire, Error>,
) -> Result<Sample, Error> {
    target.intact(options, 10)?;
    let selected = |target: &Target| -> Result<Wire, Error> {
        let mut wire = open(target)?;
        wire.ok("SELECT INBOX")?;
        Ok(wire)
    };
    // A session before the count, so that helpers shared by all sessions run already.
    selected(target)?.ok("LOGOUT")?;
    let before = memory(target);
    let mut wires = Vec::new();
    for _ in 0..options.sessions {
        let mut wire = selected(target)?;
        wire.begin("IDLE")?;
        wires.push(wire);
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let after = memory(target);
    let share = |after: u64, before: u64| {
        let sessions = u32::try_from(options.sessions).unwrap_or(u32::MAX);
        let kib = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
        f64::from(kib) / f64::from(sessions.max(1))
    };
    Ok(Sample {
        cpu: share(after.0, before.0),
        wall: share(after.1, before.1),
    })
}

fn memory(target: &Target) -> (u64, u64) {
    target
        .meter()
        .processes()
        .into_iter()
        .filter_map(memory_of)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
