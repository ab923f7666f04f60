//! The session itself.

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::Path;

use courier::maildir::{
    Action, Change, Details, Error, Flags, Folder, FolderName, Maildir, Message, Mode, Options,
    Snapshot,
};

const LETTERS: [(Flags, char); 5] = [
    (Flags::DRAFT, 'D'),
    (Flags::FLAGGED, 'F'),
    (Flags::ANSWERED, 'R'),
    (Flags::SEEN, 'S'),
    (Flags::DELETED, 'T'),
];

/// Serves one client until its input ends.
///
/// # Errors
/// Input or output that fails, a maildir that cannot be opened. What a command cannot do is its answer.
pub fn serve(maildir: &Path, input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let maildir = Maildir::open(maildir, Options::from_environment())
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut open: Option<(Folder, Snapshot)> = None;
    for line in input.lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match (words.as_slice(), &mut open) {
            (["open", name], _) => select(&maildir, name).map(|(folder, view)| {
                let answer = state(&view);
                open = Some((folder, view));
                answer
            }),
            (words, Some((folder, view))) => command(folder, view, words),
            _ => Err("no folder is open".to_owned()),
        };
        match answer {
            Ok(answer) => writeln!(output, "ok {answer}")?,
            Err(problem) => writeln!(output, "no {problem}")?,
        }
        output.flush()?;
    }
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "made for map_err, which gives it away"
)]
fn failed(error: Error) -> String {
    error.to_string().replace('\n', " ")
}

fn select(maildir: &Maildir, name: &str) -> Result<(Folder, Snapshot), String> {
    let name = match name {
        "INBOX" => FolderName::inbox(),
        name => FolderName::new(name.as_bytes()).map_err(|_| "bad name")?,
    };
    let folder = maildir.folder(&name).map_err(failed)?;
    let mut view = folder.scan(Mode::ReadWrite).map_err(failed)?;
    folder.track(&mut view).map_err(failed)?;
    Ok((folder, view))
}

fn command(folder: &Folder, view: &mut Snapshot, words: &[&str]) -> Result<String, String> {
    match words {
        ["look"] => {
            folder.rescan(view).map_err(failed)?;
            Ok(state(view))
        }
        ["store", index, letters] => store(folder, view, index, letters, Vec::new()),
        ["store", index, letters, keyword] => {
            let keyword = keyword.as_bytes().to_vec();
            store(folder, view, index, letters, vec![keyword])
        }
        ["expunge", index] => {
            store(folder, view, index, "T", Vec::new())?;
            let index = number(index)?;
            let index = usize::try_from(index).map_err(|_| "bad number")?;
            folder.expunge(view, &[index]).map_err(failed)?;
            folder.rescan(view).map_err(failed)?;
            Ok(state(view))
        }
        ["append"] => {
            let mut delivery = folder.deliver().map_err(failed)?;
            delivery.write_wire(b"Subject: x\r\n\r\n").map_err(failed)?;
            let message = delivery.finish(Details::default()).map_err(failed)?;
            folder.append(vec![message]).map_err(failed)?;
            folder.rescan(view).map_err(failed)?;
            Ok(state(view))
        }
        ["since", modseq] => {
            let changes = view.changes_since(number(modseq)?);
            let mut answer = head(view);
            for (first, last) in changes.vanished {
                // Writing to a String cannot fail.
                let _ = write!(answer, " -{first}:{last}");
            }
            for index in changes.changed {
                if let Some(message) = view.get(index) {
                    put(&mut answer, view, index, message);
                }
            }
            Ok(answer)
        }
        _ => Err("unknown".to_owned()),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| "bad number".to_owned())
}

fn store(
    folder: &Folder,
    view: &mut Snapshot,
    index: &str,
    letters: &str,
    keywords: Vec<Vec<u8>>,
) -> Result<String, String> {
    let index = usize::try_from(number(index)?).map_err(|_| "bad number")?;
    let mut flags = Flags::NONE;
    for (flag, letter) in LETTERS {
        if letters.contains(letter) {
            flags |= flag;
        }
    }
    let change = Change::new(Action::Replace, flags, keywords);
    folder.change(view, &[index], &change).map_err(failed)?;
    Ok(state(view))
}

/// HIGHESTMODSEQ (0 where it does not last), UIDVALIDITY and UIDNEXT.
fn head(view: &Snapshot) -> String {
    let highest = match view.has_lasting_modseqs() {
        true => view.highest_modseq(),
        false => 0,
    };
    format!("{highest} {} {}", view.uid_validity(), view.uid_next())
}

fn state(view: &Snapshot) -> String {
    let mut answer = head(view);
    for (index, message) in view.messages().iter().enumerate() {
        put(&mut answer, view, index, message);
    }
    answer
}

/// ` UID/MODSEQ/LETTERS/KEYWORDS`
fn put(answer: &mut String, view: &Snapshot, index: usize, message: &Message) {
    // Writing to a String cannot fail.
    let _ = write!(answer, " {}/{}/", message.uid(), view.modseq(index));
    let letters = LETTERS
        .iter()
        .filter(|(flag, _)| message.flags().contains(*flag));
    answer.extend(letters.map(|(_, letter)| *letter));
    answer.push('/');
    let mut keywords: Vec<String> = view
        .keywords(message)
        .map(|keyword| String::from_utf8_lossy(keyword).to_ascii_lowercase())
        .collect();
    keywords.sort();
    answer.push_str(&keywords.join(","));
}
