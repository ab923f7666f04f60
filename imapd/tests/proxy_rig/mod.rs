//! Servers that accounts are proxied to, made of what they say.
#![allow(dead_code, clippy::unwrap_used)] // test code: a failure is a failed test

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::login_rig::Rig;

/// One connection to such a server.
pub(crate) struct Talk {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    heard: Vec<String>,
}

impl Talk {
    pub(crate) fn say(&mut self, text: &str) {
        // The other side may have left.
        self.stream.write_all(text.as_bytes()).ok();
    }

    /// Hears a line; empty at the end.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok();
        let line = String::from_utf8_lossy(&line).into_owned();
        self.heard.push(line.clone());
        line
    }

    /// Hears everything until the end.
    pub(crate) fn rest(&mut self) -> usize {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).ok();
        self.heard.push(String::from_utf8_lossy(&rest).into_owned());
        rest.len()
    }

    /// Ends the connection without the other side's leave.
    pub(crate) fn reset(self) {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(&self.stream, nix::sys::socket::sockopt::Linger, &linger)
            .unwrap();
    }
}

/// A server; each of its connections is served by the same function.
pub(crate) struct Backend {
    pub(crate) port: u16,
    heard: Receiver<Vec<String>>,
}

impl Backend {
    pub(crate) fn new(serve: impl Fn(&mut Talk) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(60)))
                    .unwrap();
                let mut talk = Talk {
                    reader: BufReader::new(stream.try_clone().unwrap()),
                    stream,
                    heard: Vec::new(),
                };
                serve(&mut talk);
                // Nobody may want to know.
                sender.send(talk.heard).ok();
            }
        });
        Self { port, heard }
    }

    /// How an account names it.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What was said on the next connection that ended.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// With an account `al` of these servers, whose password is `x y`; `more` is what else authdaemond says about it.
pub(crate) fn rig(variable: &str, hosts: &str, more: &str) -> Rig {
    let mut rig = Rig::without_daemon();
    let account = rig.account("al@x", &format!("OPTIONS=mailhost={hosts}\n{more}"));
    rig.serve(move |_| Some(account.clone()));
    rig.set(variable, "1");
    rig
}
