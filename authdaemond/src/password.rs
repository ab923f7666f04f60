//! Stored password forms: checking them and making new ones (contract: auth-modules §2).

mod derived;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use crate::sys;

/// Whether `supplied` is the password that `stored` was made from. Takes as long for a near miss as for any other.
pub fn verify(stored: &[u8], supplied: &[u8]) -> bool {
    if let Some(matches) = derived::verify(stored, supplied) {
        return matches;
    }
    let Some((tag, rest)) = tagged(stored) else {
        return matches_crypt(stored, supplied);
    };
    match tag.as_str() {
        "MD5" => same(rest, STANDARD.encode(Md5::digest(supplied)).as_bytes()),
        "MD5RAW" => same(rest, hex(&Md5::digest(supplied)).as_bytes()),
        "SHA" => same(rest, STANDARD.encode(Sha1::digest(supplied)).as_bytes()),
        "SHA256" => same(rest, STANDARD.encode(Sha256::digest(supplied)).as_bytes()),
        "SHA512" => same(rest, STANDARD.encode(Sha512::digest(supplied)).as_bytes()),
        "SSHA" => matches_salted::<Sha1>(rest, supplied),
        "SSHA256" => matches_salted::<Sha256>(rest, supplied),
        "SSHA512" => matches_salted::<Sha512>(rest, supplied),
        "CRYPT" | "BLF-CRYPT" | "MD5-CRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" => {
            matches_crypt(rest, supplied)
        }
        // No scheme of ours; in particular never a clear password.
        _ => matches_crypt(stored, supplied),
    }
}

/// The tag of `{TAG}rest`, in upper case.
fn tagged(stored: &[u8]) -> Option<(String, &[u8])> {
    let inner = stored.strip_prefix(b"{")?;
    let end = inner.iter().position(|&byte| byte == b'}')?;
    let (tag, rest) = inner.split_at_checked(end)?;
    let tag = std::str::from_utf8(tag).ok()?.to_ascii_uppercase();
    Some((tag, rest.get(1..)?))
}

fn matches_crypt(stored: &[u8], supplied: &[u8]) -> bool {
    sys::crypt(supplied, stored).is_some_and(|hash| same(&hash, stored))
}

/// Base64 of `digest(password ‖ salt) ‖ salt`, any salt length but none.
fn matches_salted<D: Digest>(stored: &[u8], supplied: &[u8]) -> bool {
    let Ok(decoded) = STANDARD.decode(stored) else {
        return false;
    };
    match decoded.split_at_checked(<D as Digest>::output_size()) {
        Some((digest, salt)) if !salt.is_empty() => same(
            digest,
            &D::new()
                .chain_update(supplied)
                .chain_update(salt)
                .finalize(),
        ),
        _ => false,
    }
}

/// Equality that takes the same time wherever the difference is. Lengths are no secret.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left
        .iter()
        .zip(right)
        .fold(0_u8, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    difference == 0
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// How a new hash is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `$1$`: what very old systems read. Asked for by name only.
    Md5Crypt,
    /// `$6$`.
    Sha512Crypt,
    /// `$2b$`.
    Bcrypt,
    /// `$y$`, or `$6$` where libcrypt lacks it. What new passwords get unless something else was asked for.
    Yescrypt,
    /// `$argon2id$`. No Courier reads it; asked for by name only, as are the next ones.
    Argon2id,
    /// `$pbkdf2-sha256$`.
    Pbkdf2Sha256,
    /// `SCRAM-SHA-256$`, which SCRAM needs.
    ScramSha256,
    /// `SCRAM-SHA-1$`.
    ScramSha1,
    /// `{MD5}`, unsalted base64.
    Md5,
    /// `{MD5RAW}`, unsalted hexadecimal.
    Md5Raw,
    /// `{SHA}`, unsalted.
    Sha,
    /// `{SSHA}` with 4 bytes of salt, all that Courier reads.
    Ssha,
    /// `{SHA256}`, unsalted.
    Sha256,
    /// `{SHA512}`, unsalted.
    Sha512,
}

