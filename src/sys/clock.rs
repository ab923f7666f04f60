//! The clock that counts from the start of the system, in which the kernel says when a process began.

use std::time::Duration;

/// Time since the system started, sleep included (CLOCK_BOOTTIME).
pub fn since_boot() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec to write to; the clock exists since Linux 2.6.39, and where it does not the call
    // fails and leaves zero.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// When process `pid` began, on the same clock, to a hundredth of a second; `None` if there is no such process, or
/// nothing that tells.
pub fn start_of(pid: u32) -> Option<Duration> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name that may hold anything; the start is the 20th behind it (proc(5): field 22).
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end.saturating_add(1)..)?).ok()?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    // SAFETY: no preconditions.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    let millis = ticks.checked_mul(1000)?.checked_div(per_second)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_began_before_now() {
        let start = start_of(std::process::id()).unwrap();
        assert!(start <= since_boot() + Duration::from_millis(20));
        assert_eq!(start_of(u32::MAX), None);
    }
}
