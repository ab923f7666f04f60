//! A byte in a slice, by the C library's own memchr. It knows the processor since the program started; the memchr
//! crate asks the processor again at its first use, which traps to the hypervisor on a virtual machine and costs as
//! much there as all else that a short command needs. So what every session looks for in its first line is looked
//! for here.

/// The position of the first `wanted` in `bytes`.
pub fn byte(wanted: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the pointer is readable for the length passed, which memchr does not leave.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), wanted.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr().wrapping_sub(bytes.as_ptr().addr()))
}

/// Up to this length a loop finds a byte about as fast as anything else.
const SHORT: usize = 64;

/// The position of the first byte in `bytes` that is one of two.
pub fn either(wanted: [u8; 2], bytes: &[u8]) -> Option<usize> {
    let [one, other] = wanted;
    if bytes.len() <= SHORT {
        return bytes.iter().position(|&byte| byte == one || byte == other);
    }
    memchr::memchr2(one, other, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        assert_eq!(byte(b'x', b""), None);
        assert_eq!(byte(b'x', b"abc"), None);
        assert_eq!(byte(b'a', b"abca"), Some(0));
        assert_eq!(byte(b'c', b"abcc"), Some(2));
        assert_eq!(byte(0, b"ab\0"), Some(2));
        assert_eq!(byte(0xff, b"ab\xff"), Some(2));
        assert_eq!(either(*b"xy", b"abc"), None);
        assert_eq!(either(*b"xy", b"ayx"), Some(1));
        assert_eq!(either(*b"xy", b"axy"), Some(1));
        let mut long = [b'a'; 200];
        assert_eq!(either(*b"xy", &long), None);
        long[150] = b'y';
        assert_eq!(either(*b"xy", &long), Some(150));
    }
}
