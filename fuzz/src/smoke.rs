//! Runs every target upon its seeds and mutations of them: `smoke [SECONDS [TARGET...]]`, so many seconds altogether.
//!
//! It is no match for libFuzzer, which knows what is covered; but it runs anywhere, finds what is near, and keeps what
//! was found from coming back. Each target has a process of its own, with little memory. A panic, a crash, an input
//! that takes longer than [`SLOW`] or more memory than [`MEMORY`] makes it fail, and the input lies in `artifacts/`.
//! `FUZZ_SEED` chooses the mutations; without it they are the same in every run, as far as time allows.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use courier_fuzz::{TARGETS, Target};
use nix::sys::resource::{Resource, setrlimit};

/// No input of [`LONGEST`] octets may take this long; generous, for busy machines.
const SLOW: Duration = Duration::from_secs(8);
/// Octets of address space of the process that runs a target.
const MEMORY: u64 = 512 << 20;
/// Octets of the longest input made.
const LONGEST: usize = 64 * 1024;
/// First argument of the process that runs one target.
const ONE: &str = "--one";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let one = arguments.next_if(|first| first == ONE).is_some();
    let seconds: f64 = arguments.next().map_or(Ok(25.0), |text| text.parse())?;
    let wanted: Vec<String> = arguments.collect();
    for name in &wanted {
        if !TARGETS.iter().any(|target| target.0 == name) {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.0).collect();
            return Err(format!("no target {name}; there are {}", names.join(", ")).into());
        }
    }
    let targets: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| wanted.is_empty() || wanted.iter().any(|name| name == target.0))
        .collect();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let ([target], true) = (targets.as_slice(), one) {
        let count = run(target, home, Duration::from_secs_f64(seconds))?;
        write!(std::io::stdout().lock(), "{count}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = false;
    let each = seconds / targets.len() as f64;
    for target in targets {
        let done = watch(target.0, home, each)?;
        let mut out = std::io::stdout().lock();
        match done {
            Ok(count) => writeln!(out, "fuzz: {}: {count} inputs", target.0)?,
            Err(path) => {
                failed = true;
                writeln!(out, "fuzz: {}: FAILED on {}", target.0, path.display())?;
            }
        }
    }
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Where the input lies that a process is at, in memory where there is some.
fn current() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    directory.join(format!("courier-fuzz-{}", std::process::id()))
}

/// Runs a target in a process of its own: the number of inputs tried, or where the one is that it failed on.
fn watch(name: &str, home: &Path, seconds: f64) -> Result<Result<String, PathBuf>, Box<dyn Error>> {
    let child = Command::new(std::env::current_exe()?)
        .args([ONE, &seconds.to_string(), name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let path = current().with_file_name(format!("courier-fuzz-{}", child.id()));
    let output = child.wait_with_output()?;
    let input = std::fs::read(&path);
    // It may not have come that far.
    let _ = std::fs::remove_file(&path);
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    // What the parsers log about good runs is nobody's business.
    let said = output
        .stderr
        .get(output.stderr.len().saturating_sub(4096)..);
    std::io::stderr()
        .lock()
        .write_all(said.unwrap_or(&output.stderr))?;
    let input = input?;
    let length = input
        .first_chunk()
        .map_or(0, |length| u64::from_le_bytes(*length));
    let input = input.get(8..).unwrap_or_default();
    let input = input.get(..usize::try_from(length)?).unwrap_or(input);
    Ok(Err(keep(&home.join("artifacts"), name, input)?))
}

/// Ends the process when one input takes too long: nothing else can end a loop.
fn end_when_slow(since: Arc<Mutex<Instant>>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let since = *since.lock().unwrap_or_else(PoisonError::into_inner);
            if since.elapsed() > SLOW {
                // The process ends with a failure in any case.
                let _ = writeln!(std::io::stderr().lock(), "fuzz: it takes too long");
                std::process::abort();
            }
        }
    });
}

fn keep(artifacts: &Path, target: &str, input: &[u8]) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(artifacts)?;
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = artifacts.join(format!("{target}-{hash:016x}"));
    std::fs::write(&path, input)?;
    Ok(path)
}

/// The number of inputs tried in this process.
fn run(
    &(name, function, words): &Target,
    home: &Path,
    time: Duration,
) -> Result<u64, Box<dyn Error>> {
    let mut seeds: Vec<Vec<u8>> = vec![Vec::new()];
    let mut folders = vec![home.join("seeds").join(name)];
    if name == "mime" {
        folders.push(home.join("../tests/corpus"));
    }
    for folder in folders {
        if folder.is_dir() {
            let mut paths = std::fs::read_dir(folder)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>()?;
            paths.sort();
            for path in paths {
                seeds.push(std::fs::read(path)?);
            }
        }
    }
    seeds.extend(words.iter().map(|word| word.as_bytes().to_vec()));
    let file = File::create(current())?;
    let since = Arc::new(Mutex::new(Instant::now()));
    end_when_slow(Arc::clone(&since));
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?;
    let mut random = Random::seeded();
    let start = Instant::now();
    let mut count = 0_u64;
    loop {
        let index = usize::try_from(count).unwrap_or(usize::MAX);
        // Every seed as it is first.
        let input = match seeds.get(index) {
            Some(seed) => seed.clone(),
            None if start.elapsed() >= time => return Ok(count),
            None => random.mutation(&seeds, words),
        };
        *since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let record = [&(input.len() as u64).to_le_bytes(), input.as_slice()].concat();
        file.write_all_at(&record, 0)?;
        function(&input);
        count += 1;
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed: Option<u64> = std::env::var("FUZZ_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        // Seeds that differ in a bit begin far apart; 0 would stay 0.
        Self(
            seed.unwrap_or(1)
                .wrapping_add(1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                | 1,
        )
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which may be 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }

    fn mutation(&mut self, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = self.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            let to = (at + self.below(32)).min(input.len());
            match self.below(12) {
                0 => flip(&mut input, at, 1 << self.below(8)),
                1 => {
                    let byte = self.next() as u8;
                    input.insert(at, byte);
                }
                2 => drop(input.drain(at..to)),
                3 => input.truncate(at),
                4 => {
                    let piece = input.get(at..to).unwrap_or_default().to_vec();
                    let times = 1 << self.below(9);
                    let copies = piece.repeat(times);
                    input.splice(at..at, copies);
                }
                5 | 6 | 7 => {
                    let word = self.pick(words).copied().unwrap_or_default();
                    input.splice(at..at, word.bytes());
                }
                8 => {
                    let other = self.pick(seeds).cloned().unwrap_or_default();
                    let from = self.below(other.len() + 1);
                    input.splice(at.., other.into_iter().skip(from));
                }
                9 => {
                    let number = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
                    let number = self.pick(&number).copied().unwrap_or_default();
                    let bytes = number.to_le_bytes();
                    let width = [1, 2, 4, 8][self.below(4)];
                    let end = (at + width).min(input.len());
                    input.splice(at..end, bytes.into_iter().take(width));
                }
                10 => {
                    let number = self.next() >> self.below(64);
                    input.splice(at..to, number.to_string().into_bytes());
                }
                _ => {
                    let byte = [0, b'\n', b'\r', b' ', 0xff, 0x80, b'\\', b'"'][self.below(8)];
                    let run = 1 + self.below(4);
                    input.splice(at..at, std::iter::repeat_n(byte, run));
                }
            }
        }
        input.truncate(LONGEST);
        input
    }
}

fn flip(input: &mut [u8], at: usize, bit: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bit;
    }
}
