//! Our imapd and Debian's answer the same generated commands over the same generated messages. What differs must be in
//! the reviewed list, `tests/interop/differences`. Part of what `make check-interop` runs.
//!
//! Without `COURIER_INTEROP=1` nothing happens here, because Debian's packages have to be downloaded.
//! `COURIER_INTEROP_SEED` and `COURIER_INTEROP_COMMANDS` choose another run.

mod commands;
mod messages;
mod relation;
mod reply;
mod reviewed;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use commands::Commands;
use harness::account::Account;
use harness::client::{Client, Reply};
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, process};
use reply::Difference;
use reviewed::Reviewed;

/// How many differences are printed before the run ends.
const SHOWN: usize = 20;

/// A number from the environment.
fn setting(name: &str, default: u64) -> Result<u64, Error> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => text
            .parse()
            .map_err(|_| Error::new(format!("{name}={text}: not a number"))),
    }
}

#[test]
fn both_answer_generated_commands_alike() -> Result<(), Error> {
    harness::run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "generated commands against Debian's Courier: run by make check-interop".to_owned(),
            ));
        }
        let seed = setting("COURIER_INTEROP_SEED", 1)?;
        let count = setting("COURIER_INTEROP_COMMANDS", 2000)?;
        run(seed, count).map_err(|error| error.in_context(&format!("COURIER_INTEROP_SEED={seed}")))
    })
}

/// The two servers, each with its own copy of one maildir.
struct Pair {
    servers: [Server; 2],
    clients: [Client; 2],
}

fn run(seed: u64, count: u64) -> Result<(), Error> {
    let reviewed = Reviewed::read()?;
    let servers = [
        Server::start(&Setup::new(Side::Ours, &["joe"]))?,
        Server::start(&Setup::new(Side::Reference, &["joe"]))?,
    ];
    let folders = fill(&servers, seed)?;
    let clients = [login(&servers[0])?, login(&servers[1])?];
    let mut pair = Pair { servers, clients };
    let mut commands = Commands::new(seed);
    let mut mailbox = Mailbox::default();
    let mut unexpected = BTreeMap::new();
    mailbox.select(
        &mut pair,
        &folders,
        "SELECT INBOX",
        &reviewed,
        &mut unexpected,
    )?;
    for number in 0..count {
        if number % 150 == 149 {
            let which = ["SELECT INBOX.Work", "SELECT INBOX"];
            let which = which.get(usize::try_from(number / 150 % 2).unwrap_or(0));
            let select = which.copied().unwrap_or("SELECT INBOX");
            mailbox.select(&mut pair, &folders, select, &reviewed, &mut unexpected)?;
        }
        let command = commands.next(mailbox.kinds.len(), mailbox.inbox);
        let differ = mailbox.compare(&mut pair, &command, &reviewed, &mut unexpected)?;
        // RFC822.TEXT sets \Seen with one of the two only.
        let alters = ["RFC822.TEXT", "EXPUNGE"]
            .iter()
            .any(|word| command.contains(word));
        if alters || differ && command.contains("STORE") {
            mailbox.settle(&mut pair)?;
        }
        if unexpected.len() > SHOWN {
            break;
        }
    }
    let mut error = std::io::stderr();
    writeln!(
        error,
        "differential: {count} commands, COURIER_INTEROP_SEED={seed}"
    )?;
    for line in reviewed.unused() {
        writeln!(
            error,
            "differential: not met this time: tests/interop/differences, line {line}"
        )?;
    }
    if unexpected.is_empty() {
        return Ok(());
    }
    let mut report = String::from("differences that tests/interop/differences does not name:\n");
    for (difference, command) in unexpected {
        let (ours, theirs) = shortened(&difference);
        report.push_str(&format!(
            "  {command}\n    at {}\n    ours:   {ours}\n    theirs: {theirs}\n",
            difference.place
        ));
    }
    Err(Error::new(report))
}

/// The kinds of the messages of INBOX and of INBOX.Work, by UID from 1 on.
type Folders = [Vec<String>; 2];

/// The selected mailbox: the kind and UID of each message.
#[derive(Default)]
struct Mailbox {
    kinds: Vec<String>,
    uids: Vec<String>,
    /// The kinds that the folder began with, by UID from 1 on.
    by_uid: Vec<String>,
    inbox: bool,
}

type Unexpected = BTreeMap<Difference, String>;

impl Mailbox {
    fn select(
        &mut self,
        pair: &mut Pair,
        folders: &Folders,
        command: &str,
        reviewed: &Reviewed,
        unexpected: &mut Unexpected,
    ) -> Result<(), Error> {
        self.kinds.clear();
        self.compare(pair, command, reviewed, unexpected)?;
        self.inbox = command.ends_with("INBOX");
        let [inbox, work] = folders;
        let kinds = if self.inbox { inbox } else { work };
        self.by_uid.clone_from(kinds);
        self.settle(pair)
    }

