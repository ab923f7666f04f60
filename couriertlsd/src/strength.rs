//! Protocols and ciphers: `TLS_PROTOCOL`, `TLS_CIPHER_LIST`, and GnuTLS' `TLS_PRIORITY` as far as it translates
//! (contract: couriertls 3.2 and 7).

use openssl::ssl::SslVersion;

/// Ciphers for TLS 1.2 and lower when the administrator names none: forward secrecy first, nothing broken.
const DEFAULT_CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:AESGCM:AES:\
                               !aNULL:!eNULL:!EXP:!MD5:!RC4:!3DES:!DES:!PSK:!SRP:!DSS:!AESCCM:!CAMELLIA:!ARIA:!SEED:!IDEA";

/// Lowest protocol and TLS 1.2 ciphers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strength {
    pub(crate) floor: SslVersion,
    /// Highest protocol; the newest there is if `None`.
    pub(crate) ceiling: Option<SslVersion>,
    pub(crate) ciphers: String,
    pub(crate) renegotiation: bool,
    pub(crate) server_preference: bool,
}

/// What the three settings say together. Words that are not understood are added to `remarks`.
pub(crate) fn strength(
    protocol: Option<&str>,
    ciphers: Option<&str>,
    priority: Option<&str>,
    remarks: &mut Vec<String>,
) -> Strength {
    let mut strength = Strength {
        floor: SslVersion::TLS1_2,
        ceiling: None,
        ciphers: DEFAULT_CIPHERS.to_owned(),
        renegotiation: false,
        server_preference: true,
    };
    if let Some(priority) = priority {
        translate_priority(priority, &mut strength, remarks);
    }
    match protocol {
        None => {}
        Some("TLSv1" | "TLS1") => strength.floor = SslVersion::TLS1,
        Some("TLSv1.1" | "TLSv1.1+" | "TLSv1.1++") => strength.floor = SslVersion::TLS1_1,
        Some("TLSv1.2" | "TLSv1.2+" | "TLSv1.2++") => strength.floor = SslVersion::TLS1_2,
        Some("TLSv1.3" | "TLSv1.3+" | "TLSv1.3++") => strength.floor = SslVersion::TLS1_3,
        Some(other) => remarks.push(format!(
            "TLS_PROTOCOL={other} is not known, TLSv1.2 is the minimum"
        )),
    }
    if let Some(ciphers) = ciphers {
        strength.ciphers = ciphers.to_owned();
    }
    if matches!(strength.floor, SslVersion::TLS1 | SslVersion::TLS1_1) {
        // OpenSSL 3 refuses the signatures of TLS 1.1 and lower at its normal security level.
        strength.ciphers.push_str(":@SECLEVEL=0");
    }
    strength
}

/// Words of a GnuTLS priority string that `+` and `-` switch, what OpenSSL calls them in a cipher string, and the
/// groups `-NAME-ALL` that they belong to. What is not in [`DEFAULT_CIPHERS`] cannot be switched on.
const SWITCHES: &[(&str, &str, &[&str])] = &[
    ("CIPHER-ALL", "AES-256-GCM", &["AES256+AESGCM"]),
    ("CIPHER-ALL", "AES-128-GCM", &["AES128+AESGCM"]),
    ("CIPHER-ALL", "CHACHA20-POLY1305", &["CHACHA20"]),
    (
        "CIPHER-ALL",
        "AES-256-CBC",
        &["AES256+SHA1", "AES256+SHA256", "AES256+SHA384"],
    ),
    (
        "CIPHER-ALL",
        "AES-128-CBC",
        &["AES128+SHA1", "AES128+SHA256"],
    ),
    ("KX-ALL", "ECDHE-RSA", &["ECDHE+aRSA"]),
    ("KX-ALL", "ECDHE-ECDSA", &["ECDHE+aECDSA"]),
    ("KX-ALL", "DHE-RSA", &["DHE+aRSA"]),
    ("KX-ALL", "RSA", &["kRSA"]),
    ("MAC-ALL", "AEAD", &["AESGCM", "CHACHA20"]),
    ("MAC-ALL", "SHA1", &["SHA1"]),
    ("MAC-ALL", "SHA256", &["SHA256"]),
    ("MAC-ALL", "SHA384", &["SHA384"]),
];

