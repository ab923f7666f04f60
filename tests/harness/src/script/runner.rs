//! Runs one script against one server.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Action, Bindings, Expected, Kind, Order, Script, Step};
use crate::Error;
use crate::account::Account;
use crate::client::{Client, Response};
use crate::server::{PASSWORD, Server, Side};

/// How many lines of the conversation a failure shows.
const SHOWN: usize = 25;

/// Runs `script` as `account` of `server`, which is of `side`.
///
/// # Errors
/// The first step that fails, with the conversation before it.
pub fn run(script: &Script, server: &Server, account: &Account, side: Side) -> Result<(), Error> {
    let mut bindings: Bindings = script.messages.iter().cloned().collect();
    bindings.insert("user".to_owned(), account.name.clone().into_bytes());
    bindings.insert("password".to_owned(), PASSWORD.into());
    let mut runner = Runner {
        server,
        account,
        bindings,
        connections: BTreeMap::new(),
        transcript: VecDeque::new(),
    };
    let steps: Vec<&Step> = script
        .steps
        .iter()
        .filter(|step| step.side.is_none_or(|only| only == side))
        .collect();
    let mut rest = steps.as_slice();
    while let Some((first, _)) = rest.split_first() {
        let group = unordered_group(rest);
        let outcome = if group > 0 {
            let (members, _) = rest.split_at(group);
            runner.unordered(members)
        } else {
            runner.step(first)
        };
        outcome.map_err(|error| runner.explain(first.line, &error))?;
        rest = rest.get(group.max(1)..).unwrap_or_default();
    }
    Ok(())
}

/// How many steps from the first on form a group in any order.
fn unordered_group(steps: &[&Step]) -> usize {
    let connection_of = |step: &Step| match step.kind {
        Kind::Expect(connection, Order::Unordered, _) => Some(connection),
        _ => None,
    };
    let Some(first) = steps.first().and_then(|step| connection_of(step)) else {
        return 0;
    };
    steps
        .iter()
        .take_while(|step| connection_of(step) == Some(first))
        .count()
}

struct Connection {
    client: Client,
    /// A response that was read and not consumed by an optional step.
    pending: Option<Response>,
}

