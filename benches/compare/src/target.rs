//! The servers that are compared, each with one account and its copy of the mail.

use std::time::{Duration, Instant};

use harness::account::{Account, fresh_ids};
use harness::server::{Server, Setup, Side, state_directory};
use harness::tls::Tls;
use harness::{Error, mail, programs};

use crate::dovecot::Dovecot;
use crate::meter::Meter;
use crate::options::Options;
use crate::wire::Wire;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This project.
    Ours,
    /// Debian's Courier.
    Courier,
    /// Debian's Dovecot as shipped.
    Dovecot,
    /// Debian's Dovecot with reused processes and without fsync.
    DovecotTuned,
}

impl Kind {
    /// In the order of the table's columns.
    pub(crate) const ALL: [Self; 4] =
        [Self::Ours, Self::Courier, Self::Dovecot, Self::DovecotTuned];

    /// Column title.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Courier => "Courier",
            Self::Dovecot => "Dovecot",
            Self::DovecotTuned => "Dovecot tuned",
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "there are four of them")]
enum Running {
    /// IMAP, and POP3 for the same account where a row wants it.
    Courier(Server, Option<Server>),
    Dovecot(Dovecot, Account),
}

#[expect(clippy::large_enum_variant, reason = "there are four of them")]
enum Secure {
    Courier(Server),
    Dovecot(Dovecot),
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// CPU time of the server; for memory rows KiB, as if milliseconds.
    pub(crate) cpu: f64,
    /// Wall time in milliseconds; for memory rows proportional KiB.
    pub(crate) wall: f64,
}

/// What is in the account's INBOX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mail {
    /// Who knows.
    Unknown,
    /// This many messages, whether or not the server has looked at them.
    Complete(usize),
}

/// A running server.
pub(crate) struct Target {
    running: Running,
    meter: Meter,
    kind: Kind,
    mail: Mail,
    /// The same server with TLS, if a row wants it: beside the other, whose rows shall not pay for it.
    secure: Option<Secure>,
    // Dropped last: the homes of accounts whose server has none of its own.
    _homes: Option<tempfile::TempDir>,
}

/// The account's name.
pub(crate) const USER: &str = "bench";

impl Target {
    /// Starts `kind`.
    ///
    /// # Errors
    /// [`Error::Skipped`] where it cannot run.
    pub(crate) fn start(kind: Kind, options: &Options) -> Result<Self, Error> {
        let name = kind.title().replace(' ', "-").to_lowercase();
        let mut meter = Meter::new(&name);
        let below = options.directory.as_deref();
        let courier = |side: Side, meter: &mut Meter| -> Result<(Running, Option<Secure>), Error> {
            let mut setup = Setup::new(side, &[USER]);
            setup.cgroup = meter.processes_file();
            setup.below = below.map(std::path::Path::to_path_buf);
            // As shipped; the harness's own settings are for quick tests.
            setup.environment.extend(
                [("IMAP_BROKENUIDV", "0"), ("IMAP_ENHANCEDIDLE", "0")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
            let server = Server::start(&setup)?;
            let mut roots = vec![server.listener.id().as_raw()];
            roots.extend(
                server
                    .authdaemond
                    .as_ref()
                    .map(|process| process.id().as_raw()),
            );
            let mut pop3 = None;
            if options.wants_any("pop3") {
                let server = pop3_server(side, &setup, server.account(USER)?)?;
                roots.push(server.listener.id().as_raw());
                roots.extend(
                    server
                        .authdaemond
                        .as_ref()
                        .map(|process| process.id().as_raw()),
                );
                pop3 = Some(server);
            }
            let mut secure = None;
            if options.wants_tls() {
                let server = tls_server(side, &setup, server.account(USER)?)?;
                roots.extend(
                    [&server.tls_listener, &server.tls_service]
                        .into_iter()
                        .flatten()
                        .chain(&server.authdaemond)
                        .map(|process| process.id().as_raw()),
                );
                secure = Some(Secure::Courier(server));
            }
            meter.watch(roots);
            Ok((Running::Courier(server, pop3), secure))
        };
        let mut homes = None;
        let (running, secure) = match kind {
            Kind::Ours => courier(Side::Ours, &mut meter)?,
            Kind::Courier => courier(Side::Reference, &mut meter)?,
            Kind::Dovecot | Kind::DovecotTuned => {
                let directory = state_directory(below)?;
                let account = Account::create(
                    directory.path(),
                    USER,
                    harness::server::PASSWORD,
                    fresh_ids(),
                )?;
                let cgroup = meter.processes_file();
                let start = |state| {
                    let tuned = kind == Kind::DovecotTuned;
                    Dovecot::start(tuned, &account, state, cgroup.as_deref())
                };
                let dovecot = start(state_directory(below)?)?;
                let mut roots = vec![dovecot.master.id().as_raw()];
                let mut secure = None;
                if options.wants_tls() {
                    let state = state_directory(below)?;
                    std::fs::create_dir(state.path().join("etc"))?;
                    harness::tls::make_certificate(state.path())?;
                    let dovecot = start(state)?;
                    roots.push(dovecot.master.id().as_raw());
                    secure = Some(Secure::Dovecot(dovecot));
                }
                meter.watch(roots);
                homes = Some(directory);
                (Running::Dovecot(dovecot, account), secure)
            }
        };
        Ok(Self {
            running,
            meter,
            kind,
            mail: Mail::Unknown,
            secure,
            _homes: homes,
        })
    }

    /// Which server this is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its CPU account.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Its IMAP port.
    pub(crate) fn port(&self) -> u16 {
        match &self.running {
            Running::Courier(server, _) => server.port,
            Running::Dovecot(dovecot, _) => dovecot.port,
        }
    }

    /// Its POP3 port.
    ///
    /// # Errors
    /// No row that was asked for needs one.
    pub(crate) fn pop3_port(&self) -> Result<u16, Error> {
        match &self.running {
            Running::Courier(_, Some(server)) => Ok(server.port),
            Running::Courier(_, None) => Err(Error::new("POP3 was not started")),
            Running::Dovecot(dovecot, _) => Ok(dovecot.pop3_port),
        }
    }

    /// Its IMAP port that is encrypted from the start.
    ///
    /// # Errors
    /// No row that was asked for needs one.
    pub(crate) fn tls_port(&self) -> Result<u16, Error> {
        match &self.secure {
            Some(Secure::Courier(server)) => Ok(server.tls_port),
            Some(Secure::Dovecot(dovecot)) => Ok(dovecot.tls_port),
            None => Err(Error::new("TLS was not started")),
        }
    }

    /// Its account.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn account(&self) -> Result<&Account, Error> {
        match &self.running {
            Running::Courier(server, _) => server.account(USER),
            Running::Dovecot(_, account) => Ok(account),
        }
    }

    /// Makes the maildir one that the server has never seen: `count` read messages in INBOX, and an empty folder.
    ///
    /// # Errors
    /// A file could not be written.
    pub(crate) fn unseen(&mut self, options: &Options, count: usize) -> Result<(), Error> {
        let account = self.account()?;
        account.reset()?;
        account.make_folder(".Work")?;
        for index in 0..count {
            let index = u64::try_from(index).unwrap_or(0);
            let message = mail::message(options.seed, index, options.size);
            account.place("INBOX", &message, "S")?;
        }
        // A directory that changed within the last moments is not trusted to be unchanged by any of the servers;
        // in life most are not that young.
        std::thread::sleep(Duration::from_millis(2100));
        self.mail = Mail::Complete(count);
        Ok(())
    }

    /// As [`Self::unseen`] with small messages, very many if need be.
    ///
    /// # Errors
    /// A file could not be written.
    pub(crate) fn many(&mut self, count: usize) -> Result<(), Error> {
        self.changes();
        let account = self.account()?;
        account.reset()?;
        account.make_folder(".Work")?;
        account.place_many("INBOX", b"Subject: small\r\n\r\nx\r\n", "S", count)?;
        // As above.
        std::thread::sleep(Duration::from_millis(2100));
        Ok(())
    }

    /// Makes sure that INBOX has its `count` messages, whoever has seen them.
    ///
    /// # Errors
    /// A file could not be written.
    pub(crate) fn intact(&mut self, options: &Options, count: usize) -> Result<(), Error> {
        if self.mail == Mail::Complete(count) {
            return Ok(());
        }
        self.unseen(options, count)
    }

    /// The row changes the mail: the next one must not build on it.
    pub(crate) fn changes(&mut self) {
        self.mail = Mail::Unknown;
    }

    /// A logged-in connection.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn session(&self) -> Result<Wire, Error> {
        Wire::login(self.port(), USER)
    }

