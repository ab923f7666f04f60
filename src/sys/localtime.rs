//! The local time zone: what `TZ` or /etc/localtime says, asked of libc, which knows the format of zone files.

/// Minutes east of UTC of local time at a moment (seconds since 1970). UTC if the zone or the moment is unusable.
#[must_use]
pub fn offset_minutes(unix: i64) -> i32 {
    #[allow(
        clippy::useless_conversion,
        irrefutable_let_patterns,
        deprecated,
        reason = "time_t is 32 bits wide on some targets, and its width is announced to change on some"
    )]
    let Ok(time) = libc::time_t::try_from(unix) else {
        return 0;
    };
    // SAFETY: `tm` is plain old data (numbers and a pointer), for which all zeros is a valid value.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals; localtime_r keeps neither. It reads the environment variable TZ, which
    // nothing in these programs changes (clippy.toml forbids set_var).
    let result = unsafe { libc::localtime_r(&raw const time, &raw mut broken_down) };
    if result.is_null() {
        return 0;
    }
    i32::try_from(broken_down.tm_gmtoff / 60).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::offset_minutes;

    #[test]
    fn offsets_are_plausible_at_any_moment() {
        for unix in [0, 1_700_000_000, -1_000_000_000, i64::MAX, i64::MIN] {
            assert!(offset_minutes(unix).abs() <= 26 * 60);
        }
    }
}
