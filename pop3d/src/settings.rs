//! What pop3d takes from its environment (contract: pop3d §3).

use courier::auth::options;
use courier::login::confine::Wanted;
use courier::login::environment::Environment;
use courier::login::settings::Settings as LoginSettings;

/// One session's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who the session is for, in log lines.
    pub user: String,
    /// The account's name in the lines about deletions.
    pub account: String,
    /// The peer's address.
    pub remote_ip: String,
    /// The peer's port.
    pub remote_port: String,
    /// The client can take UTF-8 in headers.
    pub utf8: bool,
    /// The connection is under TLS.
    pub tls: bool,
    /// The account may not use POP3.
    pub disabled: bool,
    /// The account may not use POP3 without TLS.
    pub disabled_insecure: bool,
    /// A log line for each deleted message.
    pub log_deletions: bool,
    /// Content type of a wrapped message.
    pub message_type: String,
    /// `POP3_SANDBOX`: whether the session confines itself.
    pub sandbox: Wanted,
    /// The reply to CAPA.
    pub capability: Vec<u8>,
}

impl Settings {
    /// Reads `environment`; `login` is what the login program made of the same one.
    pub fn read(environment: &Environment, login: &LoginSettings) -> Self {
        let text = |name: &str| String::from_utf8_lossy(environment.text(name)).into_owned();
        let or = |value: String, default: &str| match value.as_str() {
            "" => default.to_owned(),
            _ => value,
        };
        let option = |name: &str| options::is_on(environment.text("OPTIONS"), name.as_bytes());
        let deletions = environment.text("POP3_LOG_DELETIONS");
        // It goes into a header field of its own.
        let message_type = or(text("MIME_UNICODE_MESSAGE_TYPE"), "message/global");
        Self {
            user: or(or(text("AUTHADDR"), &text("AUTHENTICATED")), "nobody"),
            account: text("AUTHENTICATED"),
            remote_ip: or(text("TCPREMOTEIP"), "127.0.0.1"),
            remote_port: or(text("TCPREMOTEPORT"), "0"),
            utf8: environment.get("UTF8").is_none() || environment.number("UTF8") != 0,
            tls: login.tls,
            disabled: option("disablepop3"),
            disabled_insecure: option("disableinsecurepop3"),
            log_deletions: deletions.first().is_some_and(|&first| first != b'0'),
            message_type: message_type.replace(char::is_control, ""),
            sandbox: Wanted::from_setting(environment.get("POP3_SANDBOX")),
            capability: crate::capability::capability(
                |name| environment.get(name).map(<[u8]>::to_vec),
                login.tls,
                login.starttls.is_some(),
                login.external.is_some(),
            ),
        }
    }

    /// What log lines under TLS end with.
    pub fn tls_mark(&self) -> &'static str {
        if self.tls { ", stls=1" } else { "" }
    }
}
