//! CRAM secrets of userdb: an HMAC key reduced to the two chaining states that follow its first block, so that the
//! password itself is not stored (contract: auth-modules §3). Password-equivalent for CRAM all the same.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::password::{hex, same};

/// Block size of all three digests.
const BLOCK: usize = 64;

/// The digest of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl Digest {
    /// All of them, in the order that tools list them.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha1, Self::Sha256];

    /// `md5`, `sha1` or `sha256`: the end of authtypes (`cram-md5`) and the middle of field names (`hmac-md5pw`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// By the authtype of a request.
    pub fn by_authtype(authtype: &[u8]) -> Option<Self> {
        let name = authtype.strip_prefix(b"cram-")?;
        Self::ALL
            .into_iter()
            .find(|digest| digest.name().as_bytes() == name)
    }

    /// Length of the digest in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Md5::digest(data).to_vec(),
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
        }
    }
}

/// A chaining state: up to eight words, as many as the digest has.
#[derive(Clone, Copy)]
struct State {
    digest: Digest,
    words: [u32; 8],
}

impl State {
    fn initial(digest: Digest) -> Self {
        let words = match digest {
            // RFC 1321 section 3.3.
            Digest::Md5 => [
                0x6745_2301,
                0xefcd_ab89,
                0x98ba_dcfe,
                0x1032_5476,
                0,
                0,
                0,
                0,
            ],
            // FIPS 180-4 section 5.3.
            Digest::Sha1 => [
                0x6745_2301,
                0xefcd_ab89,
                0x98ba_dcfe,
                0x1032_5476,
                0xc3d2_e1f0,
                0,
                0,
                0,
            ],
            Digest::Sha256 => [
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ],
        };
        Self { digest, words }
    }

    fn block(&mut self, block: &[u8; BLOCK]) {
        let blocks = [*block];
        let [a, b, c, d, e, ..] = self.words;
        match self.digest {
            Digest::Md5 => {
                let mut state = [a, b, c, d];
                md5::block_api::compress(&mut state, &blocks);
                for (word, new) in self.words.iter_mut().zip(state) {
                    *word = new;
                }
            }
            Digest::Sha1 => {
                let mut state = [a, b, c, d, e];
                sha1::block_api::compress(&mut state, &blocks);
                for (word, new) in self.words.iter_mut().zip(state) {
                    *word = new;
                }
            }
            Digest::Sha256 => sha2::block_api::compress256(&mut self.words, &blocks),
        }
    }

    /// The digest of one earlier block, whose state this is, followed by `data`.
    fn finish(mut self, data: &[u8]) -> Vec<u8> {
        let bits = u64::try_from(BLOCK + data.len())
            .unwrap_or(u64::MAX)
            .wrapping_mul(8);
        let mut padded = data.to_vec();
        padded.push(0x80);
        while padded.len() % BLOCK != BLOCK - 8 {
            padded.push(0);
        }
        padded.extend_from_slice(&match self.digest {
            Digest::Md5 => bits.to_le_bytes(),
            Digest::Sha1 | Digest::Sha256 => bits.to_be_bytes(),
        });
        for chunk in padded.chunks_exact(BLOCK) {
            if let Ok(block) = chunk.try_into() {
                self.block(block);
            }
        }
        self.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        for word in self.words {
            bytes.extend_from_slice(&match self.digest {
                Digest::Md5 => word.to_le_bytes(),
                Digest::Sha1 | Digest::Sha256 => word.to_be_bytes(),
            });
        }
        bytes.truncate(self.digest.size());
        bytes
    }

    fn from_bytes(digest: Digest, bytes: &[u8]) -> Self {
        let mut words = [0; 8];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            if let Ok(four) = chunk.try_into() {
                *word = match digest {
                    Digest::Md5 => u32::from_le_bytes(four),
                    Digest::Sha1 | Digest::Sha256 => u32::from_be_bytes(four),
                };
            }
        }
        Self { digest, words }
    }
}

/// The stored form of `password`: hexadecimal outer state, then inner state.
pub fn precompute(digest: Digest, password: &[u8]) -> String {
    let mut key = if password.len() > BLOCK {
        digest.of(password)
    } else {
        password.to_vec()
    };
    key.resize(BLOCK, 0);
    let state_after = |mask: u8| {
        let mut block = [mask; BLOCK];
        for (byte, key) in block.iter_mut().zip(&key) {
            *byte ^= key;
        }
        let mut state = State::initial(digest);
        state.block(&block);
        hex(&state.bytes())
    };
    state_after(0x5c) + &state_after(0x36)
}

