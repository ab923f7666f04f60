//! The login at a server of the account, in a process that is confined as the parser is: it has the connection, and
//! can do nothing but talk.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::parser::confine;
use super::super::peer::Peer;
use super::Surroundings;
use super::dialog::{self, Login, Outcome, Server};
use super::hosts::Host;
use crate::sys::fd;
use crate::sys::log::{Level, log};
use crate::sys::pass;

/// Longest piece of another server's text in a log line, in bytes.
const TEXT_MAX: usize = 255;

/// Text of somebody else in a log line: what does not print becomes a dot.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take(TEXT_MAX) {
            let prints = byte == b' ' || byte.is_ascii_graphic();
            fmt::Write::write_char(f, if prints { char::from(byte) } else { '.' })?;
        }
        Ok(())
    }
}

/// The body of the process: logs in over `connection` and tells the monitor the outcome.
pub fn run(
    around: Surroundings<'_>,
    login: &Login<'_>,
    host: &Host,
    connection: &OwnedFd,
    channel: &OwnedFd,
) {
    if let Err(error) = prepare(around, connection, channel) {
        log(Level::Err, format_args!("proxy: {error}"));
        return;
    }
    let peer = Peer::new(fd::stdin(), fd::stdout(), channel.as_fd(), around.deadline);
    let mut server = Server::new(peer, around.deadline, around.settings.debug > 0);
    let outcome = match dialog::log_in(&mut server, login) {
        Ok(()) => Outcome::LoggedIn,
        Err(failure) => {
            server.debug(format_args!("{}", failure.fault));
            let host = Text(&host.text);
            let text = match failure.stage {
                dialog::Stage::Greeting => format!("Did not receive greeting from {host}"),
                dialog::Stage::Login => format!("Login to {host} failed"),
                dialog::Stage::Utf8 => format!("UTF8 rejected by {host}"),
                dialog::Stage::User => format!("Login userid rejected by {host}"),
                dialog::Stage::Password => format!("Login password rejected by {host}"),
            };
            log(Level::Warning, format_args!("{text}"));
            failure.outcome()
        }
    };
    // A monitor that is gone needs no answer.
    pass::send(channel, &[outcome.encode()], &[]).ok();
}

/// Takes the server's connection in place of the client's, and gives up everything else.
fn prepare(
    around: Surroundings<'_>,
    connection: &OwnedFd,
    channel: &OwnedFd,
) -> std::io::Result<()> {
    let connection: BorrowedFd<'_> = connection.as_fd();
    fd::duplicate_to(connection, 0)?;
    fd::duplicate_to(connection, 1)?;
    fd::close_all_but(channel.as_fd())?;
    confine(around.paths, channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_leave_its_line() {
        assert_eq!(
            Text(b"+OK [x],\r\nINFO: \xff").to_string(),
            "+OK [x],..INFO: ."
        );
        assert_eq!(Text(&[b'x'; 1000]).to_string().len(), TEXT_MAX);
    }
}