    /// A connection with INBOX selected.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn selected(&self) -> Result<Wire, Error> {
        let mut wire = self.session()?;
        wire.ok("SELECT INBOX")?;
        Ok(wire)
    }

    /// Measures `work`, which runs while nothing else talks to this server. What a server still does when the reply
    /// is out counts too: that is waited for.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn measure(
        &self,
        work: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Sample, Error> {
        self.settle();
        let cpu = self.meter.read();
        let start = Instant::now();
        work()?;
        let wall = start.elapsed();
        self.settle();
        let cpu = self.meter.read().saturating_sub(cpu);
        Ok(Sample {
            cpu: milliseconds(cpu),
            wall: milliseconds(wall),
        })
    }

    /// Waits until the server has used no CPU for a moment.
    fn settle(&self) {
        const STEP: Duration = Duration::from_millis(60);
        let mut before = self.meter.read();
        for _ in 0..50 {
            std::thread::sleep(STEP);
            let now = self.meter.read();
            if now.saturating_sub(before) < STEP / 60 {
                break;
            }
            before = now;
        }
    }
}

/// POP3 of `side` for `account` of another server, beside which it runs.
fn pop3_server(side: Side, beside: &Setup, account: &Account) -> Result<Server, Error> {
    let mut setup = Setup::new(side, &[]);
    setup.cgroup.clone_from(&beside.cgroup);
    setup.below.clone_from(&beside.below);
    setup.guests = vec![account.clone()];
    setup.command = Some(match side {
        Side::Ours => vec![
            programs::ours("pop3login")?.into(),
            programs::ours("pop3d")?.into(),
            "Maildir".into(),
        ],
        Side::Reference => vec![
            "/usr/lib/courier/courier/courierpop3login".into(),
            "/usr/lib/courier/courier/courierpop3d".into(),
            "Maildir".into(),
        ],
    });
    Server::start(&setup)
}

/// IMAP over TLS of `side` for `account` of another server, beside which it runs.
fn tls_server(side: Side, beside: &Setup, account: &Account) -> Result<Server, Error> {
    let mut setup = beside.clone();
    setup.accounts = Vec::new();
    setup.guests = vec![account.clone()];
    setup.tls = Some(Tls::new(side));
    Server::start(&setup)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
