//! What is said at a login, by peers and by our own programs.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use authdaemond::protocol;
use authdaemond::userdb::{record, text};
use courier::access::Verdict;
use courier::auth::account::AccountInfo;
use courier::auth::enumerate::Listed;
use courier::auth::options;
use courier::auth::sasl::{Context, Exchange, Mechanism, Step};
use courier::handover;
use courier::login::message;
use courier::login::peer::Peer;
use courier::login::proxy::dialog::{self, Login, log_in};
use courier::login::proxy::hosts;
use courier::login::settings::Protocol;

use super::halves;

/// Lines of userdb and their records.
pub fn userdb_text(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        let Some((_, fields)) = text::account(line) else {
            continue;
        };
        let (open, secret) = record::split_secrets(fields);
        for (name, value) in record::fields(fields) {
            let kept = record::field(&open, name).or_else(|| record::field(&secret, name));
            assert!(value.is_none() || kept.is_some() || name.is_empty());
            value.and_then(record::number);
        }
        let names: Vec<Vec<u8>> = record::fields(fields)
            .map(|(name, _)| name.to_vec())
            .collect();
        let rest = record::unset(fields, &names);
        assert!(
            names
                .iter()
                .all(|name| record::field(&rest, name).is_none())
        );
    }
    record::number(input);
}

/// Values of access files.
pub fn access_record(input: &[u8]) {
    if let Verdict::Allow(assignments) = Verdict::parse(input) {
        for assignment in assignments {
            assert!(!assignment.name.is_empty());
            assert!(!assignment.name.contains(&0) && !assignment.name.contains(&b'='));
            assert!(!assignment.value.contains(&0));
        }
    }
}

/// What a proxy says about a connection, ahead of everything else.
pub fn proxy_header(input: &[u8]) {
    let Ok((mut peer, ours)) = UnixStream::pair() else {
        return;
    };
    // More than one header has room for; the socket has room for it.
    let input = input.get(..input.len().min(4096)).unwrap_or_default();
    if peer
        .write_all(input)
        .and_then(|()| peer.shutdown(Shutdown::Write))
        .is_err()
    {
        return;
    }
    let read = couriertcpd::proxy::read(ours.as_fd(), Duration::from_secs(1));
    let mut rest = Vec::new();
    if read.is_ok() && (&ours).read_to_end(&mut rest).is_ok() {
        assert!(input.ends_with(&rest) && rest.len() < input.len());
    }
}

/// What a server says that an account is logged in at, and the option that names it.
pub fn proxied_login(input: &[u8]) {
    for host in hosts::of_account(input) {
        assert!(host.port != Some(0) && !host.text.is_empty());
    }
    // The socket has room for it.
    let input = input.get(..input.len().min(16 * 1024)).unwrap_or_default();
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let (Ok((mut server, ours)), Ok((_monitor, channel))) =
            (UnixStream::pair(), UnixStream::pair())
        else {
            return;
        };
        if server
            .write_all(input)
            .and_then(|()| server.shutdown(Shutdown::Write))
            .is_err()
        {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        let peer = Peer::new(ours.as_fd(), ours.as_fd(), channel.as_fd(), deadline);
        let login = Login {
            protocol,
            tag: b"a1",
            utf8: false,
            address: b"joe",
            password: b"x\xff",
        };
        if log_in(&mut dialog::Server::new(peer, deadline, false), &login).is_ok() {
            // What follows the last reply is the client's.
            let mut rest = Vec::new();
            if (&ours).read_to_end(&mut rest).is_ok() {
                assert!(input.ends_with(&rest));
                let taken = input.len() - rest.len();
                assert!(input[..taken].ends_with(b"\r\n"));
            }
        }
    }
}

/// Packets between couriertls and couriertlsd.
pub fn handover(input: &[u8]) {
    if let Some(request) = handover::Request::decode(input) {
        assert_eq!(handover::Request::decode(&request.encode()), Some(request));
    }
    if let Some(reply) = handover::Reply::decode(input) {
        assert_eq!(handover::Reply::decode(&reply.encode()), Some(reply));
    }
}

/// Packets between the parser and the monitor of a login program.
pub fn login_message(input: &[u8]) {
    if let Some(request) = message::Request::decode(input) {
        assert_eq!(request.encode(), input);
    }
    if let Some(answer) = message::Answer::decode(input) {
        assert_eq!(answer.encode(), input);
    }
    message::clean_method(input);
}

/// What clients send to authdaemond.
pub fn authdaemon_request(input: &[u8]) {
    let parsed = protocol::parse(input);
    // However it arrives: what is a request does not become another one, what is none never becomes one.
    for length in 0..input.len().min(64) {
        match protocol::parse(input.get(..length).unwrap_or_default()) {
            protocol::Parsed::Incomplete => {}
            early => assert_eq!(early, parsed),
        }
    }
    if let protocol::Parsed::Request(request) = parsed {
        if let protocol::Command::Auth(auth) = request.command {
            auth.login();
            auth.cram();
        }
    }
}

/// What authdaemond sends: records and lists of accounts.
pub fn account_reply(input: &[u8]) {
    if let Some(account) = AccountInfo::parse(input) {
        if let Ok(reply) = protocol::account_reply(&account) {
            let lines = reply.strip_suffix(b".\n").unwrap_or(&reply);
            assert!(AccountInfo::parse(lines).is_some());
        }
        protocol::listed(&account);
    }
    for line in input.split(|byte| *byte == b'\n') {
        Listed::parse(line);
    }
    let (one, two) = halves(input);
    options::merge(Some(one), two);
    options::items(input).for_each(drop);
    options::is_on(input, b"disableimap");
}

/// An authentication exchange: each line is an answer.
pub fn sasl(input: &[u8]) {
    let context = Context {
        external: Some(b"joe".to_vec()),
        challenge: b"<1.2@host>".to_vec(),
    };
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    for name in [
        &b"PLAIN"[..],
        b"LOGIN",
        b"CRAM-MD5",
        b"CRAM-SHA256",
        b"EXTERNAL",
    ] {
        let Some(mechanism) = Mechanism::by_name(name) else {
            continue;
        };
        let initial = (!first.is_empty()).then_some(first);
        let (mut exchange, mut step) = Exchange::start(mechanism, &context, initial);
        for line in lines.clone().take(8) {
            if !matches!(step, Step::Challenge(_)) {
                break;
            }
            step = exchange.respond(line);
        }
    }
}
