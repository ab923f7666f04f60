//! Commands about the session itself: CAPABILITY, NOOP, CHECK, LOGOUT, ENABLE, ID, NAMESPACE.

use courier::sys::log::{Level, log};

use crate::account::loggable;
use crate::attempt;
use crate::grammar::mailbox::IdFields;
use crate::reply::Reply;
use crate::session::{End, Executed, Session};

/// Longest line about a client's ID, so that it cannot flood the log.
const MAX_LOGGED_ID: usize = 1024;

/// CAPABILITY.
pub fn capability(session: &mut Session) -> Executed {
    let list = session.capability();
    session.out.text(format_args!("* CAPABILITY {list}\r\n"));
    Ok(Reply::ok("CAPABILITY completed"))
}

/// NOOP.
pub fn noop(session: &mut Session) -> Executed {
    session.refresh(false);
    Ok(Reply::ok("NOOP completed"))
}

/// CHECK.
pub fn check(session: &mut Session) -> Executed {
    attempt!(session.selected().map(|_| ()));
    session.refresh(false);
    Ok(Reply::ok("CHECK completed"))
}

/// LOGOUT. The reply needs the tag, which only the session's loop has; so the end comes after it.
pub fn logout(session: &mut Session) -> Executed {
    session
        .out
        .put(b"* BYE Courier-IMAP server shutting down\r\n");
    session.ending = Some(End::Logout);
    Ok(Reply::ok("LOGOUT completed"))
}

/// ENABLE (RFC 5161).
pub fn enable(session: &mut Session, words: &[Vec<u8>]) -> Executed {
    if words.iter().any(|word| word == b"UTF8=ACCEPT") {
        session.utf8 = true;
    }
    session.out.put(b"* ENABLED");
    if session.utf8 {
        session.out.put(b" UTF8=ACCEPT");
    }
    session.out.end_line();
    Ok(Reply::ok("Options enabled"))
}

/// ID (RFC 2971). The client's fields are logged.
pub fn id(session: &mut Session, fields: Option<&IdFields>) -> Executed {
    if let Some(fields) = fields {
        let mut text = String::new();
        for (name, value) in fields {
            let value = value.as_deref().unwrap_or(b"(nil)");
            text.push_str(", ");
            text.push_str(&loggable(&String::from_utf8_lossy(name)));
            text.push('=');
            text.push_str(&loggable(&String::from_utf8_lossy(value)));
            if text.len() > MAX_LOGGED_ID {
                break;
            }
        }
        log(Level::Info, format_args!("ID, {}{text}", session.account));
    }
    let fields = session.settings.id_fields;
    let system = (fields & 6 != 0)
        .then(nix::sys::utsname::uname)
        .and_then(Result::ok);
    let utf8 = session.utf8;
    let out = &mut session.out;
    out.put(b"* ID (\"name\" \"Courier-IMAP\"");
    if fields & 1 != 0 {
        out.put(b" \"version\" ");
        out.string(env!("CARGO_PKG_VERSION").as_bytes(), utf8);
    }
    if let Some(system) = system {
        if fields & 2 != 0 {
            out.put(b" \"os\" ");
            out.string(system.sysname().as_encoded_bytes(), utf8);
        }
        if fields & 4 != 0 {
            out.put(b" \"os-version\" ");
            out.string(system.release().as_encoded_bytes(), utf8);
        }
    }
    out.put(b" \"vendor\" \"Courier-IMAP in Rust\")\r\n");
    Ok(Reply::ok("ID completed"))
}

/// NAMESPACE (RFC 2342).
pub fn namespace(session: &mut Session) -> Executed {
    session
        .out
        .put(b"* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"#shared.\" \".\")(\"shared.\" \".\"))\r\n");
    Ok(Reply::ok("NAMESPACE completed."))
}
