//! `authtest`: asks authdaemond about an account, a password, or to change one.

use std::fmt::Write;
use std::process::ExitCode;

use courier::auth::account::{AccountInfo, Owner, Secret};
use courier::auth::client::{Client, Failure, Outcome};
use courier::auth::domain::DefaultDomain;

use super::{complain, fail, paths, print};
use crate::debug::Text;

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
        Outcome::Accepted(account) => print(report(&account).as_bytes()),
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

fn report(account: &AccountInfo) -> String {
    use std::os::unix::ffi::OsStrExt;
    let or_none = |value: Option<&[u8]>| match value {
        Some(value) => Text(value).to_string(),
        None => "(none)".into(),
    };
    let secret =
        |secret: &Option<Secret>| or_none(secret.as_ref().map(|Secret(text)| text.as_slice()));
    let owner = match &account.owner {
        Some(Owner::System(name)) => format!("(system username: {})", Text(name)),
        Some(Owner::Virtual(uid)) => {
            let gid = account
                .gid
                .map_or_else(|| "(none)".into(), |gid| gid.to_string());
            format!("(uid {uid}, gid {gid})")
        }
        None => String::new(),
    };
    let mut text = String::from("Authentication succeeded.\n\n");
    for (label, value) in [
        (
            "Authenticated",
            format!("{}  {owner}", or_none(account.address.as_deref())),
        ),
        (
            "Home Directory",
            or_none(
                account
                    .home
                    .as_ref()
                    .map(|home| home.as_os_str().as_bytes()),
            ),
        ),
        (
            "Maildir",
            or_none(account.maildir.as_ref().map(|maildir| maildir.as_bytes())),
        ),
        ("Quota", or_none(account.quota.as_deref())),
        ("Encrypted Password", secret(&account.hash)),
        ("Cleartext Password", secret(&account.clear)),
        ("Options", or_none(account.options.as_deref())),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:>18}: {value}");
    }
    text
}
