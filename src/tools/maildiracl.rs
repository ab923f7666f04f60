//! `maildiracl`: shows and changes access control lists of a maildir (contract: tools 2, shared-folders A).

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::maildir::{Acl, Error, FolderName, Maildir, Minimum, Options, Rights};

/// Letters that a list may get.
const KNOWN: &[u8] = b"aceilprstwx";

const USAGE: &str = "Usage: maildiracl [ options ] maildir [INBOX[.folder] [identifier rights]]";

const HELP: &str = "\
Usage: maildiracl -list MAILDIR FOLDER                     who has which rights
       maildiracl -set MAILDIR FOLDER IDENTIFIER RIGHTS    give rights; +RIGHTS adds, -RIGHTS takes away
       maildiracl -delete MAILDIR FOLDER IDENTIFIER        remove the entry
       maildiracl -compute MAILDIR FOLDER IDENTIFIER...    the rights of whoever is all of these
       maildiracl -reset MAILDIR                           remove what names without folders left behind
FOLDER is INBOX or INBOX.name.
";

/// Why a command was not done.
enum Failure {
    /// The command line is wrong.
    Usage,
    /// The text for standard error.
    Told(String),
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
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    if let [b"--help", ..] = words.as_slice() {
        out.write_all(HELP.as_bytes())?;
        return Ok(0);
    }
    if let [b"--version", ..] = words.as_slice() {
        writeln!(out, "maildiracl {}", env!("CARGO_PKG_VERSION"))?;
        return Ok(0);
    }
    match done(&words) {
        Ok(text) => {
            out.write_all(&text)?;
            Ok(0)
        }
        Err(Failure::Usage) => {
            writeln!(out, "{USAGE}")?;
            Ok(1)
        }
        Err(Failure::Told(text)) => {
            writeln!(errors, "{text}")?;
            Ok(1)
        }
    }
}

/// Does the command; what it prints.
fn done(words: &[&[u8]]) -> Result<Vec<u8>, Failure> {
    let (command, maildir, rest) = match words {
        [command, maildir, rest @ ..] => (*command, *maildir, rest),
        _ => return Err(Failure::Usage),
    };
    let path = OsString::from_vec(maildir.to_vec());
    let open = || {
        Maildir::open(Path::new(&path), Options::from_environment())
            .map_err(|error| told(maildir, &error))
    };
    match (command, rest) {
        (b"-reset", _) => {
            open()?
                .reset_acls()
                .map_err(|error| told(maildir, &error))?;
            Ok(Vec::new())
        }
        (b"-list", [name, ..]) => {
            let acl = list(&open()?, maildir, &folder(name)?)?;
            let mut text = Vec::new();
            for (identifier, rights) in acl.entries() {
                text.extend_from_slice(identifier);
                text.push(b'\t');
                text.extend_from_slice(rights.letters());
                text.push(b'\n');
            }
            Ok(text)
        }
        (b"-compute", [name, identifiers @ ..]) if !identifiers.is_empty() => {
            let acl = list(&open()?, maildir, &folder(name)?)?;
            let rights = acl.rights_of(identifiers);
            Ok([rights.letters(), b"\n"].concat())
        }
        (b"-set", [name, identifier, rights, ..]) => {
            let (sign, letters) = match rights.split_first() {
                Some((sign @ (b'+' | b'-'), letters)) => (Some(*sign), letters),
                _ => (None, *rights),
            };
            if !letters.iter().all(|letter| KNOWN.contains(letter)) {
                return Err(invalid("maildiracl"));
            }
            let given = Rights::new(letters);
            change(&open()?, maildir, name, identifier, |acl| {
                let old = acl.get(identifier).cloned().unwrap_or_default();
                acl.set(
                    identifier,
                    match sign {
                        Some(b'+') => old.with(&given),
                        Some(_) => old.without(&given),
                        None => given,
                    },
                );
            })
        }
        (b"-delete", [name, identifier, ..]) => {
            change(&open()?, maildir, name, identifier, |acl| {
                acl.remove(identifier);
            })
        }
        _ => Err(Failure::Usage),
    }
}

fn list(maildir: &Maildir, shown: &[u8], name: &FolderName) -> Result<Acl, Failure> {
    maildir.acl(name).map_err(|error| told(shown, &error))
}

fn change(
    maildir: &Maildir,
    shown: &[u8],
    name: &[u8],
    identifier: &[u8],
    change: impl FnOnce(&mut Acl),
) -> Result<Vec<u8>, Failure> {
    let name = folder(name)?;
    let plain = identifier.strip_prefix(b"-").unwrap_or(identifier);
    let good = !plain.is_empty()
        && plain.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
        && std::str::from_utf8(plain).is_ok();
    if !good {
        return Err(invalid("maildiracl"));
    }
    match maildir.change_acl(&name, b"", change) {
        Ok(Ok(_)) => Ok(Vec::new()),
        Ok(Err(Minimum::Owner)) => Err(Failure::Told(
            "Trying to set invalid access rights for owner".to_owned(),
        )),
        Ok(Err(Minimum::Administrators)) => Err(invalid(&String::from_utf8_lossy(shown))),
        Err(error) => Err(told(shown, &error)),
    }
}

