//! A session on one host, spoken to by lines, with the view of the mailbox that a client must have.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// The processes of the sessions that live. Whoever signals one holds this, so that no pid is used again meanwhile.
pub(crate) type Living = Mutex<BTreeSet<u32>>;

/// The session is gone: killed, or it has said goodbye.
#[derive(Debug)]
pub(crate) struct Gone;

/// What a client knows of the selected folder: the UID of each message, as far as it was told.
#[derive(Debug, Default)]
struct View(Vec<Option<u32>>);

impl View {
    /// Takes an untagged line into account; what is wrong with it.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.strip_prefix("* ").unwrap_or_default().split(' ');
        let (Some(Ok(number)), Some(word)) = (words.next().map(str::parse), words.next()) else {
            return Ok(());
        };
        let number: usize = number;
        match word {
            "EXISTS" if number < self.0.len() => {
                Err(format!("{} messages became fewer", self.0.len()))
            }
            "EXISTS" => {
                self.0.resize(number, None);
                Ok(())
            }
            "EXPUNGE" | "FETCH" if number == 0 || number > self.0.len() => {
                Err(format!("there are {} messages", self.0.len()))
            }
            "EXPUNGE" => {
                self.0.remove(number - 1);
                Ok(())
            }
            "FETCH" => match number_after(line, "(UID ") {
                Some(uid) => self.is(number - 1, uid),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn is(&mut self, index: usize, uid: u32) -> Result<(), String> {
        if let Some(known) = self.0[index].filter(|known| *known != uid) {
            return Err(format!("it was UID {known}"));
        }
        self.0[index] = Some(uid);
        let before = self.0[..index].iter().rev().flatten().next();
        let after = self.0[index + 1..].iter().flatten().next();
        match before.is_none_or(|before| *before < uid) && after.is_none_or(|after| uid < *after) {
            true => Ok(()),
            false => Err("UIDs do not ascend".to_owned()),
        }
    }
}

/// One process of imapd.
pub(crate) struct Session<'a> {
    child: Child,
    living: &'a Living,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    tag: u32,
    view: View,
}

impl<'a> Session<'a> {
    pub(crate) fn start(root: &Path, living: &'a Living) -> Result<Self, Gone> {
        let mut child = Command::new(crash::imapd())
            .current_dir(root)
            .env_clear()
            .env("MAILDIR", root.join("Maildir"))
            .env("IMAP_KEYWORDS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        living.lock().unwrap().insert(child.id());
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut session = Self {
            child,
            living,
            input,
            output,
            tag: 0,
            view: View::default(),
        };
        session
            .line()
            .filter(|line| line.starts_with("* PREAUTH"))
            .map(|_| session)
            .ok_or(Gone)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let count = self.output.read_until(b'\n', &mut line).ok()?;
        (count > 0 && line.ends_with(b"\n"))
            .then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Sends a command; the untagged lines and the tagged one. Literals are lines like any other here.
    pub(crate) fn command(&mut self, text: &str) -> Result<(Vec<String>, String), Gone> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        if text.starts_with("SELECT ") {
            self.view = View::default();
        }
        let sent = self.input.write_all(format!("{tag}{text}\r\n").as_bytes());
        sent.and_then(|()| self.input.flush()).map_err(|_| Gone)?;
        let mut untagged = Vec::new();
        loop {
            let line = self.line().ok_or(Gone)?;
            if let Some(rest) = line.strip_prefix(&tag) {
                return Ok((untagged, rest.to_owned()));
            }
            if line.starts_with("* BYE") {
                return Err(Gone);
            }
            if let Err(wrong) = self.view.take(&line) {
                panic!("{text:?} was answered with {line:?}, but {wrong}");
            }
            untagged.push(line);
        }
    }

    /// UID and message number of the messages of the selected folder.
    pub(crate) fn contents(&mut self) -> Result<std::collections::BTreeMap<u32, u32>, Gone> {
        let (lines, _) = self.command("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")?;
        let mut found = std::collections::BTreeMap::new();
        let mut uid = None;
        for line in lines {
            if let Some(number) = number_after(&line, "(UID ") {
                uid = Some(number);
            }
            if let (Some(uid), Some(number)) = (uid, line.strip_prefix("Subject: ")) {
                found.insert(uid, number.parse().unwrap());
            }
        }
        Ok(found)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.living.lock().unwrap().remove(&self.child.id());
        // It may have ended by itself.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// The decimal number behind the first `word` in `text`.
pub(crate) fn number_after(text: &str, word: &str) -> Option<u32> {
    let rest = text.split_once(word)?.1;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}
