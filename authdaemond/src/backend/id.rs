//! uid and gid as tables and directories have them.

/// The number that `text` is: digits alone, blanks around them set aside. `None` for root's, which no account of a
/// database may have, and for -1, which the set*id calls take for "leave as it is".
pub fn id(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    // Not left to parse alone: it takes a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&id| id != 0 && id != u32::MAX)
}
