//! pop3d: POP3 after login, on descriptors 0 and 1, over the maildir named by the first argument (contract: pop3d
//! §3 and §4).
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use courier::login::environment::Environment;
use courier::login::settings::{Protocol, Settings as LoginSettings};
use courier::maildir::{Maildrop, Options, StoredMessage};
use courier::sys::fd;
use courier::sys::log::{Level, install_panic_hook, log, reason};
use pop3d::measure::{self, measure};
use pop3d::session::{End, Session};
use pop3d::settings::Settings;
use pop3d::wire::{Input, Output};

courier::lean_main!(start);

fn start(arguments: &[OsString]) -> ExitCode {
    let start = Instant::now();
    install_panic_hook();
    let environment = Environment::of_connection(fd::stdin());
    let login = LoginSettings::read(Protocol::Pop3, &environment);
    let settings = Settings::read(&environment, &login);
    let mut output = Output::new(fd::stdout());
    match open(&settings, arguments) {
        Ok(maildrop) => {
            let input = Input::new(fd::stdin());
            match Session::new(&settings, input, output, maildrop, start).run() {
                End::ReadError => ExitCode::FAILURE,
                End::Logout | End::Disconnected | End::TimedOut => ExitCode::SUCCESS,
            }
        }
        Err(refusal) => {
            let told = output
                .line(refusal.reply.as_bytes())
                .and_then(|()| output.flush());
            if told.is_err() {
                log(
                    Level::Debug,
                    format_args!("the client left before its reply"),
                );
            }
            refusal.code
        }
    }
}

/// Why there is no session.
struct Refusal {
    reply: String,
    code: ExitCode,
}

impl Refusal {
    fn new(reply: impl Into<String>, code: ExitCode) -> Self {
        Self {
            reply: reply.into(),
            code,
        }
    }
}

/// The steps before the first command, in the contract's order.
fn open(settings: &Settings, arguments: &[OsString]) -> Result<Maildrop, Refusal> {
    let place = format!(
        "user={}, ip=[{}], port=[{}]",
        settings.user, settings.remote_ip, settings.remote_port
    );
    let locked = match std::fs::metadata(".") {
        Ok(home) => home.permissions().mode() & 0o1000 != 0,
        Err(_) => true,
    };
    if locked {
        log(Level::Info, format_args!("LOCKED, {place}"));
        return Err(Refusal::new(
            "-ERR Your account is temporarily unavailable (+t bit set on home directory).",
            ExitCode::SUCCESS,
        ));
    }
    let maildir = arguments
        .first()
        .cloned()
        .or_else(|| std::env::var_os("MAILDIR").filter(|path| !path.is_empty()))
        .map_or_else(|| PathBuf::from("./Maildir"), PathBuf::from);
    if let Err(error) = std::env::set_current_dir(&maildir) {
        let shown = maildir.as_os_str().as_bytes().escape_ascii().to_string();
        log(
            Level::Plain,
            format_args!("chdir {shown}: {}", reason(&error)),
        );
        return Err(Refusal::new(
            format!("-ERR chdir {shown} failed"),
            ExitCode::FAILURE,
        ));
    }
    courier::login::hook::run(&settings.user);
    confine(settings)?;
    if settings.disabled {
        return Err(Refusal::new(
            "-ERR POP3 access disabled for this account.",
            ExitCode::FAILURE,
        ));
    }
    if settings.disabled_insecure && !settings.tls {
        return Err(Refusal::new(
            "-ERR POP3 access disabled via insecure connection.",
            ExitCode::FAILURE,
        ));
    }
    log(
        Level::Info,
        format_args!("LOGIN, {place}{}", settings.tls_mark()),
    );
    let options = Options::from_environment();
    let piece = RefCell::new(vec![0; measure::PIECE]);
    let measure = |message: &StoredMessage| measure(message, &mut piece.borrow_mut());
    Maildrop::open(".".as_ref(), &options, &settings.user, &measure).map_err(|error| {
        log(Level::Err, format_args!("{error}"));
        Refusal::new(
            "-ERR Maildir invalid (no 'cur' directory)",
            ExitCode::SUCCESS,
        )
    })
}

/// From here on the session has its maildir and its descriptors, and nothing else.
fn confine(settings: &Settings) -> Result<(), Refusal> {
    // Whatever the administrator wants: nothing is executed from here on, and nobody of this uid has to look into this
    // process.
    let hidden =
        nix::sys::prctl::set_no_new_privs().and_then(|()| nix::sys::prctl::set_dumpable(false));
    if let Err(errno) = hidden {
        log(Level::Warning, format_args!("prctl: {}", errno.desc()));
    }
    courier::login::confine::session(&settings.user, settings.sandbox, &[]).map_err(|_refused| {
        Refusal::new(
            "-ERR [SYS/PERM] The session cannot be confined.",
            ExitCode::FAILURE,
        )
    })
}