/// The folder of a name such as `INBOX.a`, in this very spelling.
fn folder(name: &[u8]) -> Result<FolderName, Failure> {
    let found = match name {
        b"INBOX" | b"INBOX." => Some(FolderName::inbox()),
        name => name
            .strip_prefix(b"INBOX.")
            .and_then(|name| FolderName::new(name).ok()),
    };
    found.ok_or_else(|| invalid(&String::from_utf8_lossy(name)))
}

fn invalid(what: &str) -> Failure {
    Failure::Told(format!("{what}: Invalid argument"))
}

fn told(what: &[u8], error: &Error) -> Failure {
    let reason = error
        .errno()
        .map_or_else(|| error.to_string(), |errno| errno.desc().to_owned());
    Failure::Told(format!("{}: {reason}", String::from_utf8_lossy(what)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::make_maildir;

    fn call(arguments: &[&str]) -> (u8, String, String) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = run(&arguments, &mut out, &mut errors).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(out), text(errors))
    }

    #[test]
    fn lists_are_shown_and_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M");
        let maildir = path.to_str().unwrap();
        make_maildir(&path, 0o700).unwrap();
        let done = |text: &str| (0, text.to_owned(), String::new());
        let default = "owner\taceilrstwx\nadministrators\taceilrstwx\n";
        assert_eq!(call(&["-list", maildir, "INBOX"]), done(default));
        assert_eq!(call(&["-list", maildir, "INBOX.none"]), done(default));
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 3);
        for words in [
            ["user=mary", "lr"],
            ["user=mary", "+ws"],
            ["user=mary", "-s"],
            ["-user=tom", "x"],
        ] {
            let [identifier, rights] = words;
            assert_eq!(
                call(&["-set", maildir, "INBOX", identifier, rights]),
                done("")
            );
        }
        let changed = format!("{default}user=mary\tlrw\n-user=tom\tx\n");
        // Administrators would lose what everybody loses.
        assert_eq!(call(&["-set", maildir, "INBOX", "-anyone", "x"]).0, 1);
        assert_eq!(call(&["-list", maildir, "INBOX"]).1, changed);
    }

    #[test]
    fn what_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M");
        let maildir = path.to_str().unwrap();
        let usage = (1, format!("{USAGE}\n"), String::new());
        for words in [
            &[][..],
            &["-list", "M"],
            &["-compute", "M", "INBOX"],
            &["-x", "M", "INBOX"],
        ] {
            assert_eq!(call(words), usage, "{words:?}");
        }
        let (code, _, errors) = call(&["-list", maildir, "INBOX"]);
        assert_eq!(
            (code, errors),
            (1, format!("{maildir}: No such file or directory\n"))
        );
        make_maildir(&path, 0o700).unwrap();
        let refused = |words: &[&str], text: &str| {
            let (code, _, errors) = call(words);
            assert_eq!((code, errors), (1, format!("{text}\n")), "{words:?}");
        };
        refused(&["-list", maildir, "inbox"], "inbox: Invalid argument");
        refused(
            &["-list", maildir, "INBOX.a..b"],
            "INBOX.a..b: Invalid argument",
        );
        refused(
            &["-set", maildir, "INBOX", "a b", "l"],
            "maildiracl: Invalid argument",
        );
        refused(
            &["-set", maildir, "INBOX", "bob", "lZ"],
            "maildiracl: Invalid argument",
        );
        let owner = "Trying to set invalid access rights for owner";
        refused(&["-set", maildir, "INBOX", "owner", "lr"], owner);
        refused(&["-delete", maildir, "INBOX", "owner"], owner);
        let administrators = format!("{maildir}: Invalid argument");
        refused(
            &["-set", maildir, "INBOX", "administrators", "lr"],
            &administrators,
        );
        assert!(!path.join("courierimapacl").exists());
    }

    #[test]
    fn rights_are_computed_and_leftovers_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M");
        let maildir = path.to_str().unwrap();
        make_maildir(&path, 0o700).unwrap();
        let list = "owner lr\nanyone l\n-user=mary r\nuser=mary rs\nadministrators aceilrstwx\n";
        std::fs::write(path.join("courierimapacl"), list).unwrap();
        let compute = |identifiers: &[&str]| {
            let mut words = vec!["-compute", maildir, "INBOX"];
            words.extend_from_slice(identifiers);
            call(&words).1
        };
        assert_eq!(compute(&["user=mary"]), "ls\n");
        assert_eq!(compute(&["user=mary", "owner"]), "als\n");
        assert_eq!(compute(&["group=administrators"]), "aceilrstwx\n");
        let names = path.join("courierimaphieracl");
        assert_eq!(call(&["-reset", maildir]).0, 0);
        for name in ["gone", "kept", "young"] {
            std::fs::write(names.join(name), list).unwrap();
            let age = if name == "young" { 10 } else { 4000 };
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            let file = std::fs::File::open(names.join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        std::fs::create_dir_all(path.join(".kept.below/cur")).unwrap();
        assert_eq!(call(&["-reset", maildir]).0, 0);
        let exists = |name: &str| names.join(name).exists();
        assert!(exists("kept") && exists("young") && !exists("gone"));
    }
}
