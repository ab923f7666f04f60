//! What the login program is told about a connection: the text of `-printx509` and the TLS_SUBJECT_* variables
//! (contract: couriertls 4 and 6).

use std::fmt::Write as _;

use openssl::asn1::Asn1TimeRef;
use openssl::nid::Nid;
use openssl::ssl::{SslRef, SslVerifyMode};
use openssl::x509::{X509NameRef, X509Ref, X509VerifyResult};

/// Values longer than this are cut, as readers of the dump do.
const VALUE_MAX: usize = 1000;

/// What was agreed, and with whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Attributes of the first certificate's subject: short name and value. Empty without a verified certificate.
    pub(crate) subject: Vec<(String, String)>,
    /// `TLSv1.3,256bits,TLS_AES_256_GCM_SHA384`.
    pub(crate) connected: String,
    /// The dump.
    pub(crate) text: String,
}

impl Peer {
    pub(crate) fn of(ssl: &SslRef) -> Self {
        let mut peer = Self::default();
        let certificate = ssl.peer_certificate();
        if let Some(certificate) = &certificate {
            let mut subject = attributes(certificate.subject_name());
            // RFC 822 names in the certificate serve TLS_EXTERNAL=email where the subject has none. Login programs
            // know no other place to look for it than among the attributes.
            let named = subject
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("email"));
            if !named {
                subject
                    .extend(mail_address(certificate).map(|address| ("email".to_owned(), address)));
            }
            describe(certificate, &subject, &mut peer.text);
            // A client that checks nothing knows nothing of the server.
            if ssl.verify_mode() != SslVerifyMode::NONE
                && ssl.verify_result() == X509VerifyResult::OK
            {
                peer.subject = subject;
            }
            for issuer in ssl
                .peer_cert_chain()
                .into_iter()
                .flatten()
                .filter(|issuer| {
                    // A server is given the leaf separately; a client finds it in the chain too.
                    issuer.to_der().ok() != certificate.to_der().ok()
                })
            {
                let subject = attributes(issuer.subject_name());
                describe(issuer, &subject, &mut peer.text);
            }
        }
        let version = ssl.version_str();
        let (bits, cipher) = ssl.current_cipher().map_or((0, "(unknown)"), |cipher| {
            (cipher.bits().secret, cipher.name())
        });
        // Writing to a String cannot fail.
        let _infallible = write!(
            peer.text,
            "Version: {version}\nBits: {bits}\nCipher: {cipher}\n"
        );
        peer.connected = format!("{version},{bits}bits,{cipher}");
        peer
    }

    /// The variables for the program, `NAME=value`.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![("TLS_CONNECTED_PROTOCOL".to_owned(), self.connected.clone())];
        for (name, value) in &self.subject {
            let name = name.to_ascii_uppercase();
            if name.len() <= 51
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                variables.push((format!("TLS_SUBJECT_{name}"), value.clone()));
            }
        }
        variables
    }
}

fn describe(certificate: &X509Ref, subject: &[(String, String)], text: &mut String) {
    text.push_str("Subject:\n");
    for (name, value) in subject {
        // Writing to a String cannot fail, here and below.
        let _infallible = writeln!(text, "   {name}={value}");
    }
    text.push('\n');
    for name in certificate.subject_alt_names().into_iter().flatten() {
        if let Some(host) = name.dnsname() {
            let _infallible =
                writeln!(text, "Subject-Alt-Name-DNS: {}", printable(host.as_bytes()));
        }
    }
    let _infallible = writeln!(text, "Not-Before: {}", time(certificate.not_before()));
    let _infallible = writeln!(text, "Not-After: {}\n", time(certificate.not_after()));
}

fn attributes(name: &X509NameRef) -> Vec<(String, String)> {
    name.entries()
        .filter_map(|entry| {
            let nid = entry.object().nid();
            let short = if nid == Nid::UNDEF {
                "UNDEF"
            } else {
                nid.short_name().ok()?
            };
            let value = entry.data().to_string().ok()?;
            Some((short.to_owned(), printable(value.as_bytes())))
        })
        .collect()
}

fn mail_address(certificate: &X509Ref) -> Option<String> {
    let names = certificate.subject_alt_names()?;
    names
        .iter()
        .find_map(|name| name.email().map(|address| printable(address.as_bytes())))
}

/// One line of text, whatever the certificate holds: a line end in a value could otherwise pose as another
/// attribute, a NUL could cut a name short.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(VALUE_MAX)
        .collect()
}

fn time(time: &Asn1TimeRef) -> String {
    let epoch = openssl::asn1::Asn1Time::from_unix(0);
    let since = epoch.and_then(|epoch| epoch.diff(time));
    match since {
        Ok(since) => {
            let seconds = i64::from(since.days) * 86_400 + i64::from(since.secs);
            let (year, month, day) = civil(seconds.div_euclid(86_400));
            let rest = seconds.rem_euclid(86_400);
            format!(
                "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
                rest / 3600,
                rest / 60 % 60,
                rest % 60
            )
        }
        Err(_unreadable) => "(unknown)".to_owned(),
    }
}

/// Year, month and day of a day counted from 1970-01-01, proleptic Gregorian.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_digits() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        let at = openssl::asn1::Asn1Time::from_unix(1_767_225_599).unwrap();
        assert_eq!(time(&at), "2025-12-31 23:59:59");
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(printable(b"a\nCN=root\0x"), "a?CN=root?x");
    }

    #[test]
    fn variables_are_upper_case_words() {
        let peer = Peer {
            subject: vec![
                ("emailAddress".into(), "a@b".into()),
                ("x.y".into(), "z".into()),
            ],
            connected: "TLSv1.3,256bits,X".into(),
            text: String::new(),
        };
        assert_eq!(
            peer.environment(),
            [
                (
                    "TLS_CONNECTED_PROTOCOL".to_owned(),
                    "TLSv1.3,256bits,X".to_owned()
                ),
                ("TLS_SUBJECT_EMAILADDRESS".to_owned(), "a@b".to_owned()),
            ]
        );
    }
}
