//! Two hosts, one account, many sessions: random IMAP commands on two mounts of one maildir while the network
//! loses replies, answers late and fails, and sessions are killed, and stopped for longer than their locks live. Each
//! session's view must be explainable as it goes along, and so must the account in the end: no acknowledged message or
//! keyword lost, nothing removed come back, no UID given twice, no UIDVALIDITY changed, both hosts seeing the same.
//!
//! A few seconds of each in the ordinary test run; `make soak` for an hour of it. `SOAK_SEED` repeats a run as far as the
//! scheduler allows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod model;
mod session;
mod torment;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use model::Model;
use netfs::{Caching, Mount};
use session::{Gone, Living, Session, number_after};
use torment::{Torments, torment};

/// Sessions on each host.
const SESSIONS: usize = 3;
const FOLDERS: [&str; 2] = ["INBOX", "INBOX.Other"];
/// Messages in a folder above which old ones are removed.
const MANY: usize = 150;
/// How often a long run says how far it is.
const PROGRESS: Duration = Duration::from_secs(20);

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

struct World<'a> {
    model: Mutex<Model>,
    next: AtomicU32,
    commands: AtomicU64,
    end: Instant,
    /// Something is wrong already.
    failed: AtomicBool,
    /// The account's home as each host has it.
    hosts: [&'a Path; 2],
    living: Living,
}

impl World<'_> {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end || self.failed.load(Ordering::Relaxed)
    }
}