impl Form {
    /// The form for the successor of `stored`: tagged forms stay what they are, so do those that were asked for by
    /// name, crypt forms keep or raise their strength, and everything else becomes `$y$`.
    pub fn successor(stored: &[u8]) -> Self {
        if let Some(form) = tagged(stored).and_then(|(tag, _)| Self::by_name(&tag)) {
            return form;
        }
        if let Some(form) = derived::form(stored) {
            return form;
        }
        if stored.starts_with(b"$6$") {
            return Self::Sha512Crypt;
        }
        if stored.starts_with(b"$2") {
            return Self::Bcrypt;
        }
        Self::Yescrypt
    }

    /// By the name of the tag, any case. Only the tags that every Courier reads.
    pub fn by_name(name: &str) -> Option<Self> {
        let all = [
            ("MD5", Self::Md5),
            ("MD5RAW", Self::Md5Raw),
            ("SHA", Self::Sha),
            ("SSHA", Self::Ssha),
            ("SHA256", Self::Sha256),
            ("SHA512", Self::Sha512),
        ];
        all.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|&(_, form)| form)
    }

    /// By a name that is no tag, any case: forms that have to be asked for.
    pub fn by_word(name: &str) -> Option<Self> {
        let all = [
            ("crypt", Self::Yescrypt),
            ("yescrypt", Self::Yescrypt),
            ("bcrypt", Self::Bcrypt),
            ("sha1", Self::Sha),
            ("sha512-crypt", Self::Sha512Crypt),
            ("argon2id", Self::Argon2id),
            ("pbkdf2-sha256", Self::Pbkdf2Sha256),
            ("scram-sha-256", Self::ScramSha256),
            ("scram-sha-1", Self::ScramSha1),
        ];
        all.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|&(_, form)| form)
    }
}

/// A new hash in the place of `stored`, which may be empty; `{CRYPT}` stays before it where it was, since directory
/// servers need that. `None` as with [`hash`].
pub fn successor(stored: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    match tagged(stored) {
        Some((tag, rest)) if tag == "CRYPT" => Some(
            [
                b"{CRYPT}",
                hash(Form::successor(rest), password)?.as_slice(),
            ]
            .concat(),
        ),
        _ => hash(Form::successor(stored), password),
    }
}

/// A new hash. `None` when libcrypt lacks the form, refuses the password (NUL, too long) or there is no
/// randomness.
pub fn hash(form: Form, password: &[u8]) -> Option<Vec<u8>> {
    let crypted = |prefix| sys::crypt(password, &sys::fresh_setting(prefix)?);
    let tagged = |tag: &str, text: &str| Some(format!("{{{tag}}}{text}").into_bytes());
    match form {
        Form::Md5Crypt => crypted(c"$1$"),
        Form::Sha512Crypt => crypted(c"$6$"),
        Form::Bcrypt => crypted(c"$2b$"),
        Form::Yescrypt => crypted(c"$y$").or_else(|| crypted(c"$6$")),
        Form::Argon2id | Form::Pbkdf2Sha256 | Form::ScramSha256 | Form::ScramSha1 => {
            derived::hash(form, password)
        }
        Form::Md5 => tagged("MD5", &STANDARD.encode(Md5::digest(password))),
        Form::Md5Raw => tagged("MD5RAW", &hex(&Md5::digest(password))),
        Form::Sha => tagged("SHA", &STANDARD.encode(Sha1::digest(password))),
        Form::Sha256 => tagged("SHA256", &STANDARD.encode(Sha256::digest(password))),
        Form::Sha512 => tagged("SHA512", &STANDARD.encode(Sha512::digest(password))),
        Form::Ssha => {
            let mut salt = [0_u8; 4];
            courier::sys::random::fill(&mut salt).ok()?;
            let mut whole = Sha1::new()
                .chain_update(password)
                .chain_update(salt)
                .finalize()
                .to_vec();
            whole.extend_from_slice(&salt);
            tagged("SSHA", &STANDARD.encode(whole))
        }
    }
}

/// Checks passwords for one worker, and makes a refusal of an unknown account cost as much as a wrong password.
#[derive(Debug, Default)]
pub struct Checker {
    /// The last stored form that was checked, standing for what accounts here usually have.
    sample: Option<Vec<u8>>,
    /// Whether a hash was computed since [`begin`](Self::begin).
    spent: bool,
}

