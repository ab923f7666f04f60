//! Stored forms made with a function that is slow on purpose and that crypt(3) does not have: Argon2, PBKDF2, and the
//! verifiers of SCRAM. No Courier reads them.
//!
//! | Form | Known from |
//! |---|---|
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, also argon2i and argon2d, also behind `{ARGON2}`, `{ARGON2ID}`, `{ARGON2I}` | PHC strings, OpenLDAP, Dovecot |
//! | `$pbkdf2$…`, `$pbkdf2-sha256$…`, `$pbkdf2-sha512$rounds$salt$hash`, the same behind `{PBKDF2-SHA256}` without the first word | passlib, OpenLDAP |
//! | `{PBKDF2}$1$salt$rounds$hash` | Dovecot |
//! | `SCRAM-SHA-256$rounds:salt$StoredKey:ServerKey` | PostgreSQL; RFC 5803 |
//! | `{SCRAM-SHA-256}rounds,salt,StoredKey,ServerKey` | Dovecot |

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Form, hex, same, tagged};

/// Most memory of Argon2 in KiB, passes, lanes: beyond them a stored text is a fault or an attack.
const ARGON2_MAX: (u32, u32, u32) = (1 << 20, 64, 64);
/// Most memory times passes, which is what Argon2 takes time for: some seconds.
const ARGON2_WORK_MAX: u32 = 4 << 20;
/// Most iterations of PBKDF2, those of all blocks of the hash together: some seconds.
const ROUNDS_MAX: u32 = 10_000_000;
/// Longest hash in bytes.
const HASH_MAX: usize = 512;
/// What new ones are made with.
const NEW_ARGON2: (u32, u32, u32) = (19 * 1024, 2, 1);
/// As [`NEW_ARGON2`]; about 50 ms.
const NEW_PBKDF2: u32 = 100_000;
/// As [`NEW_ARGON2`]; every client computes it, too.
const NEW_SCRAM: u32 = 10_000;

/// Base64 as those write it who leave out the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A digest below PBKDF2 and SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    Sha1,
    Sha256,
    Sha512,
}

