//! Modification sequences as clients see them, without a protocol: the program `tracker` is a session on the store that
//! takes commands by lines, [`Session`] runs one, and [`Told`] knows what must hold of everything that any session
//! has said.
//!
//! | Line | What |
//! |---|---|
//! | `open FOLDER` | SELECT |
//! | `look` | NOOP |
//! | `store INDEX LETTERS [KEYWORD]` | exactly these flags and keywords |
//! | `expunge INDEX` | |
//! | `append` | |
//! | `since MODSEQ` | what QRESYNC would tell |
//!
//! Every answer is one line: `ok`, HIGHESTMODSEQ, UIDVALIDITY, UIDNEXT, then what there is; or `no` and why.

mod serve;
mod session;
mod told;

pub use serve::serve;
pub use session::{Answer, Gone, Session};
pub use told::{Client, Told};

use std::path::PathBuf;

/// The program `tracker`: in `COURIER_BINDIR`, else where cargo puts programs.
///
/// # Errors
/// What to do about it if it is not there.
pub fn program() -> Result<PathBuf, String> {
    let directory = match std::env::var_os("COURIER_BINDIR").filter(|value| !value.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => {
            let test = std::env::current_exe().map_err(|error| error.to_string())?;
            let directory = test.parent().and_then(|deps| deps.parent());
            directory.ok_or("a test without a directory")?.to_path_buf()
        }
    };
    let program = directory.join("tracker");
    match program.exists() {
        true => Ok(program),
        false => Err(format!(
            "{} is not built: run make check, or cargo build -p tracker first",
            program.display()
        )),
    }
}