/// Words that ask for what is done anyway, or for what no OpenSSL can do and no mail client misses.
const WITHOUT_EFFECT: &[&str] = &[
    "NORMAL",
    "SYSTEM",
    "PERFORMANCE",
    "LEGACY",
    "SECURE128",
    "SECURE192",
    "-CTYPE-OPENPGP",
    "-CTYPE-ALL",
    "+CTYPE-X509",
    "+CTYPE-X.509",
    "-ARCFOUR-128",
    "-3DES-CBC",
    "-MD5",
    "-VERS-SSL3.0",
    "-ANON-DH",
    "-ANON-ECDH",
    "-PSK",
    "-DHE-DSS",
    "-COMP-ALL",
    "+COMP-NULL",
    "-COMP-DEFLATE",
    "-NULL",
    "+SIGN-ALL",
    "+GROUP-ALL",
    "+CURVE-ALL",
    "%SAFE_RENEGOTIATION",
    "%NO_EXTENSIONS",
    "%COMPAT",
    "%DISABLE_SAFE_RENEGOTIATION",
    "%SERVER_PRECEDENCE",
];

/// Understands the common words of a GnuTLS priority string (`TLS_PRIORITY`); the others are remarked upon.
fn translate_priority(priority: &str, strength: &mut Strength, remarks: &mut Vec<String>) {
    const VERSIONS: [(&str, SslVersion); 4] = [
        ("VERS-TLS1.0", SslVersion::TLS1),
        ("VERS-TLS1.1", SslVersion::TLS1_1),
        ("VERS-TLS1.2", SslVersion::TLS1_2),
        ("VERS-TLS1.3", SslVersion::TLS1_3),
    ];
    // GnuTLS's NORMAL allows all four; what is safe by default is ours to say.
    let mut allowed = [false, false, true, true];
    let mut off = vec![false; SWITCHES.len()];
    let mut unknown = Vec::new();
    for word in priority
        .split([':', ',', ' '])
        .filter(|word| !word.is_empty())
    {
        let (on, name) = match word.split_at_checked(1) {
            Some(("+", name)) => (Some(true), name),
            Some(("-" | "!", name)) => (Some(false), name),
            _ => (None, word),
        };
        let plain = match on {
            Some(true) => format!("+{name}"),
            Some(false) => format!("-{name}"),
            None => name.to_owned(),
        };
        if let Some(index) = VERSIONS.iter().position(|(version, _)| *version == name) {
            if let Some(slot) = allowed.get_mut(index) {
                *slot = on == Some(true);
            }
            continue;
        }
        let mut known = WITHOUT_EFFECT.contains(&plain.as_str()) || name.starts_with("VERS-DTLS");
        match (on, name) {
            (Some(on), "VERS-ALL" | "VERS-TLS-ALL") => {
                allowed = [on; 4];
                known = true;
            }
            (None, "SECURE256") => known = switch("AES-128-", true, &mut off),
            (None, "PFS") => known = switch("RSA", true, &mut off),
            (Some(on), name) => known |= switch(name, !on, &mut off),
            _ => {}
        }
        if !known {
            unknown.push(word);
        }
    }
    if !unknown.is_empty() {
        remarks.push(format!(
            "TLS_PRIORITY: not understood and ignored: {}",
            unknown.join(":")
        ));
    }
    for (_, (_, _, specs)) in off.iter().zip(SWITCHES).filter(|(off, _)| **off) {
        for spec in *specs {
            strength.ciphers.push_str(":!");
            strength.ciphers.push_str(spec);
        }
    }
    let version = |index: Option<usize>| Some(VERSIONS.get(index?)?.1);
    match version(allowed.iter().position(|&allowed| allowed)) {
        Some(floor) => {
            strength.floor = floor;
            strength.ceiling = version(allowed.iter().rposition(|&allowed| allowed))
                .filter(|&ceiling| ceiling != SslVersion::TLS1_3);
        }
        None => remarks.push("TLS_PRIORITY: allows no protocol; TLSv1.2 is the minimum".to_owned()),
    }
}