impl Below {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "" | "SHA1" | "SHA-1" => Some(Self::Sha1),
            "SHA256" | "SHA-256" => Some(Self::Sha256),
            "SHA512" | "SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Sha1 => mac::<Hmac<Sha1>>(key, data),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data),
        }
    }

    fn pbkdf2(self, password: &[u8], salt: &[u8], rounds: u32, length: usize) -> Option<Vec<u8>> {
        match self {
            Self::Sha1 => pbkdf2::<Hmac<Sha1>>(password, salt, rounds, length),
            Self::Sha256 => pbkdf2::<Hmac<Sha256>>(password, salt, rounds, length),
            Self::Sha512 => pbkdf2::<Hmac<Sha512>>(password, salt, rounds, length),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(data);
    Some(mac.finalize().into_bytes().to_vec())
}

/// RFC 8018 section 5.2. `None` for what nobody would store.
fn pbkdf2<M: Mac + KeyInit + Clone>(
    password: &[u8],
    salt: &[u8],
    rounds: u32,
    length: usize,
) -> Option<Vec<u8>> {
    if rounds == 0 || length == 0 || length > HASH_MAX {
        return None;
    }
    let blocks = length.div_ceil(M::output_size());
    if rounds.checked_mul(u32::try_from(blocks).ok()?)? > ROUNDS_MAX {
        return None;
    }
    let keyed = <M as KeyInit>::new_from_slice(password).ok()?;
    let mut key = Vec::new();
    let mut number: u32 = 0;
    while key.len() < length {
        number += 1;
        let mut mac = keyed.clone();
        mac.update(salt);
        mac.update(&number.to_be_bytes());
        let mut last = mac.finalize().into_bytes();
        let mut block = last.clone();
        for _ in 1..rounds {
            let mut mac = keyed.clone();
            mac.update(&last);
            last = mac.finalize().into_bytes();
            for (sum, byte) in block.iter_mut().zip(&last) {
                *sum ^= byte;
            }
        }
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    Some(key)
}

/// A stored text, read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stored {
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        /// Memory in KiB, passes, lanes.
        cost: (u32, u32, u32),
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Pbkdf2 {
        below: Below,
        rounds: u32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Scram {
        below: Below,
        rounds: u32,
        salt: Vec<u8>,
        stored_key: Vec<u8>,
    },
    /// It says that it is one of these, and is not.
    Broken,
}

/// Whether `supplied` is the password of `stored`; `None` if that is another form.
pub(super) fn verify(stored: &[u8], supplied: &[u8]) -> Option<bool> {
    Some(match read(stored)? {
        Stored::Argon2 {
            algorithm,
            version,
            cost,
            salt,
            hash,
        } => argon2(algorithm, version, cost, supplied, &salt, hash.len())
            .is_some_and(|computed| same(&computed, &hash)),
        Stored::Pbkdf2 {
            below,
            rounds,
            salt,
            hash,
        } => below
            .pbkdf2(supplied, &salt, rounds, hash.len())
            .is_some_and(|computed| same(&computed, &hash)),
        Stored::Scram {
            below,
            rounds,
            salt,
            stored_key,
        } => scram_keys(below, rounds, &salt, supplied)
            .is_some_and(|(computed, _)| same(&computed, &stored_key)),
        Stored::Broken => false,
    })
}

/// The form of `stored`, if it is one of these.
pub(super) fn form(stored: &[u8]) -> Option<Form> {
    match read(stored)? {
        Stored::Argon2 { .. } => Some(Form::Argon2id),
        Stored::Pbkdf2 { .. } => Some(Form::Pbkdf2Sha256),
        Stored::Scram {
            below: Below::Sha1, ..
        } => Some(Form::ScramSha1),
        Stored::Scram { .. } => Some(Form::ScramSha256),
        Stored::Broken => None,
    }
}

/// A new one.
pub(super) fn hash(form: Form, password: &[u8]) -> Option<Vec<u8>> {
    let mut salt = [0_u8; 16];
    courier::sys::random::fill(&mut salt).ok()?;
    let text = match form {
        Form::Argon2id => {
            let (memory, passes, lanes) = NEW_ARGON2;
            let hash = argon2(
                Algorithm::Argon2id,
                Version::V0x13,
                NEW_ARGON2,
                password,
                &salt,
                32,
            )?;
            format!(
                "$argon2id$v=19$m={memory},t={passes},p={lanes}${}${}",
                LENIENT.encode(salt),
                LENIENT.encode(hash)
            )
        }
        Form::Pbkdf2Sha256 => {
            let hash = Below::Sha256.pbkdf2(password, &salt, NEW_PBKDF2, 32)?;
            let adapted = |bytes: &[u8]| LENIENT.encode(bytes).replace('+', ".");
            format!(
                "$pbkdf2-sha256${NEW_PBKDF2}${}${}",
                adapted(&salt),
                adapted(&hash)
            )
        }
        Form::ScramSha256 => scram(Below::Sha256, "SCRAM-SHA-256", &salt, password)?,
        Form::ScramSha1 => scram(Below::Sha1, "SCRAM-SHA-1", &salt, password)?,
        _ => return None,
    };
    Some(text.into_bytes())
}

fn scram(below: Below, name: &str, salt: &[u8], password: &[u8]) -> Option<String> {
    let (stored_key, server_key) = scram_keys(below, NEW_SCRAM, salt, password)?;
    Some(format!(
        "{name}${NEW_SCRAM}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    ))
}

/// StoredKey and ServerKey (RFC 5802 section 3). The password is used as it is: what SASLprep would change is left to
/// whoever chooses such a password.
fn scram_keys(
    below: Below,
    rounds: u32,
    salt: &[u8],
    password: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    let salted = below.pbkdf2(password, salt, rounds, below.size())?;
    let client_key = below.hmac(&salted, b"Client Key")?;
    let server_key = below.hmac(&salted, b"Server Key")?;
    Some((below.digest(&client_key), server_key))
}

fn argon2(
    algorithm: Algorithm,
    version: Version,
    (memory, passes, lanes): (u32, u32, u32),
    password: &[u8],
    salt: &[u8],
    length: usize,
) -> Option<Vec<u8>> {
    let most = ARGON2_MAX;
    if memory > most.0 || passes > most.1 || lanes > most.2 || length > HASH_MAX {
        return None;
    }
    if memory.checked_mul(passes)? > ARGON2_WORK_MAX {
        return None;
    }
    let parameters = Params::new(memory, passes, lanes, Some(length)).ok()?;
    let mut hash = vec![0; length];
    Argon2::new(algorithm, version, parameters)
        .hash_password_into(password, salt, &mut hash)
        .ok()?;
    Some(hash)
}

/// Reads `stored`; `None` if it is none of these forms.
fn read(stored: &[u8]) -> Option<Stored> {
    let text = std::str::from_utf8(stored).ok()?;
    let known = if let Some((tag, rest)) = tagged(stored) {
        let rest = std::str::from_utf8(rest).ok()?;
        match tag.as_str() {
            "ARGON2" | "ARGON2I" | "ARGON2ID" => phc(rest.strip_prefix("$argon2")?),
            "PBKDF2" if rest.starts_with("$1$") => dovecot_pbkdf2(rest),
            _ => {
                if let Some(name) = tag.strip_prefix("PBKDF2") {
                    passlib(Below::by_name(name.trim_start_matches('-'))?, rest)
                } else {
                    let below = Below::by_name(tag.strip_prefix("SCRAM-")?)?;
                    verifier(below, &rest.split(',').collect::<Vec<_>>())
                }
            }
        }
    } else if let Some(rest) = text.strip_prefix("$argon2") {
        phc(rest)
    } else if let Some(rest) = text.strip_prefix("$pbkdf2") {
        let (name, rest) = rest.split_once('$')?;
        let name = name.trim_start_matches('-').to_ascii_uppercase();
        passlib(Below::by_name(&name)?, rest)
    } else {
        let (name, rest) = text.strip_prefix("SCRAM-")?.split_once('$')?;
        verifier(
            Below::by_name(name)?,
            &rest.split([':', '$']).collect::<Vec<_>>(),
        )
    };
    Some(known.unwrap_or(Stored::Broken))
}

/// `id$v=19$m=…,t=…,p=…$salt$hash`; without a version it is the first one.
fn phc(text: &str) -> Option<Stored> {
    let mut words: Vec<&str> = text.split('$').collect();
    let version = match words.get(1)?.strip_prefix("v=") {
        Some(version) => {
            let version: u32 = version.parse().ok()?;
            words.remove(1);
            Version::try_from(version).ok()?
        }
        None => Version::V0x10,
    };
    let [kind, costs, salt, hash] = words.as_slice() else {
        return None;
    };
    let algorithm = match *kind {
        "id" => Algorithm::Argon2id,
        "i" => Algorithm::Argon2i,
        "d" => Algorithm::Argon2d,
        _ => return None,
    };
    let cost = |name: &str| {
        let mut items = costs.split(',').filter_map(|item| item.split_once('='));
        items.find(|(known, _)| *known == name)?.1.parse().ok()
    };
    Some(Stored::Argon2 {
        algorithm,
        version,
        cost: (cost("m")?, cost("t")?, cost("p")?),
        salt: LENIENT.decode(salt).ok()?,
        hash: LENIENT.decode(hash).ok().filter(|hash| hash.len() >= 16)?,
    })
}

/// `rounds$salt$hash`, with `.` for `+`.
fn passlib(below: Below, text: &str) -> Option<Stored> {
    let words: Vec<&str> = text.split('$').collect();
    let [rounds, salt, hash] = words.as_slice() else {
        return None;
    };
    let decode = |word: &str| LENIENT.decode(word.replace('.', "+")).ok();
    Some(Stored::Pbkdf2 {
        below,
        rounds: rounds.parse().ok()?,
        salt: decode(salt)?,
        hash: decode(hash).filter(|hash| hash.len() >= 16)?,
    })
}

/// `$1$salt$rounds$hash`, the salt as it stands, the hash in hexadecimal.
fn dovecot_pbkdf2(text: &str) -> Option<Stored> {
    let words: Vec<&str> = text.strip_prefix("$1$")?.split('$').collect();
    let [salt, rounds, hash] = words.as_slice() else {
        return None;
    };
    let bytes = crate::cram::unhex(hash.to_ascii_lowercase().as_bytes())?;
    Some(Stored::Pbkdf2 {
        below: Below::Sha1,
        rounds: rounds.parse().ok()?,
        salt: salt.as_bytes().to_vec(),
        hash: (hex(&bytes).len() == hash.len() && bytes.len() >= 16).then_some(bytes)?,
    })
}

/// Rounds, salt, StoredKey, ServerKey.
fn verifier(below: Below, words: &[&str]) -> Option<Stored> {
    let [rounds, salt, stored_key, server_key] = words else {
        return None;
    };
    let key = |word: &str| {
        let key = STANDARD.decode(word).ok()?;
        (key.len() == below.size()).then_some(key)
    };
    key(server_key)?;
    Some(Stored::Scram {
        below,
        rounds: rounds.parse().ok()?,
        salt: STANDARD.decode(salt).ok()?,
        stored_key: key(stored_key)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_others_are_verified() {
        for stored in STORED {
            assert_eq!(
                verify(stored.as_bytes(), b"password"),
                Some(true),
                "{stored}"
            );
            assert_eq!(
                verify(stored.as_bytes(), b"Password"),
                Some(false),
                "{stored}"
            );
            assert_eq!(verify(stored.as_bytes(), b""), Some(false), "{stored}");
        }
        // RFC 6070 and RFC 7677 section 3.
        assert_eq!(
            hex(&Below::Sha1.pbkdf2(b"password", b"salt", 4096, 20).unwrap()),
            "4b007901b765489abead49d926f721d065a429c1"
        );
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (stored_key, server_key) = scram_keys(Below::Sha256, 4096, &salt, b"pencil").unwrap();
        assert_eq!(
            STANDARD.encode(stored_key),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        );
        assert_eq!(
            STANDARD.encode(server_key),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn what_is_broken_never_matches_and_never_works_for_long() {
        for stored in [
            "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=64,t=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$",
            "$argon2id$v=20$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2x$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id",
            "$pbkdf2-sha256$4000000000$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$pbkdf2-sha256$0$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$pbkdf2-sha256$1$c2FsdA$",
            "{PBKDF2}$1$x$1$zz",
            "{PBKDF2}$1$x$1$",
            "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
            "SCRAM-SHA-256$x",
        ] {
            assert_eq!(
                verify(stored.as_bytes(), b"password"),
                Some(false),
                "{stored}"
            );
        }
        for stored in ["", "$6$x", "{SSHA}x", "{PBKDF2-SHA3}x", "SCRAM-X$", "{X"] {
            assert_eq!(verify(stored.as_bytes(), b"password"), None, "{stored}");
        }
    }

    /// Whoever may write a stored form, as users in some directories may theirs, must not occupy every worker with it.
    #[test]
    fn forms_that_take_minutes_are_refused_at_once() {
        let long = LENIENT.encode([0; HASH_MAX]);
        let short = LENIENT.encode([0; 32]);
        for stored in [
            format!("$pbkdf2-sha256$10000000$c2FsdA${long}"),
            format!("$argon2id$v=19$m=1048576,t=64,p=1$c2FsdHNhbHQ${short}"),
        ] {
            assert_eq!(verify(stored.as_bytes(), b"password"), Some(false));
        }
    }

    /// Made with argon2-cffi and hashlib.
    const STORED: &[&str] = &[
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$79CPBBtFLAJe3yMqiKHvf7zwXFiecLBi",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$81oQV/p1W0D/Jr48DB4s8rr0H8Rkt7Li",
        "$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$EfdEBcJFys9OD9Eji0KCd1jtsQJy4XNV",
        "$argon2id$v=16$m=256,t=2,p=2$c29tZXNhbHQ$+Kq7UxXGPN3Ns7SgIVUJKOUlaZ2o/L0cKwsczTXMh6c",
        "{ARGON2}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$79CPBBtFLAJe3yMqiKHvf7zwXFiecLBi",
        "{ARGON2ID}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$79CPBBtFLAJe3yMqiKHvf7zwXFiecLBi",
        "$pbkdf2$1000$c2FsdP/..w$kFc7suB1fhAh/nXJHH5tUkXjwLQ",
        "{PBKDF2}1000$c2FsdP/..w$kFc7suB1fhAh/nXJHH5tUkXjwLQ",
        "$pbkdf2-sha256$1000$c2FsdP/..w$gmcwBPfqDMdc.OWByS/pKUPyKmFz7smuRVKnugx5Hl4",
        "{PBKDF2-SHA256}1000$c2FsdP/..w$gmcwBPfqDMdc.OWByS/pKUPyKmFz7smuRVKnugx5Hl4",
        "$pbkdf2-sha512$1000$c2FsdP/..w$XhzVhzt4M9uOINl87zn9EBrKsmAEp9WWIRhIQ7E1e6hWLDjlKzQZkBTzXD68f8z4BNLbNhRmlcZFHlZ9ULOdFw",
        "{PBKDF2-SHA512}1000$c2FsdP/..w$XhzVhzt4M9uOINl87zn9EBrKsmAEp9WWIRhIQ7E1e6hWLDjlKzQZkBTzXD68f8z4BNLbNhRmlcZFHlZ9ULOdFw",
        "{PBKDF2}$1$salt$1000$6e88be8bad7eae9d9e10aa061224034fed48d03f",
        "SCRAM-SHA-256$4096:c2FsdA==$lF4cRm/Jky763CN4HtxdHnjV4Q8AWTNlKvGmEFFU8IQ=:ub8OgRsftnk2ccDMOt7ffHXNcikRkQkq1lh4xaAqrSw=",
        "{SCRAM-SHA-256}4096,c2FsdA==,lF4cRm/Jky763CN4HtxdHnjV4Q8AWTNlKvGmEFFU8IQ=,ub8OgRsftnk2ccDMOt7ffHXNcikRkQkq1lh4xaAqrSw=",
        "SCRAM-SHA-1$4096:c2FsdA==$0qUypmwka5AUb9oe/OrTaR5uwR8=:BZ90E2UltiQTre5pA3UZCJJGU3w=",
        "{SCRAM-SHA-1}4096,c2FsdA==,0qUypmwka5AUb9oe/OrTaR5uwR8=,BZ90E2UltiQTre5pA3UZCJJGU3w=",
    ];
}
