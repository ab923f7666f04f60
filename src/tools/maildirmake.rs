//! `maildirmake`: makes a maildir, or a folder in one (contract: tools 1).

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::maildir::{
    Error, ErrorKind, FolderName, Maildir, Options, QuotaLimits, make_folder, make_maildir,
};
use crate::text::charset;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Job {
    Usage,
    Help,
    Version,
    /// An option whose feature does not exist in this build.
    Unsupported(OsString),
    /// `-q`: set the quota, and make the maildir if there is none.
    Quota {
        maildir: PathBuf,
        quota: Vec<u8>,
        sharable: bool,
    },
    /// The folder's name cannot be converted from the locale's charset.
    Unconvertible(OsString),
    Make {
        maildir: PathBuf,
        folder: Option<Vec<u8>>,
        sharable: bool,
    },
}

/// Runs the tool on `arguments` (without the program's name); the exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn run(
    arguments: &[OsString],
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    match parse(arguments, &locale_charset()) {
        Job::Usage => {
            writeln!(out, "Usage: maildirmake [ options ] maildir")?;
            Ok(1)
        }
        Job::Help => {
            out.write_all(HELP.as_bytes())?;
            Ok(0)
        }
        Job::Version => {
            writeln!(out, "maildirmake {}", env!("CARGO_PKG_VERSION"))?;
            Ok(0)
        }
        Job::Unsupported(option) => {
            writeln!(
                errors,
                "maildirmake: {}: not supported by this version",
                option.to_string_lossy()
            )?;
            Ok(1)
        }
        Job::Unconvertible(name) => {
            writeln!(
                errors,
                "Cannot convert {} to maildir encoding",
                name.to_string_lossy()
            )?;
            Ok(1)
        }
        Job::Quota {
            maildir,
            quota,
            sharable,
        } => set_quota(&maildir, &quota, sharable, errors),
        Job::Make {
            maildir,
            folder,
            sharable,
        } => make(&maildir, folder.as_deref(), sharable, out, errors),
    }
}

const HELP: &str = "\
Usage: maildirmake [ options ] maildir
  -S         others may read the maildir's list of folders (mode 0755)
  -f NAME    make the folder NAME in the maildir, which must exist
  -F NAME    the same; NAME is in the locale's charset and is one folder whatever it contains
  -q QUOTA   set the quota, as in 10000000S,1000C; makes the maildir if need be
  --help     print this text
  --version  print the version
";

fn parse(arguments: &[OsString], charset: &[u8]) -> Job {
    let mut folder = None;
    let mut quota = None;
    let mut sharable = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let bytes = argument.as_bytes();
        match bytes {
            b"--help" => return Job::Help,
            b"--version" => return Job::Version,
            b"-S" => sharable = true,
            [b'-', letter @ (b'f' | b'F' | b'q'), attached @ ..] => {
                let value = match (attached.is_empty(), rest.as_slice().first()) {
                    (false, _) => attached.to_vec(),
                    (true, Some(value)) => {
                        rest.next();
                        value.as_bytes().to_vec()
                    }
                    (true, None) => return Job::Usage,
                };
                match letter {
                    b'q' => quota = Some(value),
                    b'f' => folder = Some(value),
                    _ => match encode(&value, charset) {
                        Some(name) => folder = Some(name),
                        None => return Job::Unconvertible(OsString::from_vec(value)),
                    },
                }
            }
            [b'-', b's', ..] => {
                let option = bytes.get(..2).unwrap_or_default();
                return Job::Unsupported(OsStr::from_bytes(option).to_owned());
            }
            b"--add" | b"--del" | b"--checkutf8" | b"--convutf8" => {
                return Job::Unsupported(argument.clone());
            }
            [b'-', _, ..] => return Job::Usage,
            _ => {
                let maildir = PathBuf::from(argument);
                return match quota {
                    // The quota is the account's, whatever the folder.
                    Some(quota) => Job::Quota {
                        maildir,
                        quota,
                        sharable,
                    },
                    None => Job::Make {
                        maildir,
                        folder,
                        sharable,
                    },
                };
            }
        }
    }
    Job::Usage
}

