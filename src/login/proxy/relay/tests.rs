use super::*;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::SfdFlags;

/// Never the reason why a test ends, unless it says so.
const LONG: Duration = Duration::from_secs(60);

fn patience() -> Patience {
    Patience {
        quiet: LONG,
        stalled: LONG,
        ending: LONG,
        linger: Duration::from_secs(1),
    }
}

/// A relay in a thread, the client's end and the server's.
fn relay(
    patience: Patience,
    first: [&'static [u8]; 2],
) -> (JoinHandle<Ended>, UnixStream, UnixStream) {
    let (client, near) = UnixStream::pair().unwrap();
    let (server, far) = UnixStream::pair().unwrap();
    for end in [&client, &server] {
        end.set_read_timeout(Some(LONG)).unwrap();
    }
    let running = std::thread::spawn(move || {
        let signals = SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_CLOEXEC).unwrap();
        let far = OwnedFd::from(far);
        let ends = Ends {
            input: near.as_fd(),
            output: near.as_fd(),
            server: &far,
        };
        run(ends, &signals, patience, first).unwrap()
    });
    (running, client, server)
}

fn rest(stream: &mut UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn both_are_heard_and_the_first_words_come_first() {
    let (running, mut client, mut server) = relay(patience(), [b"hello ", b"you "]);
    client.write_all(b"question").unwrap();
    let mut heard = [0; 12];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"you question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(rest(&mut client), "hello answer");
    drop(client);
    let ended = running.join().unwrap();
    assert_eq!(
        ended,
        Ended {
            end: End::Server,
            received: 8,
            sent: 12
        }
    );
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answer() {
    let (running, mut client, mut server) = relay(patience(), [b"", b""]);
    client.write_all(b"QUIT").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut server), "QUIT");
    server.write_all(b"bye").unwrap();
    drop(server);
    assert_eq!(rest(&mut client), "bye");
    assert_eq!(running.join().unwrap().end, End::Broken);
}

#[test]
fn the_last_words_reach_a_client_that_goes_on_talking() {
    let (running, mut client, mut server) = relay(patience(), [b"", b""]);
    server.write_all(b"bye").unwrap();
    drop(server);
    // Until nobody takes it any more.
    while client.write_all(&[b'x'; 1000]).is_ok() {}
    let mut heard = [0; 3];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"bye");
    assert_eq!(running.join().unwrap().end, End::Server);
}

#[test]
fn much_is_passed_on_whole_and_little_is_held() {
    let (running, mut client, server) = relay(patience(), [b"", b""]);
    server.set_nonblocking(true).unwrap();
    // The client reads nothing: soon nothing more is taken from the server.
    let chunk = vec![b'x'; 64 * 1024];
    let mut total = 0_u64;
    let mut idle = 0;
    while idle < 20 {
        match (&server).write(&chunk) {
            Ok(count) => (total, idle) = (total + count as u64, 0),
            Err(_) => {
                idle += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    assert!(total < 4 << 20, "{total}");
    drop(server);
    assert_eq!(rest(&mut client).len() as u64, total);
    drop(client);
    assert_eq!(running.join().unwrap().sent, total);
}

#[test]
fn a_client_that_leaves_ends_it() {
    let (running, client, mut server) = relay(patience(), [b"", b""]);
    drop(client);
    assert_eq!(rest(&mut server), "");
    drop(server);
    assert_eq!(running.join().unwrap().end, End::Broken);
}

#[test]
fn each_kind_of_silence_has_its_limit() {
    let short = Duration::from_millis(50);
    let quiet = Patience {
        quiet: short,
        ..patience()
    };
    let (running, _client, _server) = relay(quiet, [b"", b""]);
    assert_eq!(running.join().unwrap().end, End::TimedOut);
    let ending = Patience {
        ending: short,
        ..patience()
    };
    let (running, client, _server) = relay(ending, [b"", b""]);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(running.join().unwrap().end, End::TimedOut);
    let stalled = Patience {
        stalled: short,
        ..patience()
    };
    let (running, _client, server) = relay(stalled, [b"", b""]);
    // It is more than the sockets hold, so this ends when the relay does.
    let written = (&server).write_all(&vec![b'x'; 16 << 20]);
    assert!(written.is_err());
    assert_eq!(running.join().unwrap().end, End::TimedOut);
}
