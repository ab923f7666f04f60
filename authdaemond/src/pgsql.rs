//! Connection strings of PostgreSQL's own library, as `PGSQL_CONNECTION` has them: taken apart into what concerns
//! TLS and what the client crate understands.

use std::path::PathBuf;

/// A connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conninfo {
    /// What the client crate reads.
    pub rest: String,
    /// What it does not know about TLS.
    pub trust: Trust,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Whether the server's certificate is checked.
    pub verify: bool,
    /// Whether it must be for the name of the host.
    pub verify_name: bool,
    /// Certificates of authorities, PEM; `None`: the system's.
    pub authorities: Option<PathBuf>,
    /// Our certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Settings that mean nothing here, and change nothing by being left out.
const HARMLESS: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "sslcompression",
    "sslsni",
];

impl Conninfo {
    /// Takes `text` apart: `name = 'value' ...`, or a `postgresql://` address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let mut mode = None;
        let mut trust = Trust::default();
        let mut system = false;
        let mut take = |name: &str, value: &str| -> Result<bool, String> {
            match name {
                "sslmode" => mode = Some(value.to_owned()),
                "sslrootcert" if value == "system" => system = true,
                "sslrootcert" => trust.authorities = Some(PathBuf::from(value)),
                "sslcert" => trust.certificate = Some(PathBuf::from(value)),
                "sslkey" => trust.key = Some(PathBuf::from(value)),
                _ if HARMLESS.contains(&name) => {}
                _ => return Ok(false),
            }
            Ok(true)
        };
        let is_address = ["postgresql://", "postgres://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        let mut rest = String::new();
        if is_address {
            let (address, query) = text.split_once('?').unwrap_or((text, ""));
            rest.push_str(address);
            let mut separator = '?';
            for item in query.split('&').filter(|item| !item.is_empty()) {
                let (name, value) = item.split_once('=').unwrap_or((item, ""));
                if !take(name, &value.replace("%2F", "/").replace("%2f", "/"))? {
                    rest.push(separator);
                    rest.push_str(item);
                    separator = '&';
                }
            }
        } else {
            for (name, value) in pairs(text)? {
                if !take(&name, &value)? {
                    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                    rest.push_str(&format!("{name}='{value}' "));
                }
            }
        }
        // Anybody has a certificate from one of the system's authorities, so that only the name proves something; libpq
        // takes it the same way.
        if system {
            match mode.as_deref() {
                None | Some("") => mode = Some("verify-full".to_owned()),
                Some("verify-full") => {}
                Some(other) => {
                    return Err(format!("sslrootcert=system needs verify-full, not {other}"));
                }
            }
        }
        let known = match mode.as_deref() {
            None | Some("" | "prefer" | "allow") => "prefer",
            Some("disable") => "disable",
            // COMPAT: with a file of authorities, "require" checks the certificate, as libpq does.
            Some("require") => {
                trust.verify = trust.authorities.is_some();
                "require"
            }
            Some("verify-ca") => {
                trust.verify = true;
                "require"
            }
            Some("verify-full") => {
                trust.verify = true;
                trust.verify_name = true;
                "require"
            }
            Some(other) => return Err(format!("unknown sslmode {other}")),
        };
        if is_address {
            rest.push(if rest.contains('?') { '&' } else { '?' });
        }
        rest.push_str(&format!("sslmode={known}"));
        Ok(Self { rest, trust })
    }
}

/// The names and values of the first form.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, behind) = rest
            .split_once('=')
            .ok_or_else(|| "a name without \"=\"".to_owned())?;
        let behind = behind.trim_start();
        let quoted = behind.strip_prefix('\'');
        let mut letters = quoted.unwrap_or(behind).char_indices();
        let whole = quoted.unwrap_or(behind);
        let mut value = String::new();
        let mut end = None;
        while let Some((index, letter)) = letters.next() {
            match letter {
                '\\' => match letters.next() {
                    Some((_, letter)) => value.push(letter),
                    None => return Err("a backslash at the end".to_owned()),
                },
                '\'' if quoted.is_some() => {
                    end = Some(index + 1);
                    break;
                }
                letter if quoted.is_none() && letter.is_ascii_whitespace() => {
                    end = Some(index);
                    break;
                }
                letter => value.push(letter),
            }
        }
        if quoted.is_some() && end.is_none() {
            return Err("a quote is not closed".to_owned());
        }
        pairs.push((name.trim().to_owned(), value));
        rest = end
            .and_then(|end| whole.get(end..))
            .unwrap_or_default()
            .trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_settings_are_taken_out() {
        let conninfo = Conninfo::parse(
            "host = /run/pg  user='o\\'hara' password = 'a b\\\\' sslmode=verify-full sslrootcert=/ca.pem krbsrvname=x",
        )
        .unwrap();
        assert_eq!(
            conninfo.rest,
            "host='/run/pg' user='o\\'hara' password='a b\\\\' sslmode=require"
        );
        assert!(conninfo.trust.verify && conninfo.trust.verify_name);
        assert_eq!(conninfo.trust.authorities, Some(PathBuf::from("/ca.pem")));
        let conninfo =
            Conninfo::parse("postgresql://u@h/db?sslmode=verify-ca&connect_timeout=3").unwrap();
        assert_eq!(
            conninfo.rest,
            "postgresql://u@h/db?connect_timeout=3&sslmode=require"
        );
        assert!(conninfo.trust.verify && !conninfo.trust.verify_name);
        assert_eq!(Conninfo::parse("").unwrap().rest, "sslmode=prefer");
        // As with libpq: without a mode, the system's authorities are asked to say something.
        let conninfo = Conninfo::parse("host=h sslrootcert=system").unwrap();
        assert_eq!(conninfo.rest, "host='h' sslmode=require");
        assert!(conninfo.trust.verify && conninfo.trust.verify_name);
    }

    #[test]
    fn faults_are_named() {
        for text in [
            "host",
            "password='x",
            "a=b\\",
            "sslmode=perhaps",
            "sslrootcert=system sslmode=require",
        ] {
            assert!(Conninfo::parse(text).is_err(), "{text}");
        }
    }
}
