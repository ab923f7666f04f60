//! POP3 through the whole chain: a server for it, and a session in one piece.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::account::Account;
use crate::server::{PASSWORD, Server, Setup, Side};
use crate::{Error, programs};

/// A POP3 server of `side` with account `user` and the accounts `guests` of another one.
///
/// # Errors
/// As [`Server::start`].
pub fn server(side: Side, user: &str, guests: &[Account]) -> Result<Server, Error> {
    let mut setup = Setup::new(side, &[user]);
    setup.guests = guests.to_vec();
    setup.command = Some(match side {
        Side::Ours => vec![
            programs::ours("pop3login")?.into(),
            programs::ours("pop3d")?.into(),
            "Maildir".into(),
        ],
        Side::Reference => vec![
            "/usr/lib/courier/courier/courierpop3login".into(),
            "/usr/lib/courier/courier/courierpop3d".into(),
            "Maildir".into(),
        ],
    });
    Server::start(&setup)
}

/// All replies to `commands`, sent in one piece, with the login before them.
///
/// # Errors
/// Those of the connection, and a login that fails.
pub fn session(port: u16, user: &str, commands: &str) -> Result<Vec<u8>, Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // The original forgets what follows the login in one packet, so its greeting is waited for.
    stream.write_all(format!("USER {user}\r\nPASS {PASSWORD}\r\n").as_bytes())?;
    let mut replies = Vec::new();
    let mut buffer = [0; 4096];
    while !replies.ends_with(b"+OK logged in.\r\n") {
        let count = stream.read(&mut buffer)?;
        replies.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if count == 0 {
            let text = String::from_utf8_lossy(&replies).into_owned();
            return Err(Error::new(format!("no login: {text}")));
        }
    }
    stream.write_all(commands.as_bytes())?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    Ok(rest)
}
