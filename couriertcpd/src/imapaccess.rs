//! makeimapaccess: rebuilds the IMAP access database and tells both listeners (contract: couriertcpd 3.4).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use courier::config::paths::Paths;
use courier::sys::log::{Level, log};
use nix::sys::stat::{Mode, umask};

use crate::makedat::{Request, make};
use crate::{pidfile, reason};

/// Prints three settings after sourcing the configuration files that exist. The files are shell, with everything
/// that goes with it, and the start scripts source them too: only a shell agrees with those on their meaning.
const SCRIPT: &str = r#"for file do test -f "$file" && . "$file"; done
printf '%s\0%s\0%s\0' "$IMAPACCESSFILE" "$PIDFILE" "$SSLPIDFILE""#;

/// The whole program.
pub fn main(arguments: &[OsString]) -> ExitCode {
    if !arguments.is_empty() {
        return fail("Usage: makeimapaccess");
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    for line in message.lines() {
        log(Level::Plain, format_args!("{line}"));
    }
    ExitCode::FAILURE
}

struct Settings {
    access_file: PathBuf,
    pid_files: Vec<PathBuf>,
}

fn run() -> Result<(), String> {
    let paths = Paths::load().map_err(|error| error.to_string())?;
    let settings = settings(&paths.sysconfdir)?;
    umask(Mode::from_bits_truncate(0o022));
    let suffixed = |suffix| Paths::with_suffix(&settings.access_file, suffix);
    make(&Request {
        source: settings.access_file.clone(),
        target: suffixed(".dat"),
        temporary: suffixed(".tmp"),
        ranges: true,
    })?;
    for pid_file in &settings.pid_files {
        pidfile::restart(pid_file)
            .map_err(|error| format!("{}: {}", pid_file.display(), reason(&error)))?;
    }
    Ok(())
}

fn settings(directory: &Path) -> Result<Settings, String> {
    let files = ["imapd", "imapd-ssl"].map(|name| directory.join(name));
    let [imapd, _ssl] = &files;
    if !imapd.exists() {
        return Err(format!(
            "ERROR: {} does not exist, forgot make install-configure?",
            imapd.display()
        ));
    }
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(SCRIPT)
        .arg("sh")
        .args(files)
        .env_remove("IMAPACCESSFILE")
        .env_remove("PIDFILE")
        .env_remove("SSLPIDFILE")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("/bin/sh: {}", reason(&error)))?;
    if !output.status.success() {
        return Err("ERROR: the configuration files cannot be read by the shell".into());
    }
    let mut values = output
        .stdout
        .split(|&byte| byte == 0)
        .map(|value| PathBuf::from(OsString::from_vec(value.to_vec())));
    let access_file = values.next().unwrap_or_default();
    if access_file.as_os_str().is_empty() {
        return Err("ERROR: IMAPACCESSFILE is not set".into());
    }
    let set = |path: &PathBuf| path.as_os_str() != OsStr::from_bytes(b"");
    Ok(Settings {
        access_file,
        pid_files: values.filter(set).collect(),
    })
}
