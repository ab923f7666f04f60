//! Two hosts, one account, many sessions: random IMAP commands on two mounts of one maildir while the network
//! loses replies, answers late and fails, and sessions are killed. Afterwards the account must be explainable: no
//! acknowledged message lost, no UID given twice, no UIDVALIDITY changed, both hosts seeing the same.
//!
//! A few seconds of each in the ordinary test run; `SOAK_SECONDS=3600 cargo test -p netfs --test soak` for a long one.
//! `SOAK_SEED` repeats a run as far as the scheduler allows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netfs::{Caching, Mount};

/// Sessions on each host.
const SESSIONS: usize = 3;
const FOLDERS: [&str; 2] = ["INBOX", "INBOX.Other"];

fn imapd() -> PathBuf {
    let directory = std::env::var_os("COURIER_BINDIR")
        .filter(|value| !value.is_empty())
        .map_or_else(
            || {
                let test = std::env::current_exe().unwrap();
                test.parent().unwrap().parent().unwrap().to_owned()
            },
            PathBuf::from,
        );
    let imapd = directory.join("imapd");
    assert!(
        imapd.exists(),
        "{} is not built: run make check, or cargo build first",
        imapd.display()
    );
    imapd
}

/// A session on one host, spoken to by lines.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    tag: u32,
}

/// The session is gone: killed, or it has said goodbye.
#[derive(Debug)]
struct Gone;

