//! CAPA (RFC 2449) and LANG (RFC 6856), which are the same before and after login.

/// The reply to CAPA, from the environment's settings. `starttls` and `external`: STLS and SASL EXTERNAL would be
/// accepted now.
pub fn capability(
    setting: impl Fn(&str) -> Option<Vec<u8>>,
    tls: bool,
    starttls: bool,
    external: bool,
) -> Vec<u8> {
    let filled = |name: &str| setting(name).filter(|value| !value.is_empty());
    let configured = if tls { filled("POP3AUTH_TLS") } else { None };
    let mut mechanisms = configured
        .or_else(|| filled("POP3AUTH"))
        .unwrap_or_default();
    // It goes into one line of the reply.
    mechanisms.retain(|byte| *byte >= b' ');
    if external {
        if !mechanisms.is_empty() {
            mechanisms.push(b' ');
        }
        mechanisms.extend_from_slice(b"EXTERNAL");
    }
    let mut text = b"+OK Here's what I can do:\r\n".to_vec();
    if !mechanisms.is_empty() {
        text.extend_from_slice(b"SASL ");
        text.extend_from_slice(&mechanisms);
        text.extend_from_slice(b"\r\n");
    }
    if starttls {
        text.extend_from_slice(b"STLS\r\n");
    }
    text.extend_from_slice(
        b"TOP\r\nUSER\r\nLOGIN-DELAY 10\r\nPIPELINING\r\nUIDL\r\nUTF8 USER\r\nLANG\r\nRESP-CODES\r\n\
          AUTH-RESP-CODE\r\nEXPIRE NEVER\r\nIMPLEMENTATION Courier Mail Server\r\n.\r\n",
    );
    text
}

/// The reply to LANG: the only language is the one that is always spoken.
pub fn language(argument: &[u8]) -> &'static str {
    match argument {
        b"" => "+OK Language listing follows:\r\nen English\r\ni-default Default language\r\n.\r\n",
        b"*" | b"en" => "+OK en King's English\r\n",
        b"i-default" => "+OK i-default King's English\r\n",
        _ => "-ERR Language not available.\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(auth: &'static str, auth_tls: &'static str, flags: [bool; 3]) -> String {
        let [tls, starttls, external] = flags;
        let setting = |name: &str| match name {
            "POP3AUTH" => Some(auth.as_bytes().to_vec()),
            "POP3AUTH_TLS" => Some(auth_tls.as_bytes().to_vec()),
            _ => None,
        };
        String::from_utf8(capability(setting, tls, starttls, external)).unwrap()
    }

    #[test]
    fn the_list_has_the_contracts_order() {
        let text = list("LOGIN", "PLAIN", [false, true, false]);
        assert!(text.starts_with(
            "+OK Here's what I can do:\r\nSASL LOGIN\r\nSTLS\r\nTOP\r\nUSER\r\nLOGIN-DELAY 10\r\nPIPELINING\r\n\
             UIDL\r\nUTF8 USER\r\nLANG\r\n"
        ));
        assert!(text.ends_with("\r\nIMPLEMENTATION Courier Mail Server\r\n.\r\n"));
        assert!(list("", "", [false; 3]).starts_with("+OK Here's what I can do:\r\nTOP\r\n"));
    }

    #[test]
    fn tls_and_external_change_the_mechanisms() {
        assert!(list("LOGIN", "PLAIN", [true, false, false]).contains("SASL PLAIN\r\n"));
        assert!(list("LOGIN", "", [true, false, true]).contains("SASL LOGIN EXTERNAL\r\n"));
        assert!(list("", "", [true, false, true]).contains("SASL EXTERNAL\r\n"));
    }
}
