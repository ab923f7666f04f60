//! The CPU time of a thread, for tests that say that something takes linear time: other work on the machine does not
//! count.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// What the calling thread had used when this was made.
pub(crate) struct CpuTime(Duration);

impl CpuTime {
    /// What has been used until now.
    pub(crate) fn now() -> Self {
        Self(used())
    }

    /// What has been used since then.
    pub(crate) fn elapsed(&self) -> Duration {
        used().saturating_sub(self.0)
    }
}

fn used() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else {
        return Duration::MAX;
    };
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| {
            let micros = time
                .tv_sec()
                .saturating_mul(1_000_000)
                .saturating_add(time.tv_usec());
            Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
        })
        .sum()
}
