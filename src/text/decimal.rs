//! Numbers into bytes, without the detour of the formatting machinery: lists of a hundred thousand messages consist of
//! little else.

/// Appends `number` in decimal.
pub fn put(text: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    for (index, place) in digits.iter_mut().enumerate().rev() {
        // The remainder is below 10.
        *place = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        at = index;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for number in [0, 7, 10, 99, 1_234_567_890, u64::MAX] {
            let mut text = b"x".to_vec();
            super::put(&mut text, number);
            assert_eq!(text, format!("x{number}").into_bytes());
        }
    }
}
