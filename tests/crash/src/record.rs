//! From a run to a recording, and from a recording to the states a crash can leave.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::disk::Disk;
use crate::operation::Operation;
use crate::strace;

/// What a program did below a directory.
#[derive(Debug)]
pub struct Recording {
    before: Disk,
    operations: Vec<Operation>,
}

/// A state that the disk may be in after a crash.
#[derive(Debug)]
pub struct State {
    /// The files.
    pub disk: Disk,
    /// How many operations of the recording came before the crash.
    pub prefix: usize,
    /// In words, for the message of a failing test.
    pub description: String,
}

/// Runs `program` with `input` on its standard input (a pipe, closed after it) and records what it does to the
/// files below `root`.
///
/// # Errors
/// When strace cannot be run or says something that is not understood: a recording with holes would prove
/// nothing.
pub fn record(root: &Path, program: &mut Command, input: &[u8]) -> io::Result<Recording> {
    let before = Disk::read(root)?;
    let operations = strace::run(root, &before, program, input)?;
    Ok(Recording { before, operations })
}

impl Recording {
    /// Everything recorded, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What the client had been told when `prefix` operations were done.
    pub fn told(&self, prefix: usize) -> Vec<u8> {
        let mut told = Vec::new();
        for operation in self.operations.iter().take(prefix) {
            if let Operation::Answer { bytes } = operation {
                told.extend_from_slice(bytes);
            }
        }
        told
    }

    /// Calls `check` with every state: for each prefix everything done; nothing done that was not synced; and
    /// everything but one thing that was not synced.
    ///
    /// # Errors
    /// The first of `check`.
    pub fn crashes<E>(&self, mut check: impl FnMut(&State) -> Result<(), E>) -> Result<usize, E> {
        let mut states = 0;
        for prefix in 0..=self.operations.len() {
            let done = self.operations.get(..prefix).unwrap_or_default();
            let unsafe_ones: Vec<usize> = (0..prefix)
                .filter(|&index| self.is_at_risk(index, prefix))
                .collect();
            let mut cases: Vec<(Vec<usize>, String)> = vec![(Vec::new(), "all written".to_owned())];
            if unsafe_ones.len() > 1 {
                cases.push((
                    unsafe_ones.clone(),
                    "nothing written that was not synced".to_owned(),
                ));
            }
            for &index in &unsafe_ones {
                let lost = done.get(index).map(summary).unwrap_or_default();
                cases.push((
                    vec![index],
                    format!("all written but operation {index}: {lost}"),
                ));
            }
            for (lost, case) in cases {
                let mut disk = self.before.clone();
                for (index, operation) in done.iter().enumerate() {
                    if !lost.contains(&index) {
                        disk.apply(operation);
                    }
                }
                let last = done.last().map(summary).unwrap_or_default();
                let description = format!("crash after operation {prefix} ({last}), {case}");
                states += 1;
                check(&State {
                    disk,
                    prefix,
                    description,
                })?;
            }
        }
        Ok(states)
    }

    fn is_at_risk(&self, index: usize, prefix: usize) -> bool {
        let change = self
            .operations
            .get(index)
            .filter(|operation| operation.is_change());
        let Some(mut change) = change.cloned() else {
            return false;
        };
        for later in self.operations.get(index + 1..prefix).unwrap_or_default() {
            if change.is_made_safe_by(later) {
                return false;
            }
            change = change.after(later);
        }
        true
    }
}

fn summary(operation: &Operation) -> String {
    match operation {
        Operation::Data {
            inode,
            offset,
            bytes,
        } => format!("write {} octets at {offset} of file {inode}", bytes.len()),
        Operation::Answer { bytes } => format!("answer {:?}", String::from_utf8_lossy(bytes)),
        other => format!("{other:?}"),
    }
}
