//! Modification sequences on two hosts: sessions on two mounts of one maildir change messages at random, some are
//! killed, the network loses replies and remembers what is out of date. The MODSEQ of a message grows with each of
//! its states, HIGHESTMODSEQ never falls, and whoever was told anything learns everything since.
//!
//! `SOAK_SECONDS` and `SOAK_SEED` as in `soak.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netfs::{Caching, Mount};
use tracker::{Answer, Client, Gone, Session, Told};

/// Sessions on each host.
const SESSIONS: u64 = 2;

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

struct World<'a> {
    program: PathBuf,
    hosts: [&'a Mount; 2],
    told: Mutex<Told>,
    commands: AtomicU64,
    end: Instant,
}

impl World<'_> {
    fn start(&self, host: &Path) -> Result<(Session, Option<Answer>), Gone> {
        let mut session = Session::start(&self.program, &host.join("Maildir")).map_err(|_| Gone)?;
        let answer = session.command("open INBOX")?;
        Ok((session, answer))
    }

    fn work(&self, host: usize, mut dice: Dice) -> Result<(), String> {
        while Instant::now() < self.end {
            let floor = self.told.lock().unwrap().highest();
            let Ok((mut session, Some(first))) = self.start(self.hosts[host].path()) else {
                continue;
            };
            self.told.lock().unwrap().tell(None, floor, &first)?;
            let mut last = first;
            for _ in 0..3 + dice.below(20) {
                self.commands.fetch_add(1, Ordering::Relaxed);
                let index = dice.below(last.messages.len().max(1));
                let full = last.messages.len() > 60;
                let command = match dice.below(9) {
                    0 | 1 if !full => "append".to_owned(),
                    0 | 1 => format!("expunge {index}"),
                    2 => format!("expunge {index}"),
                    3 | 4 => format!("store {index} {}", ["S", "F", "FS", "R"][dice.below(4)]),
                    5 => format!("store {index} S work"),
                    _ => "look".to_owned(),
                };
                match session.command(&command) {
                    Ok(Some(answer)) => {
                        let mut told = self.told.lock().unwrap();
                        told.tell(Some(&last), 0, &answer)?;
                        last = answer;
                    }
                    Ok(None) => {}
                    Err(Gone) => return Err(format!("{command}: the session is gone")),
                }
            }
            // Killed where it stands.
            if session.send("store 0 FRS later").is_ok() {
                std::thread::sleep(Duration::from_micros(300 * dice.below(20) as u64));
            }
        }
        Ok(())
    }
}

/// Both hosts look until they see the same and nothing is new.
fn rest(sessions: &mut [Session; 2]) -> Answer {
    let mut last = Answer::default();
    let end = Instant::now() + Duration::from_secs(60);
    let mut same = 0;
    while Instant::now() < end {
        let looks = sessions.each_mut();
        let [one, two] = looks.map(|session| session.command("look").unwrap().unwrap());
        same = if one == last && two == last {
            same + 1
        } else {
            0
        };
        if same == 3 {
            return last;
        }
        last = two;
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the hosts never agree");
}

/// One soak at a time: each is meant to have the processors for itself.
static ONE: Mutex<()> = Mutex::new(());

fn soak(caching: Caching, faults: impl Fn(&netfs::Faults)) {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let _alone = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let seconds = number("SOAK_SECONDS").unwrap_or(2);
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = number("SOAK_SEED").unwrap_or_else(now);
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two", "store/Maildir/tmp", "store/Maildir/new"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    let store = directory.path().join("store");
    std::fs::create_dir(store.join("Maildir/cur")).unwrap();
    let one = Mount::new(&store, &directory.path().join("one"), caching, seed).unwrap();
    let two = Mount::new(&store, &directory.path().join("two"), caching, seed + 1).unwrap();
    let world = World {
        program: tracker::program().unwrap(),
        hosts: [&one, &two],
        told: Mutex::default(),
        commands: AtomicU64::new(0),
        end: Instant::now() + Duration::from_secs(seconds),
    };
    faults(one.faults());
    faults(two.faults());
    std::thread::scope(|scope| {
        let workers = (0..SESSIONS * 2).map(|worker| {
            let world = &world;
            let host = usize::try_from(worker % 2).unwrap();
            let dice = Dice(seed.wrapping_mul(1000).wrapping_add(worker));
            scope.spawn(move || world.work(host, dice))
        });
        let workers: Vec<_> = workers.collect();
        for worker in workers {
            let worked = worker.join().unwrap();
            assert_eq!(worked, Ok(()), "seed {seed}");
        }
    });
    one.faults().clear();
    two.faults().clear();
    std::thread::sleep(caching.attributes.max(caching.listings));
    let told = world.told.lock().unwrap();
    let mut sessions = world.hosts.map(|host| world.start(host.path()).unwrap().0);
    let now = rest(&mut sessions);
    assert!(now.highest >= told.highest(), "seed {seed}");
    let present = Client::of(&now);
    for session in &mut sessions {
        for client in &told.clients {
            let mut client = client.clone();
            let since = format!("since {}", client.modseq);
            client.learn(&session.command(&since).unwrap().unwrap());
            assert_eq!(client, present, "seed {seed}");
        }
    }
    let mut out = std::io::stdout().lock();
    let commands = world.commands.load(Ordering::Relaxed);
    let views = told.clients.len();
    writeln!(out, "{commands} commands, {views} views told, seed {seed}").unwrap();
    assert!(views > 10, "nothing happened");
}

#[test]
fn without_caches() {
    soak(Caching::default(), |_| {});
}

#[test]
fn with_old_listings() {
    let caching = Caching {
        attributes: Duration::from_secs(1),
        listings: Duration::from_secs(1),
    };
    soak(caching, |_| {});
}

#[test]
fn on_a_bad_network() {
    let caching = Caching {
        attributes: Duration::from_millis(300),
        listings: Duration::from_millis(300),
    };
    soak(caching, |faults| {
        faults.lost_reply.store(20, Ordering::Relaxed);
        faults.stale.store(3, Ordering::Relaxed);
        faults.io.store(3, Ordering::Relaxed);
        faults.full_at_write.store(3, Ordering::Relaxed);
        faults.full_at_close.store(3, Ordering::Relaxed);
    });
}
