//! IDLE (RFC 2177).

use std::time::{Duration, Instant};

use courier::maildir::Watch;
use courier::sys::heap;

use crate::grammar::cursor::SyntaxError;
use crate::receive::{COMMAND_TIMEOUT, LineEnd, QUIET, Woken};
use crate::reply::Reply;
use crate::session::{End, Executed, Session, malformed};

/// Shortest wait between two looks at a folder that changes all the time, so that a busy mailbox is not listed
/// without pause for every client that watches it.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// IDLE. The session's time-out counts from its start.
pub fn execute(session: &mut Session) -> Executed {
    session.out.put(b"+ entering idle mode\r\n");
    let ends = Instant::now() + COMMAND_TIMEOUT;
    // The watch comes before the look at the folder, so that nothing falls between them.
    let mut watch = session
        .selected
        .as_mut()
        .map(|selected| Watch::new(&selected.folder, &mut selected.view));
    let mut again = session.refresh(false);
    // Memory is given back once in each stretch of silence.
    let mut rests = false;
    loop {
        session.out.flush()?;
        if let Some(end) = session.ending.take() {
            return Err(end);
        }
        let pause = match (&mut watch, &session.selected) {
            (Some(watch), Some(selected)) => {
                let interval = watch.interval(&selected.view);
                match watch.fd() {
                    Some(_) => interval,
                    None => interval.min(session.settings.idle_poll),
                }
            }
            _ => COMMAND_TIMEOUT,
        };
        let interval = again.map_or(pause, |again| again.clamp(SHORTEST_WAIT, pause));
        let resting_soon = !rests && again.is_none() && interval > QUIET;
        let interval = if resting_soon { QUIET } else { interval };
        let deadline = ends.min(Instant::now() + interval);
        let descriptor = watch.as_ref().and_then(Watch::fd);
        match session.input.wait(descriptor.as_ref(), deadline)? {
            Woken::Input => break,
            Woken::Timeout if Instant::now() >= ends => return Err(End::TimedOut),
            Woken::Timeout if resting_soon => {
                rests = true;
                if let Some(selected) = session.selected.as_mut() {
                    selected.rest();
                }
                heap::give_back();
            }
            Woken::Timeout => again = session.refresh(false),
            Woken::Other => {
                if watch.as_mut().is_some_and(Watch::changed) {
                    rests = false;
                    again = session.refresh(false);
                }
            }
        }
    }
    let mut line = Vec::new();
    let end = session
        .input
        .line(&mut line, COMMAND_TIMEOUT, &mut session.out)?;
    match end {
        LineEnd::Command if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => {
            session.refresh(false);
            Ok(Reply::ok("IDLE completed"))
        }
        LineEnd::Command => Ok(malformed(SyntaxError::Malformed)),
        LineEnd::Literal(literal) => {
            session.drain(Some(literal))?;
            Ok(malformed(SyntaxError::Malformed))
        }
        LineEnd::TooLong(literal) => {
            session.drain(literal)?;
            Ok(malformed(SyntaxError::TooComplex))
        }
    }
}
