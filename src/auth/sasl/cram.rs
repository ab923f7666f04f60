//! CRAM-*: the peer answers a challenge with an HMAC of it (RFC 2195). Only the shape is checked here; the
//! secret is authdaemond's.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Credentials, Refusal, Step};

/// A challenge that has never been used: `<`, 32 hex digits of random bytes, `@`, host name, `>`.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn fresh_challenge() -> io::Result<Vec<u8>> {
    let mut random = [0_u8; 16];
    crate::sys::random::fill(&mut random)?;
    // The original's stand-in for a machine without a name.
    let host = nix::unistd::gethostname().unwrap_or_else(|_| "cram".into());
    Ok(challenge(&random, host.as_encoded_bytes()))
}

fn challenge(random: &[u8; 16], host: &[u8]) -> Vec<u8> {
    use std::fmt::Write;
    let mut hex = String::with_capacity(32);
    for byte in random {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02X}");
    }
    [b"<", hex.as_bytes(), b"@", host, b">"].concat()
}

/// Checks that the response is base64 of `user SP digest` and passes both texts on as they are.
pub(super) fn answer(authtype: &'static str, challenge: &[u8], response: &[u8]) -> Step {
    let Ok(decoded) = STANDARD.decode(response) else {
        return Step::Refused(Refusal::NotBase64);
    };
    match decoded.iter().rposition(|&byte| byte == b' ') {
        Some(space) if space > 0 && !decoded.contains(&0) => Step::Done(Credentials::Cram {
            authtype,
            challenge: challenge.to_vec(),
            response: response.to_vec(),
        }),
        _ => Step::Refused(Refusal::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_have_the_known_form_and_differ() {
        assert_eq!(
            challenge(&[0xab; 16], b"vm"),
            b"<ABABABABABABABABABABABABABABABAB@vm>"
        );
        let first = fresh_challenge().unwrap();
        assert_ne!(first, fresh_challenge().unwrap());
    }
}