impl Checker {
    /// A new request begins.
    pub fn begin(&mut self) {
        self.spent = false;
    }

    /// As [`verify`].
    pub fn verify(&mut self, stored: &[u8], supplied: &[u8]) -> bool {
        self.spent = true;
        if self.sample.as_deref() != Some(stored) {
            self.sample = Some(stored.to_vec());
        }
        verify(stored, supplied)
    }

    /// Something else than a hash took its time already.
    pub fn already_spent(&mut self) {
        self.spent = true;
    }

    /// Nobody knew the account: computes a hash all the same if none was yet.
    pub fn refuse(&mut self, supplied: &[u8]) {
        if self.spent {
            return;
        }
        self.spent = true;
        let sample = self.sample.as_deref().unwrap_or(b"$6$nobodyknowsthis$");
        std::hint::black_box(verify(sample, supplied));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_form_of_the_contract_is_recognised() {
        for stored in [
            "$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/",
            "{MD5}zAPnR6avu8v4vnZorP6+5Q==",
            "{md5}zAPnR6avu8v4vnZorP6+5Q==",
            "{MD5RAW}cc03e747a6afbbcbf8be7668acfebee5",
            "{SHA}cojt0Pw//L6ToM8G41aOKFIWh7w=",
            "{SHA256}7NcYcNGWMxapfjrDQIyYNa2M8PPBvHA1J8MCZVNPda4=",
            "{SSHA}vjgrBDcyrmr+a7KVyVs6bcIq2jcBAgME",
            "{CRYPT}$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/",
        ] {
            assert!(verify(stored.as_bytes(), b"test123"), "{stored}");
            assert!(!verify(stored.as_bytes(), b"test124"), "{stored}");
            assert!(!verify(stored.as_bytes(), b""), "{stored}");
        }
    }

    #[test]
    fn what_is_not_a_hash_never_matches() {
        for stored in [
            "test123",
            "{PLAIN}test123",
            "{CLEARTEXT}test123",
            "{MD5}zAPnR6avu8v4vnZorP6+5Q",
            "{}",
            "{",
            "{SSHA}",
            "{SSHA}cojt0Pw//L6ToM8G41aOKFIWh7w=",
            "{MD5RAW}CC03E747A6AFBBCBF8BE7668ACFEBEE5",
            "*",
            "!",
            "x",
            "",
            "{CRYPT}",
            "{CRYPT}test123",
        ] {
            assert!(!verify(stored.as_bytes(), b"test123"), "{stored}");
        }
        assert!(!verify(b"", b""));
        assert!(!verify(b"*", b"*"));
    }

    #[test]
    fn new_hashes_verify_and_keep_their_kind() {
        for form in [
            Form::Md5Crypt,
            Form::Sha512Crypt,
            Form::Bcrypt,
            Form::Yescrypt,
            Form::Argon2id,
            Form::Pbkdf2Sha256,
            Form::ScramSha256,
            Form::ScramSha1,
            Form::Md5,
            Form::Md5Raw,
            Form::Sha,
            Form::Ssha,
            Form::Sha256,
            Form::Sha512,
        ] {
            let stored = hash(form, b"se cret").unwrap();
            assert!(verify(&stored, b"se cret"), "{form:?}");
            assert!(!verify(&stored, b"secret"), "{form:?}");
            let expected = if form == Form::Md5Crypt {
                Form::Yescrypt
            } else {
                form
            };
            assert_eq!(Form::successor(&stored), expected);
        }
        assert_eq!(Form::successor(b"Tipu/t16APb6s"), Form::Yescrypt);
        assert_eq!(Form::successor(b""), Form::Yescrypt);
        assert_ne!(hash(Form::Ssha, b"a"), hash(Form::Ssha, b"a"));
        for (stored, begin) in [
            ("{CRYPT}xyz", "{CRYPT}$y$"),
            ("{crypt}$2b$x", "{CRYPT}$2b$"),
            ("{CRYPT}$6$a", "{CRYPT}$6$"),
            ("", "$y$"),
        ] {
            let new = successor(stored.as_bytes(), b"x").unwrap();
            assert!(
                new.starts_with(begin.as_bytes()) && verify(&new, b"x"),
                "{stored}"
            );
        }
    }
}