fn make(
    maildir: &Path,
    folder: Option<&[u8]>,
    sharable: bool,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    // Modes are exact, whoever calls this.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let made = match folder {
        None => make_maildir(maildir, if sharable { 0o755 } else { 0o700 })
            .map_err(|error| (maildir.to_path_buf(), error)),
        Some(b"INBOX") => {
            writeln!(errors, "maildirmake: {}: File exists", maildir.display())?;
            return Ok(1);
        }
        Some(folder) => match FolderName::new(folder) {
            Ok(name) => {
                let path = maildir.join(OsStr::from_bytes(&name.directory()));
                make_folder(maildir, &name).map_err(|error| (path, error))
            }
            Err(reason) => {
                writeln!(
                    out,
                    "Invalid folder name: {}",
                    String::from_utf8_lossy(folder)
                )?;
                writeln!(errors, "maildirmake: {reason}")?;
                return Ok(1);
            }
        },
    };
    match made {
        Ok(()) => Ok(0),
        Err((path, error)) => {
            writeln!(
                errors,
                "maildirmake: {}: {}",
                path.display(),
                reason(&error)
            )?;
            Ok(1)
        }
    }
}

/// Sets the quota and counts all messages. Limits of 0 change nothing.
fn set_quota(
    maildir: &Path,
    quota: &[u8],
    sharable: bool,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let Some(limits) = QuotaLimits::parse_strict(quota) else {
        let quota = String::from_utf8_lossy(quota);
        writeln!(errors, "maildirmake: quota string '{quota}' not parseable")?;
        return Ok(1);
    };
    let made = match make_maildir(maildir, if sharable { 0o755 } else { 0o700 }) {
        Err(error) if error.kind() == ErrorKind::FolderExists => Ok(()),
        made => made,
    };
    let set = made.and_then(|()| {
        let maildir = Maildir::open(maildir, Options::from_environment())?;
        if limits.is_none() {
            return Ok(());
        }
        maildir.set_quota(limits)
    });
    match set {
        Ok(()) => Ok(0),
        Err(error) => {
            let path = maildir.display();
            writeln!(errors, "maildirmake: {path}: {}", reason(&error))?;
            Ok(1)
        }
    }
}

/// The system's words for an error, without the operation: the original prints only these.
fn reason(error: &Error) -> String {
    error
        .errno()
        .map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}

/// The charset of the locale's character type; UTF-8 where none is named.
fn locale_charset() -> Vec<u8> {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let locale = locale.as_bytes();
    let codeset = memchr::memchr(b'.', locale)
        .and_then(|dot| locale.get(dot + 1..))
        .unwrap_or_default();
    let end = memchr::memchr(b'@', codeset).unwrap_or(codeset.len());
    match codeset.get(..end) {
        None | Some([]) => b"UTF-8".to_vec(),
        Some(codeset) => codeset.to_vec(),
    }
}

