//! Lenient, streaming base64 for mail bodies and encoded words, where rubbish between the digits is ignored
//! (RFC 2045 section 6.8). Everything that must be strict (SASL) uses the `base64` crate instead.

/// Value of each byte in the base64 alphabet; 64 for `=`, 255 for bytes outside it.
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [255; 256];
    let mut value = 0;
    while value < 64 {
        #[allow(clippy::cast_possible_truncation)] // value < 64
        {
            table[alphabet[value] as usize] = value as u8;
        }
        value += 1;
    }
    table[b'=' as usize] = 64;
    table
}

/// Decoder state between two pieces of input.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    bits: u32,
    digits: u8,
}

impl Decoder {
    /// Decodes a piece of input, appending to `out`. Bytes outside the alphabet are skipped; padding ends a group,
    /// after which decoding goes on (concatenated encodings occur in the wild).
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len() / 4 * 3 + 3);
        for &byte in input {
            match VALUES[usize::from(byte)] {
                255 => {}
                64 => self.finish(out),
                value => {
                    self.bits = (self.bits << 6) | u32::from(value);
                    self.digits += 1;
                    if self.digits == 4 {
                        let [_, a, b, c] = self.bits.to_be_bytes();
                        out.extend_from_slice(&[a, b, c]);
                        *self = Self::default();
                    }
                }
            }
        }
    }

    /// Ends the input: whole bytes left over from an unpadded group are appended, stray bits dropped.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.digits {
            2 => out.push((self.bits >> 4).to_le_bytes()[0]),
            3 => {
                let [_, _, a, b] = (self.bits >> 2).to_be_bytes();
                out.extend_from_slice(&[a, b]);
            }
            _ => {}
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn decode(input: &[u8]) -> Vec<u8> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        decoder.push(input, &mut out);
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn rubbish_missing_padding_and_concatenation_are_tolerated() {
        assert_eq!(decode(b"aGVs\r\nbG8=\n"), b"hello");
        assert_eq!(decode(b"aGVsbG8"), b"hello");
        assert_eq!(decode(b"aGV!s bG\x008="), b"hello");
        assert_eq!(decode(b"aGVsbG8=aGVsbG8="), b"hellohello");
        assert_eq!(decode(b"a"), b"");
    }

    proptest! {
        #[test]
        fn agrees_with_the_strict_decoder_however_the_input_is_cut(data: Vec<u8>, cut in 0usize..64) {
            let text = STANDARD.encode(&data).into_bytes();
            let (first, second) = text.split_at(cut.min(text.len()));
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            decoder.push(first, &mut out);
            decoder.push(second, &mut out);
            decoder.finish(&mut out);
            prop_assert_eq!(out, data);
        }
    }
}
