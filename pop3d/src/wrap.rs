//! A message with UTF-8 in its headers, for a client that has not asked for UTF8: wrapped into a plain one that says
//! so and carries it as an attachment (contract: pop3d §5; RFC 6856 section 7).

use std::time::{SystemTime, UNIX_EPOCH};

/// What stands before and behind the message's own bytes, with LF line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    /// Before.
    pub before: Vec<u8>,
    /// Behind.
    pub behind: Vec<u8>,
}

impl Wrapper {
    /// Makes one; `message_type` is the content type of the attachment.
    pub fn new(message_type: &str) -> Self {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let boundary = format!("=_{}-{time}", std::process::id());
        let before = format!(
            "From: Mail Delivery Subsystem <postmaster>\n\
             Subject: Cannot display Unicode content\n\
             Mime-Version: 1.0\n\
             Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\
             \n\n\n\
             --{boundary}\n\
             Content-Type: text/plain\n\
             \n\
             The headers of this message are written in Unicode, and your mail program has\n\
             not told the server that it can read such messages.  The message is attached\n\
             as it is.  A mail program with UTF-8 support for POP3 shows it without this\n\
             wrapping; see https://www.rfc-editor.org/rfc/rfc6856\n\
             \n\
             --{boundary}\n\
             Content-Type: {message_type}\n\
             \n"
        );
        Self {
            before: before.into_bytes(),
            behind: format!("\n--{boundary}--\n").into_bytes(),
        }
    }

    /// Bytes that it adds to the announced size.
    pub fn size(&self) -> u64 {
        (self.before.len() as u64).saturating_add(self.behind.len() as u64)
    }
}