struct Runner<'a> {
    server: &'a Server,
    account: &'a Account,
    bindings: Bindings,
    connections: BTreeMap<usize, Connection>,
    transcript: VecDeque<String>,
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.kind {
            Kind::Send(connection, pattern) => {
                let bytes = pattern.fill(&self.bindings)?;
                self.note(format!(
                    "C{connection}: {}",
                    String::from_utf8_lossy(&bytes).trim_end()
                ));
                let connection = self.connection(*connection)?;
                connection
                    .client
                    .send(&bytes)
                    .map_err(|error| error.to_string())
            }
            Kind::Expect(connection, order, expected) => self.expect(*connection, *order, expected),
            Kind::Log(pattern) => self.log(pattern),
            Kind::Act(action) => self.act(action),
        }
    }

    fn expect(
        &mut self,
        connection: usize,
        order: Order,
        expected: &Expected,
    ) -> Result<(), String> {
        loop {
            let response = self.response(connection)?;
            if self.matches(expected, &response)? {
                return Ok(());
            }
            match order {
                Order::Eventually => {}
                Order::Optional => {
                    self.connection(connection)?.pending = Some(response);
                    return Ok(());
                }
                Order::Next | Order::Unordered => {
                    return Err(format!(
                        "expected: {}\n     got: {}",
                        described(expected),
                        response.printable()
                    ));
                }
            }
        }
    }

    fn unordered(&mut self, steps: &[&Step]) -> Result<(), String> {
        let mut open: Vec<(usize, &Expected)> = steps
            .iter()
            .filter_map(|step| match &step.kind {
                Kind::Expect(connection, _, expected) => Some((*connection, expected)),
                _ => None,
            })
            .collect();
        while let Some(&(connection, _)) = open.first() {
            let response = self.response(connection)?;
            let mut found = None;
            for (index, (_, expected)) in open.iter().enumerate() {
                if self.matches(expected, &response)? {
                    found = Some(index);
                    break;
                }
            }
            let Some(index) = found else {
                let wanted: Vec<String> = open
                    .iter()
                    .map(|(_, expected)| described(expected))
                    .collect();
                return Err(format!(
                    "expected one of:\n  {}\n     got: {}",
                    wanted.join("\n  "),
                    response.printable()
                ));
            };
            open.remove(index);
        }
        Ok(())
    }

    fn matches(&mut self, expected: &Expected, response: &Response) -> Result<bool, String> {
        // A pattern that stops at `{n}` says nothing about what follows.
        let open = expected.literals.is_empty() && expected.text.len() == 1;
        let whole = expected.text.len() == response.text.len()
            && expected.literals.len() == response.literals.len();
        if !whole && !open {
            return Ok(false);
        }
        let mut bindings = self.bindings.clone();
        let texts = expected.text.iter().zip(&response.text);
        let literals = expected.literals.iter().zip(&response.literals);
        for (pattern, bytes) in texts.chain(literals) {
            if !pattern.matches(bytes, &mut bindings)? {
                return Ok(false);
            }
        }
        self.bindings = bindings;
        Ok(true)
    }

    fn log(&mut self, pattern: &super::Pattern) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            let log = self.server.log();
            for line in log.lines() {
                if pattern.matches(line.as_bytes(), &mut self.bindings)? {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                let own: Vec<&str> = log
                    .lines()
                    .filter(|line| line.contains(&self.account.name))
                    .collect();
                return Err(format!(
                    "no log line: {}\nlines about {}:\n  {}",
                    pattern.source(),
                    self.account.name,
                    own.join("\n  ")
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        let text = |error: Error| error.to_string();
        match action {
            Action::Login(connection) => {
                let client =
                    Client::login(self.server.port, &self.account.name, PASSWORD).map_err(text)?;
                let connected = Connection {
                    client,
                    pending: None,
                };
                self.connections.insert(*connection, connected);
                Ok(())
            }
            Action::Folder(name) => self.account.make_folder(name).map_err(text),
            Action::Deliver(folder, message) => {
                let message = self.message(message)?;
                self.account
                    .deliver(folder, &message)
                    .map(|_| ())
                    .map_err(text)
            }
            Action::Place(folder, message, flags) => {
                let message = self.message(message)?;
                self.account
                    .place(folder, &message, flags)
                    .map(|_| ())
                    .map_err(text)
            }
            Action::File(path, message) => {
                let content = crate::account::stored_form(&self.message(message)?);
                let path = self.account.maildir().join(path);
                self.account.write(&path, &content).map_err(text)
            }
            Action::Holds(path, message) => {
                let wanted = crate::account::stored_form(&self.message(message)?);
                let path = self.account.maildir().join(path);
                let found =
                    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                // A record of a session has the line ends of the wire.
                if crate::account::stored_form(&found) == wanted {
                    return Ok(());
                }
                Err(format!(
                    "{} is\n{}\nand not\n{}",
                    path.display(),
                    String::from_utf8_lossy(&found),
                    String::from_utf8_lossy(&wanted)
                ))
            }
            Action::Absent(path) => {
                let path = self.account.maildir().join(path);
                match std::fs::symlink_metadata(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(format!("{}: {error}", path.display())),
                    Ok(_) => Err(format!("{} exists", path.display())),
                }
            }
            Action::Sleep(time) => {
                std::thread::sleep(Duration::from_millis(*time));
                Ok(())
            }
            Action::HalfClose(connection) => self
                .connection(*connection)?
                .client
                .half_close()
                .map_err(text),
            Action::Closed(connection) => {
                self.connection(*connection)?.client.closed().map_err(text)
            }
        }
    }

    fn message(&self, name: &str) -> Result<Vec<u8>, String> {
        self.bindings
            .get(name)
            .cloned()
            .ok_or_else(|| format!("no message is called {name}"))
    }

    fn connection(&mut self, number: usize) -> Result<&mut Connection, String> {
        use std::collections::btree_map::Entry;
        match self.connections.entry(number) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let client =
                    Client::connect(self.server.port).map_err(|error| error.to_string())?;
                Ok(entry.insert(Connection {
                    client,
                    pending: None,
                }))
            }
        }
    }

    fn response(&mut self, number: usize) -> Result<Response, String> {
        let connection = self.connection(number)?;
        if let Some(response) = connection.pending.take() {
            return Ok(response);
        }
        let response = connection
            .client
            .response()
            .map_err(|error| error.to_string())?;
        self.note(format!("S{number}: {}", response.printable()));
        Ok(response)
    }

    fn note(&mut self, mut line: String) {
        const LONGEST: usize = 400;
        if let Some((index, _)) = line.char_indices().nth(LONGEST) {
            line.truncate(index);
            line.push_str("...");
        }
        if self.transcript.len() >= SHOWN {
            self.transcript.pop_front();
        }
        self.transcript.push_back(line);
    }

    fn explain(&self, line: usize, error: &str) -> Error {
        let transcript: Vec<&str> = self.transcript.iter().map(String::as_str).collect();
        Error::new(format!(
            "line {line}: {error}\n--- conversation:\n{}\n---",
            transcript.join("\n")
        ))
    }
}

fn described(expected: &Expected) -> String {
    let mut text = String::new();
    for (index, piece) in expected.text.iter().enumerate() {
        text.push_str(piece.source());
        if let Some(literal) = expected.literals.get(index) {
            text.push_str(" + literal ");
            text.push_str(literal.source());
        }
    }
    text
}
