//! APPEND, COPY, STORE and EXPUNGE.

use harness::{Error, mail};

use crate::options::Options;
use crate::target::{Sample, Target};

/// Many small messages, each acknowledged before the next is sent.
pub(super) fn append(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, 10)?;
    target.changes();
    let messages: Vec<Vec<u8>> = (0..1000)
        .map(|index| mail::message(options.seed, index, options.size))
        .collect();
    let mut wire = target.session()?;
    target.measure(|| {
        for message in &messages {
            wire.append("INBOX.Work", message)?;
        }
        Ok(())
    })
}

/// One big message.
pub(super) fn big_append(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, 10)?;
    target.changes();
    let message = mail::message(options.seed, 4, options.big);
    let mut wire = target.session()?;
    target.measure(|| wire.append("INBOX.Work", &message))
}

/// Measures one command on mail that the server has seen and changes it for good.
fn changing(target: &mut Target, options: &Options, command: &str) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    target.changes();
    let mut wire = target.selected()?;
    target.measure(|| wire.ok(command))
}

pub(super) fn copy(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    changing(target, options, "COPY 1:* INBOX.Work")
}

pub(super) fn store(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    changing(target, options, "STORE 1:* +FLAGS (\\Flagged)")
}

pub(super) fn store_keyword(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    changing(target, options, "STORE 1:* +FLAGS ($Label1)")
}

/// One message after the other, as a reader of mail does it.
pub(super) fn store_one(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    target.changes();
    let mut wire = target.selected()?;
    let count = options.messages.min(500);
    target.measure(|| {
        for number in 1..=count {
            wire.ok(&format!("STORE {number} +FLAGS (\\Answered)"))?;
        }
        Ok(())
    })
}

/// Half of the mailbox goes.
pub(super) fn expunge(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    // Long commands, but not longer than the 8192 bytes that any server must take.
    const SETS: usize = 500;
    target.intact(options, options.messages)?;
    target.changes();
    let mut wire = target.selected()?;
    let numbers: Vec<String> = (1..=options.messages)
        .step_by(2)
        .map(|number| number.to_string())
        .collect();
    for chunk in numbers.chunks(SETS) {
        wire.ok(&format!(
            "STORE {} +FLAGS.SILENT (\\Deleted)",
            chunk.join(",")
        ))?;
    }
    target.measure(|| wire.ok("EXPUNGE"))
}
