//! `pw2userdb`: prints the system's passwd and shadow files as userdb text.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::ExitCode;

use courier::sys::log::reason;

use super::{complain, fail, print};

/// Exit status for bad options, the original's.
const USAGE: u8 = 255;

/// What the options say.
struct Options {
    passwd: OsString,
    shadow: Option<OsString>,
    reverse: bool,
    domain: Vec<u8>,
    /// uid and gid in place of every account's own.
    owner: Option<(Vec<u8>, Vec<u8>)>,
}

/// Runs the tool.
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let options = match options(arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let read = |path: &OsString| {
        std::fs::read(Path::new(path)).map_err(|error| {
            fail(format_args!(
                "{}: {}",
                Path::new(path).display(),
                reason(&error)
            ))
        })
    };
    let passwd = match read(&options.passwd) {
        Ok(passwd) => passwd,
        Err(code) => return code,
    };
    let shadow = match options.shadow.as_ref().map(read).transpose() {
        Ok(shadow) => shadow.unwrap_or_default(),
        Err(code) => return code,
    };
    print(&convert(&passwd, &shadow, &options))
}

fn options(arguments: &[Vec<u8>]) -> Result<Options, ExitCode> {
    let mut options = Options {
        passwd: "/etc/passwd".into(),
        shadow: Some("/etc/shadow".into()),
        reverse: true,
        domain: Vec::new(),
        owner: None,
    };
    for argument in arguments {
        let equals = argument.iter().position(|&byte| byte == b'=');
        let (name, value) = argument.split_at(equals.unwrap_or(argument.len()));
        let value = value.get(1..).unwrap_or_default().to_vec();
        match (name, equals) {
            (b"--passwd", Some(_)) => options.passwd = OsString::from_vec(value),
            (b"--shadow", Some(_)) => options.shadow = Some(OsString::from_vec(value)),
            (b"--domain", Some(_)) => options.domain = value,
            (b"--noshadow", None) => options.shadow = None,
            (b"--nouid", None) => options.reverse = false,
            (b"--vpopuid", None) => match nix::unistd::User::from_name("vpopmail") {
                Ok(Some(user)) => {
                    options.owner = Some((
                        user.uid.to_string().into_bytes(),
                        user.gid.to_string().into_bytes(),
                    ));
                }
                _ => return Err(fail(format_args!("There is no user vpopmail."))),
            },
            _ => {
                complain(format_args!(
                    "Unknown option: {}",
                    String::from_utf8_lossy(argument)
                ));
                complain(format_args!("Invalid options."));
                return Err(ExitCode::from(USAGE));
            }
        }
    }
    Ok(options)
}

fn convert(passwd: &[u8], shadow: &[u8], options: &Options) -> Vec<u8> {
    let hashes: HashMap<&[u8], &[u8]> = shadow
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let mut output = Vec::new();
    for line in passwd
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.starts_with(b"#"))
    {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        // Anything else is no account (a NIS marker, a damaged line).
        let [name, hash, uid, gid, gecos, home, rest @ ..] = fields.as_slice() else {
            continue;
        };
        if name.is_empty() {
            continue;
        }
        let shell = rest.first().copied().unwrap_or_default();
        let (uid, gid) = match &options.owner {
            Some((uid, gid)) => (uid.as_slice(), gid.as_slice()),
            None => (*uid, *gid),
        };
        // "x" says that the hash is in the shadow file.
        let hash = hashes
            .get(name)
            .copied()
            .unwrap_or(if *hash == b"x" { b"" } else { hash });
        let gecos: Vec<u8> = gecos
            .iter()
            .map(|&byte| if byte == b'|' { b'.' } else { byte })
            .collect();
        let mut full = name.to_vec();
        if !options.domain.is_empty() {
            full.push(b'@');
            full.extend_from_slice(&options.domain);
        }
        output.extend_from_slice(&full);
        for (border, value) in [
            ("\tuid=", uid),
            ("|gid=", gid),
            ("|home=", home),
            ("|shell=", shell),
            ("|systempw=", hash),
            ("|gecos=", &gecos),
        ] {
            // The first three are always there, so that the line stays a record.
            if !value.is_empty() || border.ends_with("id=") || border == "|home=" {
                output.extend_from_slice(border.as_bytes());
                output.extend_from_slice(value);
            }
        }
        output.push(b'\n');
        if options.reverse {
            output.extend_from_slice(&[uid, b"=\t", &full, b"\n"].concat());
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_become_records_and_reverse_lines() {
        let passwd = b"x:x:1000:1001:Gec|os,a:/home/x:/bin/sh\ny::1001:5::/h:\n#c:x:1:1::/:\nz:HASH:1:2:g:/z:/s\n\
                       locked:x:7:7::/l\nbroken:x\n\n";
        let shadow = b"x:SHADOW:1:::::\n";
        let options = |arguments: &[&str]| {
            let arguments: Vec<Vec<u8>> = arguments
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect();
            options(&arguments).unwrap()
        };
        assert_eq!(
            String::from_utf8(convert(passwd, shadow, &options(&[]))).unwrap(),
            "x\tuid=1000|gid=1001|home=/home/x|shell=/bin/sh|systempw=SHADOW|gecos=Gec.os,a\n1000=\tx\n\
             y\tuid=1001|gid=5|home=/h\n1001=\ty\n\
             z\tuid=1|gid=2|home=/z|shell=/s|systempw=HASH|gecos=g\n1=\tz\n\
             locked\tuid=7|gid=7|home=/l\n7=\tlocked\n"
        );
        let some = convert(passwd, b"", &options(&["--nouid", "--domain=ex"]));
        assert!(some.starts_with(
            b"x@ex\tuid=1000|gid=1001|home=/home/x|shell=/bin/sh|gecos=Gec.os,a\ny@ex"
        ));
    }
}
