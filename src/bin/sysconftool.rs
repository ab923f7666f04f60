//! `sysconftool [-v] [-n] [-f] [-r VERSION] FILE...`: merges each `FILE.dist` into the live `FILE`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use courier::config::upgrade::upgrade;

/// The version of the original's tool whose behaviour this one has; `-r` compares with it.
const COMPATIBLE_VERSION: [u32; 2] = [0, 21];

/// What scripts see when a file could not be merged.
const SOME_FAILED: u8 = 9;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(&arguments, &mut io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => {
            courier::sys::log::log(
                courier::sys::log::Level::Err,
                format_args!("sysconftool: standard output: {error}"),
            );
            ExitCode::from(SOME_FAILED)
        }
    }
}

fn run(arguments: &[OsString], out: &mut impl Write) -> io::Result<ExitCode> {
    let (program, arguments) = match arguments.split_first() {
        Some((program, rest)) => (program.to_string_lossy(), rest),
        None => ("sysconftool".into(), arguments),
    };
    let mut options = getopts::Options::new();
    options.optflag("v", "", "print the version and stop");
    options.optflag("n", "", "say what would be done, change nothing");
    options.optflag("f", "", "merge even if the version lines are equal");
    options.optopt(
        "r",
        "",
        "fail unless this tool is at least VERSION",
        "VERSION",
    );
    options.optflag("", "help", "print this text");
    let matches = match options.parse(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            write!(
                io::stderr(),
                "{program}: {error}\n{}",
                options.usage("Usage: sysconftool [OPTION]... FILE...")
            )?;
            return Ok(ExitCode::from(1));
        }
    };
    if matches.opt_present("help") {
        write!(
            out,
            "{}",
            options.usage("Usage: sysconftool [OPTION]... FILE...")
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches.opt_present("v") {
        let [major, minor] = COMPATIBLE_VERSION;
        writeln!(out, "{major}.{minor}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(wanted) = matches.opt_str("r") {
        let wanted: Option<Vec<u32>> = wanted.split('.').map(|part| part.parse().ok()).collect();
        if wanted.is_none_or(|wanted| wanted.as_slice() > COMPATIBLE_VERSION.as_slice()) {
            writeln!(io::stderr(), "{program}: Version not supported.")?;
            return Ok(ExitCode::from(255));
        }
    }

    let mut code = ExitCode::SUCCESS;
    for file in &matches.free {
        let file = Path::new(file);
        match upgrade(file, matches.opt_present("f"), matches.opt_present("n")) {
            Ok(None) => {}
            Ok(Some(merged)) => {
                let name = file.file_name().map_or(&b""[..], OsStrExt::as_bytes);
                out.write_all(name.strip_suffix(b".dist").unwrap_or(name))?;
                writeln!(out, ":")?;
                for (tag, status) in &merged.report {
                    out.write_all(b"  ")?;
                    out.write_all(tag)?;
                    writeln!(out, ": {status}")?;
                }
            }
            Err(error) => {
                writeln!(out, "{error}")?;
                code = ExitCode::from(SOME_FAILED);
            }
        }
    }
    out.flush()?;
    Ok(code)
}
