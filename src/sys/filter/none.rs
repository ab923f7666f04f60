//! Processors that the filters are not written for: there are none to be had.

use super::sandbox::SandboxError;

/// A filter; there is none.
#[derive(Debug)]
pub(super) enum Program {}

impl Program {
    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub(super) fn install(&self) -> Result<(), SandboxError> {
        match *self {}
    }
}

fn unsupported() -> Result<Program, SandboxError> {
    Err(SandboxError::Unsupported(format!(
        "no seccomp filter: not written for {}",
        std::env::consts::ARCH
    )))
}

/// As where there are filters, and so the others.
///
/// # Errors
/// Always.
pub(super) fn converse() -> Result<Program, SandboxError> {
    unsupported()
}

pub(super) fn relay() -> Result<Program, SandboxError> {
    unsupported()
}

pub(super) fn account() -> Result<Program, SandboxError> {
    unsupported()
}
