//! Whole sessions fed with what no client would send: a small fuzzer with the same inputs each time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these functions are parts of a test"
)]

mod checked_session;

use checked_session::check;

/// What inputs are made of.
const WORDS: &[&str] = &[
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    " ",
    " ",
    "\t",
    "\r",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "0",
    "-1",
    "+2",
    "007",
    "1x",
    "99999999999999999999",
    "18446744073709551617",
    "\0",
    "\u{fc}",
    ".",
    "STAT\r\n",
    "stat",
    "LIST",
    "LIST\r\n",
    "LIST 2",
    "UIDL\r\n",
    "uidl 5",
    "RETR",
    "RETR 1\r\n",
    "RETR 2\r\n",
    "RETR 3\r\n",
    "RETR 4\r\n",
    "Retr 5\r\n",
    "TOP",
    "TOP 1 0\r\n",
    "TOP 2 1\r\n",
    "TOP 2 99\r\n",
    "TOP 3 0\r\n",
    "TOP 4 3\r\n",
    "TOP 5 1\r\n",
    "TOP 1 -1\r\n",
    "DELE",
    "DELE 1\r\n",
    "DELE 2\r\n",
    "DELE 5\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "CAPA\r\n",
    "LANG\r\n",
    "LANG en\r\n",
    "LANG *",
    "UTF8\r\n",
    "QUIT\r\n",
    "USER x\r\n",
    "PASS x\r\n",
    "STLS\r\n",
    "AUTH PLAIN\r\n",
    "APOP a b\r\n",
    "LAST\r\n",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }
}

#[test]
fn any_input_is_answered_line_by_line_and_deletes_only_what_it_may() {
    const INPUTS: usize = 400;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    // In memory where that can be had: every session waits for its list to be on disk.
    let place = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let (mut accepted, mut quits) = (0, 0);
    for round in 0..INPUTS {
        let mut input = Vec::new();
        for _ in 0..random.below(40) {
            input.extend_from_slice(WORDS[random.below(WORDS.len())].as_bytes());
        }
        // Some of it torn, some of it noise, some of it long.
        for _ in 0..random.below(4) {
            let at = random.below(input.len() + 1);
            match random.below(4) {
                0 => input.truncate(at),
                1 => input.insert(at, u8::try_from(random.below(256)).unwrap()),
                2 => {
                    let long = vec![b'x'; 8150 + random.below(80)];
                    input.splice(at..at, long);
                }
                _ => {
                    let copied = input[at..].to_vec();
                    input.extend_from_slice(&copied);
                }
            }
        }
        let outcome = std::panic::catch_unwind(|| check(place.path(), &input));
        let outcome = outcome.unwrap_or_else(|_| panic!("round {round}: {}", input.escape_ascii()));
        accepted += outcome.accepted;
        quits += usize::from(outcome.quit);
    }
    // The inputs are not so broken that nothing is executed.
    assert!(accepted > INPUTS * 2, "{accepted}");
    assert!(quits > INPUTS / 10 && quits < INPUTS, "{quits}");
}
