//! Sessions in processes of their own and other software on one maildir, some of them killed where they stand: whatever
//! a client was told at any time, it learns everything since from any later session.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracker::{Answer, Client, Gone, Session, Told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tracker");

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }
}

fn maildir() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    (directory, root)
}

fn start(root: &Path) -> (Session, Answer) {
    let mut session = Session::start(Path::new(PROGRAM), root).unwrap();
    let answer = session.command("open INBOX").unwrap().unwrap();
    (session, answer)
}

/// One client after another until the time is over.
fn work(root: &Path, told: &Mutex<Told>, end: Instant, mut dice: Dice) {
    while Instant::now() < end {
        let floor = told.lock().unwrap().highest();
        let (mut session, first) = start(root);
        told.lock().unwrap().tell(None, floor, &first).unwrap();
        let mut last = first;
        for _ in 0..5 + dice.below(30) {
            let count = last.messages.len().max(1);
            let index = dice.below(count);
            let command = match dice.below(8) {
                0 if count < 100 => "append".to_owned(),
                0 => format!("expunge {index}"),
                1 => format!("expunge {index}"),
                2 | 3 => format!("store {index} {}", ["S", "F", "FS", "R"][dice.below(4)]),
                4 => format!("store {index} S work"),
                _ => "look".to_owned(),
            };
            let answer = match session.command(&command) {
                Ok(Some(answer)) => answer,
                Ok(None) => continue,
                Err(Gone) => panic!("{command}: the session is gone"),
            };
            let mut told = told.lock().unwrap();
            told.tell(Some(&last), 0, &answer).unwrap();
            last = answer;
        }
        // Killed where it stands, while others wait for what it holds, perhaps.
        session.send("store 0 FRS later").unwrap();
        std::thread::sleep(Duration::from_micros(100 * dice.below(20) as u64));
    }
}

/// Software that knows nothing of us.
fn meddle(root: &Path, end: Instant, mut dice: Dice) {
    let cur = root.join("cur");
    let mut serial = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(3));
        serial += 1;
        let names: Vec<String> = fs::read_dir(&cur)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let name = names.get(dice.below(names.len().max(1)));
        // Somebody else may have been faster with each of these.
        match (dice.below(6), name) {
            (0, _) => fs::write(root.join(format!("new/{serial}.z")), "x\n").unwrap(),
            (1, Some(name)) => fs::remove_file(cur.join(name)).unwrap_or_default(),
            (2, Some(name)) => {
                let keywords = root.join("courierimapkeywords");
                fs::create_dir_all(&keywords).unwrap();
                let base = name.split(':').next().unwrap();
                fs::write(keywords.join(base), "urgent\n").unwrap();
            }
            (_, Some(name)) => {
                let base = name.split(':').next().unwrap();
                let flags = ["", "S", "T", "FR"][dice.below(4)];
                fs::rename(cur.join(name), cur.join(format!("{base}:2,{flags}")))
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
}

/// Looks until nothing is new.
fn rest(session: &mut Session) -> Answer {
    let mut last = Answer::default();
    for _ in 0..200 {
        let answer = session.command("look").unwrap().unwrap();
        if answer == last {
            return answer;
        }
        last = answer;
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never comes to rest");
}

#[test]
fn whoever_was_told_anything_learns_everything_since() {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds = seconds.and_then(|value| value.parse().ok()).unwrap_or(2);
    let (_directory, root) = maildir();
    let told = Mutex::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (root, told) = (&root, &told);
            scope.spawn(move || work(root, told, end, Dice(worker)));
        }
        scope.spawn(|| meddle(&root, end, Dice(77)));
    });
    let told = told.into_inner().unwrap();
    assert!(told.clients.len() > 20, "nothing happened");
    let (mut session, _) = start(&root);
    let now = rest(&mut session);
    assert!(now.highest >= told.highest());
    let present = Client::of(&now);
    for client in told.clients {
        let changes = session
            .command(&format!("since {}", client.modseq))
            .unwrap()
            .unwrap();
        let mut client = client;
        client.learn(&changes);
        assert_eq!(client, present);
    }
    let log = fs::metadata(root.join("courierimapindex.log"))
        .unwrap()
        .len();
    assert!(
        log < 64 + 32 * (4096 + 4096 + 1024 + 4 * 1000),
        "{log} octets"
    );
}

#[test]
fn a_stopped_session_holds_nobody_up() {
    use nix::sys::signal::{Signal, kill};
    let (_directory, root) = maildir();
    let (mut one, _) = start(&root);
    one.command("append").unwrap().unwrap();
    let (mut two, _) = start(&root);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(one.pid()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let mut told = two.command("look").unwrap().unwrap();
    for letters in ["S", "F", "R"] {
        let answer = two.command(&format!("store 0 {letters}")).unwrap().unwrap();
        assert!(answer.highest > told.highest);
        told = answer;
    }
    kill(pid, Signal::SIGCONT).unwrap();
    let answer = one.command("store 0 D").unwrap().unwrap();
    assert!(answer.highest > told.highest);
    assert_eq!(rest(&mut two).messages, answer.messages);
}