fn work(world: &World<'_>, host: usize, mut dice: Dice) {
    while !world.is_over() {
        let Ok(mut session) = Session::start(world.hosts[host], &world.living) else {
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

fn one_session(
    world: &World<'_>,
    session: &mut Session<'_>,
    folder: usize,
    commands: u64,
    dice: &mut Dice,
) -> Result<(), Gone> {
    let (lines, tagged) = session.command(&format!("SELECT {}", FOLDERS[folder]))?;
    if !tagged.starts_with("OK") {
        return Ok(());
    }
    if let Some(validity) = lines
        .iter()
        .find_map(|line| number_after(line, "[UIDVALIDITY "))
    {
        world.model().validity(folder, validity);
    }
    for _ in 0..commands {
        if world.is_over() {
            break;
        }
        world.commands.fetch_add(1, Ordering::Relaxed);
        match dice.below(12) {
            0..=3 => append(world, session, folder)?,
            4 | 5 => remove(world, session, folder, dice)?,
            6 => transfer(world, session, folder, "MOVE", dice)?,
            7 => transfer(world, session, folder, "COPY", dice)?,
            8 => {
                let contents = session.contents()?;
                let mut model = world.model();
                for (uid, number) in contents {
                    model.saw((folder, uid), number);
                }
            }
            9 => {
                let Some((uid, _)) = pick(&session.contents()?, dice) else {
                    continue;
                };
                let sign = if dice.below(2) == 0 { '+' } else { '-' };
                session.command(&format!("UID STORE {uid} {sign}FLAGS (\\Seen \\Flagged)"))?;
            }
            10 => {
                let Some((uid, number)) = pick(&session.contents()?, dice) else {
                    continue;
                };
                let keyword = format!("k{}", world.next.fetch_add(1, Ordering::Relaxed));
                let (lines, tagged) =
                    session.command(&format!("UID STORE {uid} +FLAGS ({keyword})"))?;
                // Without the FETCH the message was gone.
                let shown = lines.iter().any(|line| line.contains(&keyword));
                if tagged.starts_with("OK") && shown {
                    let mut model = world.model();
                    model.saw((folder, uid), number);
                    model.keyword((folder, uid), keyword);
                }
            }
            _ => {
                session.command("NOOP")?;
            }
        }
    }
    Ok(())
}

fn append(world: &World<'_>, session: &mut Session<'_>, folder: usize) -> Result<(), Gone> {
    let number = world.next.fetch_add(1, Ordering::Relaxed);
    world.model().arrival(folder, number);
    let text = format!("Subject: {number}\r\n\r\nbody\r\n");
    let command = format!("APPEND {} {{{}+}}\r\n{text}", FOLDERS[folder], text.len());
    let (_, tagged) = session.command(&command)?;
    if let Some((_, code)) = tagged.split_once("[APPENDUID ") {
        let validity: u32 = code.split(' ').next().unwrap().parse().unwrap();
        let uid = number_after(code, " ").unwrap();
        let mut model = world.model();
        model.validity(folder, validity);
        model.filed((folder, uid), number);
    }
    Ok(())
}

fn remove(
    world: &World<'_>,
    session: &mut Session<'_>,
    folder: usize,
    dice: &mut Dice,
) -> Result<(), Gone> {
    let contents = session.contents()?;
    let chosen: BTreeMap<u32, u32> = match contents.len() > MANY {
        true => contents.into_iter().take(MANY / 4).collect(),
        false => pick(&contents, dice).into_iter().collect(),
    };
    let (Some((first, _)), Some((last, _))) = (chosen.first_key_value(), chosen.last_key_value())
    else {
        return Ok(());
    };
    for (uid, number) in &chosen {
        let mut model = world.model();
        model.saw((folder, *uid), *number);
        model.attempt(folder, *number);
    }
    let (_, stored) = session.command(&format!(
        "UID STORE {first}:{last} +FLAGS.SILENT (\\Deleted)"
    ))?;
    let (lines, tagged) = session.command(&format!("UID EXPUNGE {first}:{last}"))?;
    let gone = lines.iter().filter(|line| line.ends_with(" EXPUNGE"));
    if stored.starts_with("OK") && tagged.starts_with("OK") && gone.count() >= chosen.len() {
        let left = session.contents()?;
        let mut model = world.model();
        for (uid, number) in chosen {
            if !left.contains_key(&uid) {
                model.removed(folder, number);
            }
        }
    }
    Ok(())
}

/// COPY or MOVE of one message to the other folder.
fn transfer(
    world: &World<'_>,
    session: &mut Session<'_>,
    folder: usize,
    command: &str,
    dice: &mut Dice,
) -> Result<(), Gone> {
    let Some((uid, number)) = pick(&session.contents()?, dice) else {
        return Ok(());
    };
    let moves = command == "MOVE";
    let to = 1 - folder;
    {
        let mut model = world.model();
        model.saw((folder, uid), number);
        model.arrival(to, number);
        if moves {
            model.attempt(folder, number);
        }
    }
    let (lines, tagged) = session.command(&format!("UID {command} {uid} {}", FOLDERS[to]))?;
    let code = lines
        .iter()
        .chain([&tagged])
        .find_map(|line| line.split_once("[COPYUID "));
    if let (Some((_, code)), true) = (code, tagged.starts_with("OK")) {
        let numbers: Vec<u32> = code
            .split(|c: char| !c.is_ascii_digit())
            .take(3)
            .map(|digits| digits.parse().unwrap())
            .collect();
        let mut model = world.model();
        model.validity(to, numbers[0]);
        assert_eq!(numbers[1], uid, "{tagged}");
        match moves {
            true => model.moved(folder, number, (to, numbers[2])),
            false => model.filed((to, numbers[2]), number),
        }
    }
    Ok(())
}

fn pick(contents: &BTreeMap<u32, u32>, dice: &mut Dice) -> Option<(u32, u32)> {
    let index = usize::try_from(dice.below(contents.len() as u64)).unwrap();
    contents
        .iter()
        .nth(index)
        .map(|(&uid, &number)| (uid, number))
}

/// UID to number and flags.
type End = BTreeMap<u32, (u32, BTreeSet<String>)>;

/// Every message of a folder with its flags, as a new session on a host shows it.
fn final_view(host: &Path, folder: usize) -> End {
    let living = Living::default();
    let mut session = Session::start(host, &living).unwrap();
    let (_, tagged) = session
        .command(&format!("SELECT {}", FOLDERS[folder]))
        .unwrap();
    assert!(tagged.starts_with("OK"), "{tagged}");
    let contents = session.contents().unwrap();
    let (lines, _) = session.command("UID FETCH 1:* (UID FLAGS)").unwrap();
    let flags: BTreeMap<u32, BTreeSet<String>> = lines
        .iter()
        .filter_map(|line| {
            let flags = line.split_once("FLAGS (")?.1.split(')').next()?;
            let flags = flags.split(' ').filter(|flag| *flag != "\\Recent");
            let flags = flags.filter(|flag| !flag.is_empty()).map(str::to_owned);
            Some((number_after(line, "(UID ")?, flags.collect()))
        })
        .collect();
    contents
        .into_iter()
        .map(|(uid, number)| (uid, (number, flags.get(&uid).cloned().unwrap_or_default())))
        .collect()
}

/// One soak at a time: each is meant to have the processors for itself.
static ONE: Mutex<()> = Mutex::new(());

fn say(text: std::fmt::Arguments<'_>) {
    // Past the test harness, which would keep it until the end. Nobody may be listening.
    let _ = writeln!(std::io::stderr().lock(), "soak: {text}");
}

fn prepare(directory: &Path) {
    for name in ["store", "one", "two"] {
        std::fs::create_dir(directory.join(name)).unwrap();
    }
    for folder in ["Maildir", "Maildir/.Other"] {
        for part in ["", "tmp", "new", "cur"] {
            let path = directory.join("store").join(folder).join(part);
            std::fs::create_dir_all(path).unwrap();
        }
    }
    std::fs::write(directory.join("store/Maildir/.Other/maildirfolder"), "").unwrap();
}

/// On two mounts, if that is possible here.
fn soak(name: &str, seconds: u64, caching: Caching, faults: impl Fn(&netfs::Faults)) {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let _alone = alone();
    let seed = seed();
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    let store = directory.path().join("store");
    let one = Mount::new(&store, &directory.path().join("one"), caching, seed).unwrap();
    let two = Mount::new(&store, &directory.path().join("two"), caching, seed + 1).unwrap();
    faults(one.faults());
    faults(two.faults());
    run(
        name,
        seconds,
        seed,
        &store,
        [one.path(), two.path()],
        || {
            one.faults().clear();
            two.faults().clear();
            // Past what the hosts believe.
            std::thread::sleep(caching.attributes.max(caching.listings));
        },
    );
}

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Leaves what is there when the test has failed, for whoever looks for the reason.
struct Remains<'a>(&'a Path);

impl Drop for Remains<'_> {
    fn drop(&mut self) {
        let left = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
        if std::thread::panicking() && std::fs::create_dir(&left).is_ok() {
            let copied = std::process::Command::new("cp")
                .arg("-a")
                .args([self.0, &left])
                .status();
            if copied.is_ok_and(|status| status.success()) {
                say(format_args!("the account is in {}", left.display()));
            }
        }
    }
}

/// `calm` ends the misbehaviour before the end is looked at.
fn run(name: &str, seconds: u64, seed: u64, store: &Path, hosts: [&Path; 2], calm: impl Fn()) {
    let _remains = Remains(store);
    let start = Instant::now();
    let world = World {
        model: Mutex::default(),
        next: AtomicU32::new(1),
        commands: AtomicU64::new(0),
        end: start + Duration::from_secs(seconds),
        failed: AtomicBool::new(false),
        hosts,
        living: Living::default(),
    };
    let torments = Torments::default();
    let report = |world: &World<'_>| {
        say(format_args!(
            "{name}, seed {seed}: {} s of {seconds}, {} commands, {} promises, {} sessions killed, {} stopped, {} \
             of them past the lease of a lock",
            start.elapsed().as_secs(),
            world.commands.load(Ordering::Relaxed),
            world.model().promises(),
            torments.killed.load(Ordering::Relaxed),
            torments.stopped.load(Ordering::Relaxed),
            torments.past_the_lease.load(Ordering::Relaxed),
        ));
    };
    std::thread::scope(|scope| {
        let dice = |worker: u64| Dice(seed.wrapping_mul(1000).wrapping_add(worker));
        let workers: Vec<_> = (0..SESSIONS * 2)
            .map(|worker| {
                let world = &world;
                let dice = dice(worker as u64);
                scope.spawn(move || work(world, worker % 2, dice))
            })
            .collect();
        let dice = dice(999);
        let (world, torments) = (&world, &torments);
        scope.spawn(move || torment(store, &world.living, torments, || world.is_over(), dice));
        let mut said = Instant::now();
        while !world.is_over() {
            std::thread::sleep(Duration::from_millis(100));
            if workers.iter().any(|worker| worker.is_finished()) && !world.is_over() {
                world.failed.store(true, Ordering::Relaxed);
            }
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                report(world);
            }
        }
    });
    calm();
    if start.elapsed() >= PROGRESS {
        report(&world);
    }
    let mut ends = Vec::new();
    for (folder, name) in FOLDERS.into_iter().enumerate() {
        let (first, second) = (final_view(hosts[0], folder), final_view(hosts[1], folder));
        // Twice: the first look may still have moved files from new to cur.
        let (first, second) = match first == second {
            true => (first, second),
            false => (final_view(hosts[0], folder), final_view(hosts[1], folder)),
        };
        assert_eq!(
            first, second,
            "the hosts disagree about {name} (seed {seed})"
        );
        ends.push(first);
    }
    let model = world.model.into_inner().unwrap();
    model.check(&ends);
    assert!(model.promises() > 10, "nothing happened");
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

/// Where the store takes its short cuts: additions in place, inotify, stamps that are believed sooner.
#[test]
fn one_host_and_its_own_disk() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    let store = directory.path().join("store");
    run(
        "own disk",
        seconds(3),
        seed(),
        &store,
        [&store, &store],
        || {},
    );
}

#[test]
fn two_hosts_without_caches() {
    soak("no caches", seconds(3), Caching::default(), |_| {});
}

#[test]
fn two_hosts_that_believe_old_listings() {
    let caching = Caching {
        attributes: Duration::from_secs(1),
        listings: Duration::from_secs(1),
    };
    soak("old listings", seconds(3), caching, |_| {});
}

#[test]
fn two_hosts_on_a_bad_network() {
    let caching = Caching {
        attributes: Duration::from_millis(300),
        listings: Duration::from_millis(300),
    };
    soak("bad network", seconds(3), caching, |faults| {
        faults.lost_reply.store(20, Ordering::Relaxed);
        faults.stale.store(3, Ordering::Relaxed);
        faults.io.store(3, Ordering::Relaxed);
        faults.full_at_write.store(3, Ordering::Relaxed);
        faults.full_at_close.store(3, Ordering::Relaxed);
    });
}