impl Session {
    fn start(root: &Path) -> Result<Self, Gone> {
        let mut child = Command::new(imapd())
            .current_dir(root)
            .env_clear()
            .env("MAILDIR", root.join("Maildir"))
            .env("IMAP_KEYWORDS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut session = Self {
            child,
            input,
            output,
            tag: 0,
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
        (count > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Sends a command; the untagged lines and the tagged one. Literals are lines like any other here.
    fn command(&mut self, text: &str) -> Result<(Vec<String>, String), Gone> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
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
            untagged.push(line);
        }
    }

    /// UID to message number of the selected folder.
    fn contents(&mut self) -> Result<BTreeMap<u32, u32>, Gone> {
        let (lines, _) = self.command("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")?;
        let (mut found, mut uid) = (BTreeMap::new(), None);
        for line in lines {
            if let Some((_, rest)) = line.split_once("(UID ") {
                uid = rest
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse().ok());
            }
            if let (Some(uid), Some(number)) = (uid, line.strip_prefix("Subject: ")) {
                found.insert(uid, number.parse().unwrap());
            }
        }
        Ok(found)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// What the clients know together.
#[derive(Default)]
struct Model {
    /// Messages whose APPEND was answered with OK: number, folder, UID.
    appended: BTreeMap<u32, (usize, u32)>,
    /// Messages that some session may have removed or moved, whether or not it was told so.
    touched: Vec<u32>,
    validity: BTreeMap<usize, u32>,
    /// What a UID of a folder was seen to be.
    seen: BTreeMap<(usize, u32), u32>,
}

impl Model {
    fn validity(&mut self, folder: usize, value: u32) {
        let known = *self.validity.entry(folder).or_insert(value);
        assert_eq!(
            known, value,
            "UIDVALIDITY of {} has changed",
            FOLDERS[folder]
        );
    }

    fn saw(&mut self, folder: usize, uid: u32, number: u32) {
        let known = *self.seen.entry((folder, uid)).or_insert(number);
        assert_eq!(
            known, number,
            "UID {uid} of {} was message {known} and is {number}",
            FOLDERS[folder]
        );
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct World<'a> {
    model: Mutex<Model>,
    next: AtomicU32,
    commands: AtomicU64,
    end: Instant,
    hosts: [&'a Mount; 2],
}

fn work(world: &World<'_>, host: usize, mut dice: Dice) {
    while Instant::now() < world.end {
        let Ok(mut session) = Session::start(world.hosts[host].path()) else {
            continue;
        };
        let until = 5 + dice.below(40);
        let folder = usize::try_from(dice.below(2)).unwrap();
        if one_session(world, &mut session, folder, until, &mut dice).is_ok() && dice.below(3) > 0 {
            // The others are killed where they stand.
            let _gone = session.command("LOGOUT");
        }
    }
}

fn number_after(text: &str, word: &str) -> Option<u32> {
    let rest = text.split_once(word)?.1;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn one_session(
    world: &World<'_>,
    session: &mut Session,
    folder: usize,
    commands: u64,
    dice: &mut Dice,
) -> Result<(), Gone> {
    let name = FOLDERS[folder];
    let (lines, tagged) = session.command(&format!("SELECT {name}"))?;
    if !tagged.starts_with("OK") {
        return Ok(());
    }
    if let Some(validity) = lines
        .iter()
        .find_map(|line| number_after(line, "[UIDVALIDITY "))
    {
        world.model.lock().unwrap().validity(folder, validity);
    }
    for _ in 0..commands {
        world.commands.fetch_add(1, Ordering::Relaxed);
        match dice.below(10) {
            0..=3 => {
                let number = world.next.fetch_add(1, Ordering::Relaxed);
                let text = format!("Subject: {number}\r\n\r\nbody\r\n");
                let (_, tagged) =
                    session.command(&format!("APPEND {name} {{{}+}}\r\n{text}", text.len()))?;
                if let Some((_, code)) = tagged.split_once("[APPENDUID ") {
                    let validity: u32 = code.split(' ').next().unwrap().parse().unwrap();
                    let uid = number_after(code, " ").unwrap();
                    let mut model = world.model.lock().unwrap();
                    model.validity(folder, validity);
                    model.saw(folder, uid, number);
                    model.appended.insert(number, (folder, uid));
                }
            }
            4 => {
                let Some((uid, number)) = pick(&session.contents()?, dice) else {
                    continue;
                };
                world.model.lock().unwrap().saw(folder, uid, number);
                world.model.lock().unwrap().touched.push(number);
                session.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
                session.command(&format!("UID EXPUNGE {uid}"))?;
            }
            5 => {
                let Some((uid, number)) = pick(&session.contents()?, dice) else {
                    continue;
                };
                world.model.lock().unwrap().touched.push(number);
                session.command(&format!("UID MOVE {uid} {}", FOLDERS[1 - folder]))?;
            }
            6 => {
                let contents = session.contents()?;
                let mut model = world.model.lock().unwrap();
                for (uid, number) in contents {
                    model.saw(folder, uid, number);
                }
            }
            7 => {
                let Some((uid, _)) = pick(&session.contents()?, dice) else {
                    continue;
                };
                let sign = if dice.below(2) == 0 { '+' } else { '-' };
                session.command(&format!("UID STORE {uid} {sign}FLAGS (\\Seen \\Flagged)"))?;
            }
            _ => {
                session.command("NOOP")?;
            }
        }
    }
    Ok(())
}

fn pick(contents: &BTreeMap<u32, u32>, dice: &mut Dice) -> Option<(u32, u32)> {
    if contents.is_empty() {
        return None;
    }
    let index = usize::try_from(dice.below(contents.len() as u64)).unwrap();
    contents
        .iter()
        .nth(index)
        .map(|(&uid, &number)| (uid, number))
}

/// Every message of a folder with its flags, as a new session on a host shows it.
fn final_view(host: &Mount, folder: usize) -> (BTreeMap<u32, u32>, Vec<String>) {
    let mut session = Session::start(host.path()).unwrap();
    let (_, tagged) = session
        .command(&format!("SELECT {}", FOLDERS[folder]))
        .unwrap();
    assert!(tagged.starts_with("OK"), "{tagged}");
    let contents = session.contents().unwrap();
    let (mut flags, _) = session.command("UID FETCH 1:* (UID FLAGS)").unwrap();
    for line in &mut flags {
        *line = line.replace("\\Recent", "");
    }
    (contents, flags)
}

/// One soak at a time: each is meant to have the processors for itself.
static ONE: Mutex<()> = Mutex::new(());

fn soak(seconds: u64, seed: u64, caching: Caching, faults: impl Fn(&netfs::Faults)) {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let _alone = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    for name in ["store", "one", "two"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let store = directory.path().join("store");
    for folder in ["Maildir", "Maildir/.Other"] {
        for part in ["", "tmp", "new", "cur"] {
            let path = store.join(folder).join(part);
            std::fs::create_dir_all(path).unwrap();
        }
    }
    std::fs::write(store.join("Maildir/.Other/maildirfolder"), "").unwrap();
    let one = Mount::new(&store, &directory.path().join("one"), caching, seed).unwrap();
    let two = Mount::new(&store, &directory.path().join("two"), caching, seed + 1).unwrap();
    faults(one.faults());
    faults(two.faults());
    let world = World {
        model: Mutex::default(),
        next: AtomicU32::new(1),
        commands: AtomicU64::new(0),
        end: Instant::now() + Duration::from_secs(seconds),
        hosts: [&one, &two],
    };
    std::thread::scope(|scope| {
        for worker in 0..SESSIONS * 2 {
            let world = &world;
            let dice = Dice(seed.wrapping_mul(1000).wrapping_add(worker as u64));
            scope.spawn(move || work(world, worker % 2, dice));
        }
    });
    one.faults().clear();
    two.faults().clear();
    std::thread::sleep(caching.attributes.max(caching.listings));
    let model = world.model.into_inner().unwrap();
    for (folder, name) in FOLDERS.into_iter().enumerate() {
        let (first, second) = (final_view(&one, folder), final_view(&two, folder));
        // Twice: the first look may still have moved files from new to cur.
        let (first, second) = (
            final_view(&one, folder),
            if first == second {
                second
            } else {
                final_view(&two, folder)
            },
        );
        assert_eq!(
            first, second,
            "the hosts disagree about {name} (seed {seed})"
        );
        for (uid, number) in &first.0 {
            let known = model.seen.get(&(folder, *uid));
            assert!(
                known.is_none_or(|known| known == number),
                "UID {uid} of {name} changed (seed {seed})"
            );
        }
        for (number, (_, uid)) in model
            .appended
            .iter()
            .filter(|(_, (home, _))| *home == folder)
        {
            if !model.touched.contains(number) {
                assert_eq!(
                    first.0.get(uid),
                    Some(number),
                    "message {number} of {name} is lost (seed {seed})"
                );
            }
        }
    }
    let mut out = std::io::stdout().lock();
    let commands = world.commands.into_inner();
    writeln!(
        out,
        "{commands} commands, {} messages acknowledged, seed {seed}",
        model.appended.len()
    )
    .unwrap();
    assert!(model.appended.len() > 10, "nothing happened");
}

fn seconds(short: u64) -> u64 {
    std::env::var("SOAK_SECONDS")
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(short)
}

fn seed() -> u64 {
    std::env::var("SOAK_SEED")
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs())
}

#[test]
fn two_hosts_without_caches() {
    soak(seconds(3), seed(), Caching::default(), |_| {});
}

#[test]
fn two_hosts_that_believe_old_listings() {
    let caching = Caching {
        attributes: Duration::from_secs(1),
        listings: Duration::from_secs(1),
    };
    soak(seconds(3), seed(), caching, |_| {});
}

#[test]
fn two_hosts_on_a_bad_network() {
    let caching = Caching {
        attributes: Duration::from_millis(300),
        listings: Duration::from_millis(300),
    };
    soak(seconds(3), seed(), caching, |faults| {
        faults.lost_reply.store(20, Ordering::Relaxed);
        faults.stale.store(3, Ordering::Relaxed);
        faults.io.store(3, Ordering::Relaxed);
        faults.full_at_write.store(3, Ordering::Relaxed);
        faults.full_at_close.store(3, Ordering::Relaxed);
    });
}
