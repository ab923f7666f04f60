//! `authtest`: asks authdaemond about an account, a password, or to change one.

use std::process::ExitCode;

use courier::auth::account::{AccountInfo, Owner, Secret};
use courier::auth::client::{Client, Failure, Outcome};
use courier::auth::domain::DefaultDomain;

use super::{complain, fail, paths, print};

/// Printed for what is unset.
const NONE: &[u8] = b"(none)";

/// Runs the tool.
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let Some((service, words)) = parse(arguments) else {
        return usage();
    };
    let client = match paths() {
        Ok(paths) => Client {
            default_domain: DefaultDomain::from_env(),
            remote: std::env::var_os("TCPREMOTEIP")
                .map(std::os::unix::ffi::OsStringExt::into_vec)
                .or_else(|| Some(b"::1".to_vec())),
            ..Client::from_env(&paths)
        },
        Err(code) => return code,
    };
    let outcome = match words {
        [user] => client.lookup(service, user),
        [user, password] => client.login(service, user, password),
        [user, old, new] => return change(&client, service, user, old, new),
        _ => return usage(),
    };
    match outcome {
        Outcome::Accepted(account) => print(&report(&account)),
        Outcome::Rejected => fail(format_args!(
            "Authentication FAILED: Operation not permitted"
        )),
        Outcome::Temporary(failure) => temporary(&failure),
    }
}

/// The service and the words behind the flags.
fn parse(mut arguments: &[Vec<u8>]) -> Option<(&[u8], &[Vec<u8>])> {
    let mut service: &[u8] = b"login";
    while let Some((first, rest)) = arguments.split_first() {
        let Some(flag) = first.strip_prefix(b"-") else {
            break;
        };
        arguments = rest;
        match flag.split_first() {
            None => break,
            Some((b's', [])) => {
                let (value, rest) = rest.split_first()?;
                service = value;
                arguments = rest;
            }
            Some((b's', value)) => service = value,
            Some(_) => return None,
        }
    }
    Some((service, arguments))
}

fn usage() -> ExitCode {
    fail(format_args!(
        "Usage: authtest [-s service] userid [ password [ newpassword ] ]"
    ))
}

fn change(client: &Client, service: &[u8], user: &[u8], old: &[u8], new: &[u8]) -> ExitCode {
    match client.change_password(service, user, old, new) {
        Ok(true) => {
            complain(format_args!("Password change succeeded."));
            ExitCode::SUCCESS
        }
        Ok(false) => fail(format_args!(
            "Authentication FAILED: Operation not permitted"
        )),
        Err(failure) => temporary(&failure),
    }
}

fn temporary(failure: &Failure) -> ExitCode {
    failure.log();
    fail(format_args!("Authentication FAILED: {failure}"))
}

/// As the original lays it out. Control characters are not let through to the terminal.
fn report(account: &AccountInfo) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|Secret(text)| text.clone());
    let owner = match &account.owner {
        Some(Owner::System(name)) => [b"(system username: ", name.as_slice(), b")"].concat(),
        Some(Owner::Virtual(uid)) => {
            let gid = account
                .gid
                .map_or_else(|| "(none)".into(), |gid| gid.to_string());
            format!("(uid {uid}, gid {gid})").into_bytes()
        }
        None => Vec::new(),
    };
    let address = account.address.as_deref().unwrap_or(NONE);
    let mut text = b"Authentication succeeded.\n\n".to_vec();
    for (label, value) in [
        ("Authenticated", Some([address, b"  ", &owner].concat())),
        (
            "Home Directory",
            account
                .home
                .as_ref()
                .map(|home| home.as_os_str().as_bytes().to_vec()),
        ),
        (
            "Maildir",
            account
                .maildir
                .as_ref()
                .map(|maildir| maildir.as_bytes().to_vec()),
        ),
        ("Quota", account.quota.clone()),
        ("Encrypted Password", secret(&account.hash)),
        ("Cleartext Password", secret(&account.clear)),
        ("Options", account.options.clone()),
    ] {
        text.extend_from_slice(format!("{label:>18}: ").as_bytes());
        let value = value.unwrap_or_else(|| NONE.to_vec());
        text.extend(value.iter().map(|&byte| match byte {
            0..0x20 | 0x7f => b'.',
            other => other,
        }));
        text.push(b'\n');
    }
    text
}