    /// Sends `command` to both and notes what differs and is not in the list.
    fn compare(
        &self,
        pair: &mut Pair,
        command: &str,
        reviewed: &Reviewed,
        unexpected: &mut Unexpected,
    ) -> Result<bool, Error> {
        let [ours, theirs] = pair.both(command)?;
        let uids = command.starts_with("UID").then_some(&self.uids[..]);
        let found = reply::differences(&ours, &theirs, &self.kinds, uids);
        let differ = !found.is_empty();
        for difference in found {
            if !reviewed.allows(command, &difference) {
                unexpected
                    .entry(difference)
                    .or_insert_with(|| command.to_owned());
            }
        }
        // The tenth error in a row ends a session.
        if !ours.ok() || !theirs.ok() {
            pair.both("NOOP")?;
        }
        Ok(differ)
    }

    /// Gives both mailboxes the same flags again and learns what is in them.
    fn settle(&mut self, pair: &mut Pair) -> Result<(), Error> {
        pair.both("UID STORE 1:* FLAGS.SILENT (\\Seen)")?;
        pair.both("NOOP")?;
        let [ours, theirs] = pair.both("UID SEARCH ALL")?;
        let uids = |reply: &Reply| -> Result<Vec<String>, Error> {
            let line = reply.with("SEARCH")?.line();
            Ok(line.split(' ').skip(2).map(str::to_owned).collect())
        };
        self.uids = uids(&ours)?;
        let other = uids(&theirs)?;
        if self.uids != other {
            return Err(Error::new(format!("UIDs: {:?} and {other:?}", self.uids)));
        }
        let kind = |uid: &String| {
            let index = uid.parse::<usize>().ok().and_then(|uid| uid.checked_sub(1));
            let known = index.and_then(|index| self.by_uid.get(index));
            known.cloned().unwrap_or_default()
        };
        self.kinds = self.uids.iter().map(kind).collect();
        Ok(())
    }
}

impl Pair {
    fn both(&mut self, command: &str) -> Result<[Reply; 2], Error> {
        let [ours, theirs] = &mut self.clients;
        let ours = ours.command(command);
        let theirs = theirs.command(command);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => Ok([ours, theirs]),
            (ours, theirs) => Err(Error::new(format!(
                "{command}\n  ours: {ours:?}\n  theirs: {theirs:?}\n  our log: {}\n  their log: {}",
                self.servers[0].log(),
                self.servers[1].log()
            ))),
        }
    }
}

fn login(server: &Server) -> Result<Client, Error> {
    Client::login(server.port, "joe", PASSWORD)
}

/// Puts the messages of `seed` into the original's maildir, lets it give UIDs, and copies all of it to ours.
fn fill(servers: &[Server; 2], seed: u64) -> Result<Folders, Error> {
    let account = servers[1].account("joe")?;
    account.make_folder(".Work")?;
    account.make_folder(".Work.Old")?;
    let messages = messages::generate(seed);
    let mut kinds: Folders = [Vec::new(), Vec::new()];
    for (number, message) in (0..).zip(&messages) {
        // 5 January 2026, and an hour more for each.
        let seconds = 1_767_600_000 + number * 3600;
        let flags = ["", "S", "FS", "RS", "DS"].get(usize::try_from(number % 5).unwrap_or(0));
        let name = format!("{seconds}.M1P1.differential:2,{}", flags.unwrap_or(&""));
        put(account, "INBOX", &name, &message.content, seconds)?;
        kinds[0].push(message.kind.to_owned());
        if number % 9 == 0 {
            kinds[1].push(message.kind.to_owned());
            put(account, ".Work", &name, &message.content, seconds)?;
        }
    }
    let mut client = login(&servers[1])?;
    for folder in ["INBOX", "INBOX.Work", "INBOX.Work.Old"] {
        client.expect_ok(&format!("SELECT {folder}"))?;
    }
    client.expect_ok("SUBSCRIBE INBOX.Work")?;
    client.expect_ok("LOGOUT")?;
    let ours = servers[0].account("joe")?;
    let target = ours.maildir();
    std::fs::remove_dir_all(&target).map_err(|error| Error::io("remove", &target, &error))?;
    process::output(
        Command::new("cp")
            .arg("-a")
            .args([&account.maildir(), &target]),
    )?;
    let owner = format!("{}:{}", ours.uid, ours.gid);
    process::output(Command::new("chown").arg("-R").arg(owner).arg(&target))?;
    Ok(kinds)
}

fn put(
    account: &Account,
    folder: &str,
    name: &str,
    content: &[u8],
    seconds: u64,
) -> Result<(), Error> {
    let path = account.folder(folder).join("cur").join(name);
    account.write(&path, content)?;
    touch(&path, seconds)
}

fn touch(path: &Path, seconds: u64) -> Result<(), Error> {
    let file = File::options()
        .write(true)
        .open(path)
        .map_err(|error| Error::io("open", path, &error))?;
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
        .map_err(|error| Error::io("touch", path, &error))
}

/// Both sides from a little before the place where they part.
fn shortened(difference: &Difference) -> (String, String) {
    let same = difference
        .ours
        .chars()
        .zip(difference.theirs.chars())
        .take_while(|(one, other)| one == other)
        .count();
    let cut = |text: &str| -> String {
        let from = if same > 60 { same - 40 } else { 0 };
        text.chars().skip(from).take(160).collect()
    };
    (cut(&difference.ours), cut(&difference.theirs))
}