/// A name as one component: UTF-8, with control bytes and `. / ~ : \` as backslash and three octal digits
/// (contract: maildir 2.2). `None` if it is empty or not text in `charset`.
fn encode(name: &[u8], charset: &[u8]) -> Option<Vec<u8>> {
    let text = match std::str::from_utf8(name) {
        Ok(text) if charset.eq_ignore_ascii_case(b"UTF-8") || text.is_ascii() => text.to_owned(),
        _ if charset.eq_ignore_ascii_case(b"UTF-8") || charset.eq_ignore_ascii_case(b"utf8") => {
            return None;
        }
        _ => {
            let text = charset::decode(charset, name)?;
            if text.contains(char::REPLACEMENT_CHARACTER) {
                return None;
            }
            text.into_owned()
        }
    };
    if text.is_empty() {
        return None;
    }
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if byte < 0x20 || b"./~:\\".contains(&byte) {
            encoded.extend_from_slice(format!("\\{byte:03o}").as_bytes());
        } else {
            encoded.push(byte);
        }
    }
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn call(arguments: &[&str]) -> (u8, String, String) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = run(&arguments, &mut out, &mut errors).unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(errors).unwrap(),
        )
    }

    #[test]
    fn command_lines_are_taken_as_the_original_takes_them() {
        let parse = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            parse(&arguments, b"UTF-8")
        };
        let make = |folder: Option<&[u8]>, sharable| Job::Make {
            maildir: "M".into(),
            folder: folder.map(<[u8]>::to_vec),
            sharable,
        };
        assert_eq!(parse(&["M", "ignored"]), make(None, false));
        assert_eq!(parse(&["-S", "M"]), make(None, true));
        assert_eq!(parse(&["-fA.b", "M"]), make(Some(b"A.b"), false));
        assert_eq!(parse(&["-f", "A", "M"]), make(Some(b"A"), false));
        assert_eq!(parse(&["-F", "a.b", "M"]), make(Some(b"a\\056b"), false));
        for usage in [
            &[][..],
            &["-S"],
            &["-f"],
            &["-f", "x"],
            &["-x", "M"],
            &["-Sx", "M"],
        ] {
            assert_eq!(parse(usage), Job::Usage, "{usage:?}");
        }
        for option in ["-s", "--add", "--del", "--checkutf8", "--convutf8"] {
            assert_eq!(parse(&[option, "M"]), Job::Unsupported(option.into()));
        }
        let quota = |sharable| Job::Quota {
            maildir: "M".into(),
            quota: b"10C".to_vec(),
            sharable,
        };
        assert_eq!(parse(&["-q10C", "M"]), quota(false));
        assert_eq!(parse(&["-q", "10C", "-S", "-f", "A", "M"]), quota(true));
    }

    #[test]
    fn a_quota_is_set_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M");
        let maildir = path.to_str().unwrap();
        let done = (0, String::new(), String::new());
        let file = || std::fs::read_to_string(path.join("maildirsize")).unwrap_or_default();
        assert_eq!(call(&["-q", "10C 20S", maildir]), done);
        assert_eq!(file(), "20S,10C\n           0            0\n");
        std::fs::write(path.join("new/1.a"), "12345").unwrap();
        std::fs::write(path.join("cur/2.b,S=7:2,S"), "").unwrap();
        std::fs::write(path.join("cur/3.c:2,T"), "123").unwrap();
        assert_eq!(call(&["-q30C", maildir]), done);
        assert_eq!(file(), "30C\n          12            2\n");
        assert_eq!(call(&["-q", "0C", maildir]), done);
        let bad = "maildirmake: quota string '10M' not parseable\n".to_owned();
        assert_eq!(call(&["-q", "10M", maildir]), (1, String::new(), bad));
        assert_eq!(file(), "30C\n          12            2\n");
        let missing = format!("{maildir}/a/b");
        assert_eq!(call(&["-q", "1C", &missing]).0, 1);
    }

    #[test]
    fn names_in_the_locale_s_charset_become_one_component() {
        assert_eq!(
            encode("Rés/um~é:x&y".as_bytes(), b"UTF-8").unwrap(),
            "Rés\\057um\\176é\\072x&y".as_bytes()
        );
        assert_eq!(
            encode(b"\xe9t\xe9", b"ISO-8859-1").unwrap(),
            "été".as_bytes()
        );
        assert_eq!(encode(b"\xe9", b"UTF-8"), None);
        assert_eq!(encode(b"", b"UTF-8"), None);
    }

    #[test]
    fn maildirs_and_folders_are_made_with_exact_modes_and_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M");
        let maildir = path.to_str().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let done = (0, String::new(), String::new());
        assert_eq!(call(&["-S", maildir]), done);
        assert_eq!(mode(&path), 0o755);
        for part in ["tmp", "new", "cur"] {
            assert_eq!(mode(&path.join(part)), 0o700);
        }
        let exists = (
            1,
            String::new(),
            format!("maildirmake: {maildir}: File exists\n"),
        );
        assert_eq!(call(&[maildir]), exists);
        assert_eq!(call(&["-f", "INBOX", maildir]), exists);
        assert_eq!(call(&["-f", "A.b", maildir]), done);
        assert_eq!(mode(&path.join(".A.b")), 0o700);
        assert_eq!(mode(&path.join(".A.b/maildirfolder")), 0o600);
        let folder = (
            1,
            String::new(),
            format!("maildirmake: {maildir}/.A.b: File exists\n"),
        );
        assert_eq!(call(&["-f", "A.b", maildir]), folder);
        let (code, out, _) = call(&["-f", ".Bad", maildir]);
        assert_eq!((code, out.as_str()), (1, "Invalid folder name: .Bad\n"));
        let missing = format!("{maildir}/a/b");
        let (code, _, errors) = call(&[&missing]);
        assert_eq!(
            (code, errors),
            (
                1,
                format!("maildirmake: {missing}: No such file or directory\n")
            )
        );
        let (code, _, errors) = call(&["-f", "x", &missing]);
        assert_eq!(
            (code, errors),
            (
                1,
                format!("maildirmake: {missing}/.x: No such file or directory\n")
            )
        );
    }
}