/// Whether `response` (hexadecimal, either case) is the HMAC of `challenge` with the password that `stored` was
/// precomputed from.
pub fn verify(digest: Digest, stored: &[u8], challenge: &[u8], response: &[u8]) -> bool {
    let (Some(states), Some(response)) = (unhex(stored), unhex(response)) else {
        return false;
    };
    if states.len() != digest.size() * 2 || response.len() != digest.size() {
        return false;
    }
    let (outer, inner) = states.split_at(digest.size());
    let inner = State::from_bytes(digest, inner).finish(challenge);
    same(&State::from_bytes(digest, outer).finish(&inner), &response)
}

/// Bytes of hexadecimal digits of either case.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() % 2 != 0 {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_states(digest: Digest, password: &[u8], challenge: &[u8]) -> Vec<u8> {
        let states = unhex(precompute(digest, password).as_bytes()).unwrap_or_default();
        let (outer, inner) = states.split_at_checked(digest.size()).unwrap_or_default();
        let inner = State::from_bytes(digest, inner).finish(challenge);
        State::from_bytes(digest, outer).finish(&inner)
    }

    #[test]
    fn stored_forms_are_those_of_the_contract() {
        let expected = [
            "63e89f623c7c33b871986e1b5046d91ceace469b44d211bf7a7f0c6fd4be739e",
            "5957170c9b156e04086e4133008a9d57e32a6ae379766ed3dca2821ea8bc22682db8ae100ed3ac26",
            "e00ba1bc4ca332da2281290dfb5602b93f1e750467ee89f15a447bb9ba4005e3d01481ba42176028f28dc7f3561db8c637971a842291548f087edb377a0ecc5a",
        ];
        for (digest, expected) in Digest::ALL.into_iter().zip(expected) {
            assert_eq!(precompute(digest, b"cramsecret"), expected);
        }
        assert_eq!(
            precompute(Digest::Md5, &[b'x'; 70]),
            "8103bb3a2a4b96a9ca9cce4efecc8d22ebe7163dff7401afb5aa16d4edcf9f1f"
        );
    }

    #[test]
    fn the_response_of_the_contract_is_right_and_others_are_not() {
        let stored = precompute(Digest::Md5, b"cramsecret");
        let check =
            |response: &[u8]| verify(Digest::Md5, stored.as_bytes(), b"<0123@host>", response);
        assert!(check(b"04f70e51a6c55468d069fab09ca72d6b"));
        assert!(check(b"04F70E51A6C55468D069FAB09CA72D6B"));
        for wrong in [&b"04f70e51a6c55468d069fab09ca72d6c"[..], b"", b"04", b"zz"] {
            assert!(!check(wrong));
        }
        assert!(!verify(
            Digest::Md5,
            b"",
            b"<0123@host>",
            b"04f70e51a6c55468d069fab09ca72d6b"
        ));
    }

    #[test]
    fn resumed_states_agree_with_an_ordinary_hmac() {
        use hmac::{KeyInit, Mac};
        for length in [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 128, 1000] {
            let challenge = vec![b'c'; length];
            let mut md5 = hmac::Hmac::<Md5>::new_from_slice(b"key").unwrap();
            md5.update(&challenge);
            let mut sha1 = hmac::Hmac::<Sha1>::new_from_slice(b"key").unwrap();
            sha1.update(&challenge);
            let mut sha256 = hmac::Hmac::<Sha256>::new_from_slice(b"key").unwrap();
            sha256.update(&challenge);
            for (digest, expected) in [
                (Digest::Md5, md5.finalize().into_bytes().to_vec()),
                (Digest::Sha1, sha1.finalize().into_bytes().to_vec()),
                (Digest::Sha256, sha256.finalize().into_bytes().to_vec()),
            ] {
                assert_eq!(
                    from_states(digest, b"key", &challenge),
                    expected,
                    "{length}"
                );
                let stored = precompute(digest, b"key");
                assert!(verify(
                    digest,
                    stored.as_bytes(),
                    &challenge,
                    hex(&expected).as_bytes()
                ));
            }
        }
    }
}