/// Switches every word that `name` stands for: itself, its group, or those it is the beginning of.
fn switch(name: &str, value: bool, off: &mut [bool]) -> bool {
    let mut found = false;
    for (slot, (group, word, _)) in off.iter_mut().zip(SWITCHES) {
        let meant =
            *word == name || *group == name || (name.ends_with('-') && word.starts_with(name));
        if meant {
            *slot = value;
            found = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(priority: &str) -> (Strength, Vec<String>) {
        let mut remarks = Vec::new();
        let strength = strength(None, None, Some(priority), &mut remarks);
        (strength, remarks)
    }

    #[test]
    fn gnutls_priorities_are_translated_where_they_can_be() {
        let (strength, remarks) =
            translated("SECURE256:-VERS-TLS-ALL:+VERS-TLS1.3:%WEIRD:-STRANGE");
        assert_eq!(strength.floor, SslVersion::TLS1_3);
        assert!(strength.ciphers.contains(":!AES128+AESGCM"));
        // One line for all of them.
        assert_eq!(
            remarks,
            ["TLS_PRIORITY: not understood and ignored: %WEIRD:-STRANGE"]
        );
        let (strength, remarks) = translated("NORMAL:-CTYPE-OPENPGP");
        assert_eq!(strength.floor, SslVersion::TLS1_2);
        assert_eq!(strength.ceiling, None);
        assert!(remarks.is_empty());
        let (old, _) = translated("NORMAL:+VERS-TLS1.0");
        assert_eq!(old.floor, SslVersion::TLS1);
        let (capped, _) = translated("NORMAL:-VERS-TLS1.3");
        assert_eq!(capped.ceiling, Some(SslVersion::TLS1_2));
    }

    #[test]
    fn groups_are_switched_off_and_members_on() {
        if std::process::Command::new("openssl")
            .arg("version")
            .output()
            .is_err()
        {
            let mut stdout = std::io::stdout().lock();
            std::io::Write::write_all(&mut stdout, b"skipped: no openssl command here\n").unwrap();
            return;
        }
        let offered = |priority: &str| {
            let (strength, remarks) = translated(priority);
            assert!(remarks.is_empty(), "{remarks:?}");
            let output = std::process::Command::new("openssl")
                .args(["ciphers", "-s", "-tls1_2", &strength.ciphers])
                .output()
                .unwrap();
            let names = String::from_utf8(output.stdout).unwrap();
            names
                .trim()
                .split(':')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            offered("NORMAL:-CIPHER-ALL:+AES-256-GCM:-KX-ALL:+ECDHE-RSA"),
            ["ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            offered("-MAC-ALL:+AEAD:-CIPHER-ALL:+CHACHA20-POLY1305:-KX-ALL:+ECDHE-ECDSA"),
            ["ECDHE-ECDSA-CHACHA20-POLY1305"]
        );
        assert!(offered("PFS").iter().all(|name| name.contains("DHE-")));
        assert!(
            !offered("SECURE128:-RSA:-AES-128-CBC").contains(&"ECDHE-RSA-AES128-SHA".to_owned())
        );
        assert!(
            !offered("SECURE256")
                .iter()
                .any(|name| name.contains("AES128"))
        );
        assert!(offered("NORMAL").contains(&"ECDHE-RSA-AES128-SHA".to_owned()));
    }
}
