//! Starts Debian's Dovecot on a maildir account of ours.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::account::{Account, password_hash};
use harness::process::{Process, write_file};
use harness::server::{PASSWORD, free_port, in_cgroup, listening};
use harness::{Error, programs};

/// A running Dovecot.
pub(crate) struct Dovecot {
    /// Its IMAP port.
    pub(crate) port: u16,
    /// Its POP3 port.
    pub(crate) pop3_port: u16,
    /// Its IMAP port that is encrypted from the start; nothing listens there without a certificate.
    pub(crate) tls_port: u16,
    /// The master process.
    pub(crate) master: Process,
    _state: tempfile::TempDir,
}

/// Processes that serve one connection after another, and no waiting for the disk.
const TUNED: &str = "mail_fsync = never
service imap-login {
  service_count = 0
  process_min_avail = 2
}
service imap {
  service_count = 256
  process_min_avail = 1
}
service pop3-login {
  service_count = 0
  process_min_avail = 2
}
service pop3 {
  service_count = 256
  process_min_avail = 1
}
";

impl Dovecot {
    /// Starts one for `account` with its state in `state`; with TLS if that holds a certificate.
    ///
    /// # Errors
    /// [`Error::Skipped`] where it cannot run.
    pub(crate) fn start(
        tuned: bool,
        account: &Account,
        state: tempfile::TempDir,
        cgroup: Option<&Path>,
    ) -> Result<Self, Error> {
        let top = state.path();
        let port = free_port()?;
        let pop3_port = free_port()?;
        let tls_port = free_port()?;
        let certificate = harness::tls::certificate(top);
        let (ssl, imaps) = if certificate.exists() {
            let path = certificate.display();
            let ssl = format!("ssl = yes\nssl_cert = <{path}\nssl_key = <{path}");
            (ssl, format!("port = {tls_port}\n    ssl = yes"))
        } else {
            ("ssl = no".to_owned(), "port = 0".to_owned())
        };
        // Connections are many and short: the limits are raised for all servers alike.
        let configuration = format!(
            "protocols = imap pop3
listen = 127.0.0.1
{ssl}
disable_plaintext_auth = no
auth_mechanisms = plain
log_path = {top}/log
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
first_valid_uid = 1000
default_process_limit = 1000
default_client_limit = 4000
passdb {{
  driver = passwd-file
  args = {top}/users
}}
userdb {{
  driver = passwd-file
  args = {top}/users
}}
namespace inbox {{
  inbox = yes
  prefix = INBOX.
  separator = .
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    {imaps}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
{extra}",
            top = top.display(),
            extra = if tuned { TUNED } else { "" },
        );
        let users = format!(
            "{}:{}:{}:{}::{}::\n",
            account.name,
            password_hash(PASSWORD),
            account.uid,
            account.gid,
            account.home.display()
        );
        write_file(&top.join("dovecot.conf"), configuration, 0o644)?;
        write_file(&top.join("users"), users, 0o644)?;
        write_file(&top.join("log"), "", 0o666)?;
        std::fs::set_permissions(top.join("log"), std::fs::Permissions::from_mode(0o666))?;
        let mut command = Command::new(programs::peers_script());
        command
            .args(["enter", "dovecot"])
            .arg(top)
            .arg(format!("{0}={0}", account.home.display()))
            .args(["--", "/usr/sbin/dovecot", "-F", "-c"])
            .arg(top.join("dovecot.conf"))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .envs(std::env::var_os("PEERS_CACHE").map(|cache| ("PEERS_CACHE", cache)));
        if let Some(processes) = cgroup {
            command = in_cgroup(&command, processes);
        }
        let log = top.join("start.log");
        let mut master = Process::start("dovecot", &command, &log)?;
        master.wait_until(&log, || listening(port))?;
        Ok(Self {
            port,
            pop3_port,
            tls_port,
            master,
            _state: state,
        })
    }
}
