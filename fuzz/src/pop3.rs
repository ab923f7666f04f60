//! Whole POP3 sessions, held against the model that the tests of pop3d have.

#[path = "../../pop3d/tests/checked_session/mod.rs"]
mod checked_session;

use std::path::Path;

/// Every line must get its one reply, every message arrive whole, and nothing go but what was marked when QUIT came.
pub fn pop3_session(input: &[u8]) {
    // Memory, where there is some: every session makes a maildir and writes its list.
    let memory = Path::new("/dev/shm");
    let place = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let Ok(place) = place else { return };
    let outcome = checked_session::check(place.path(), input);
    assert!(outcome.accepted <= input.len());
    assert!(!outcome.quit || input.contains(&b'\n'));
}
