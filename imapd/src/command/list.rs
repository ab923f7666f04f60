//! LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258, RFC 5819).
//!
//! [`listing`] decides what is shown; it sees names only. A name is its full form as on disk: `INBOX.a.b`.

use std::collections::BTreeSet;

use courier::maildir::{Acl, AclReader, FolderName, Right};
use courier::text::pattern::{Pattern, SEPARATOR};

use super::status;
use super::visible::{Wanted, may_see_full};
use crate::attempt;
use crate::folder::{KNOWING, Place, SHARED};
use crate::grammar::list::{Info, List};
use crate::grammar::status::StatusItem;
use crate::reply::Reply;
use crate::rights;
use crate::session::{Executed, Session};
use crate::writer::Writer;

/// One line of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Line {
    name: Vec<u8>,
    /// A mailbox with messages, not just a name above one.
    exists: bool,
    children: bool,
    subscribed: bool,
    /// Only here for something below it (`CHILDINFO`).
    child_subscribed: bool,
    /// What it is for (RFC 6154).
    special_use: Option<&'static str>,
}

/// LIST.
pub fn list(session: &mut Session, list: &List) -> Executed {
    if !list.extended && list.patterns.iter().all(Vec::is_empty) {
        let root: &[u8] = if list.reference.starts_with(SHARED) {
            SHARED
        } else {
            b""
        };
        session.out.put(b"* LIST (\\Noselect) \".\" ");
        session.out.string(root, session.utf8);
        session.out.end_line();
        return Ok(Reply::ok("LIST completed"));
    }
    let wanted = Wanted::new(session, list);
    let patterns = &wanted.patterns;
    let maildir = session.maildir.clone();
    let mut reader = AclReader::new(&maildir);
    let existing = attempt!(wanted.existing(session, &mut reader));
    let subscribed = if list.subscribed || list.return_subscribed {
        attempt!(wanted.subscribed(session))
    } else {
        BTreeSet::new()
    };
    let mut lines = if list.subscribed {
        let mut lines = listing(&subscribed, patterns, false);
        if !list.recursive {
            lines.retain(|line| line.exists);
        }
        for line in &mut lines {
            line.subscribed = line.exists;
            line.child_subscribed =
                list.recursive && below(&subscribed, &line.name).any(|name| !wanted.matches(name));
            line.exists = existing.contains(&line.name);
            line.children = has_children(&existing, &line.name);
        }
        lines
    } else {
        let mut lines = listing(&existing, patterns, true);
        for line in &mut lines {
            line.subscribed = subscribed.contains(&line.name);
        }
        lines
    };
    let uses = special_uses(&existing, &session.settings.trash);
    for line in &mut lines {
        line.special_use = uses
            .iter()
            .find(|(name, _)| *name == line.name)
            .map(|&(_, special_use)| special_use);
    }
    if list.special_use {
        lines.retain(|line| line.special_use.is_some());
    }
    for line in &lines {
        let Some(name) = session.encode_name(&line.name) else {
            continue;
        };
        let marked = is_marked(session, line);
        let info = info(session, &mut reader, list.info, line);
        put_line(session, b"LIST", line, &name, list.extended, marked, &info);
        if line.exists {
            if let Some(items) = &list.return_status {
                put_status(session, &name, items);
            }
        }
        session.out.check()?;
    }
    Ok(Reply::ok("LIST completed"))
}

/// The STATUS response of a listed mailbox. One without an answer is allowed to miss (RFC 5819 section 2).
fn put_status(session: &mut Session, name: &[u8], items: &[StatusItem]) {
    if let Ok(found) = session.resolve(name, Right::Read, "STATUS") {
        if let Err(error) = status::put(session, name, &found.folder, items) {
            session.log_error(&error);
        }
    }
}

/// The visible mailboxes that match any of `patterns`, in wire form.
///
/// # Errors
/// The reply of the command: they cannot be listed.
pub fn matching(session: &Session, patterns: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reply> {
    let maildir = session.maildir.clone();
    let list = List {
        patterns: patterns.to_vec(),
        ..List::default()
    };
    let wanted = Wanted::new(session, &list);
    let existing = wanted.existing(session, &mut AclReader::new(&maildir))?;
    Ok(existing
        .iter()
        .filter(|name| wanted.matches(name))
        .filter_map(|name| session.encode_name(name))
        .collect())
}

/// Writes the LIST response that tells of a mailbox's changed list of rights.
///
/// # Errors
/// The reply of the command: whether it has others below it cannot be told.
pub fn put_changed(
    session: &mut Session,
    wire: &[u8],
    place: &Place,
    acl: &Acl,
) -> Result<(), Reply> {
    let children = place
        .maildir
        .has_children(&place.name)
        .map_err(|error| session.failed(&error))?;
    let line = Line {
        name: place.full(),
        exists: place.maildir.exists(&place.name),
        children,
        ..Line::default()
    };
    let marked = is_marked(session, &line);
    let shown = Info {
        acl: true,
        ..Info::default()
    };
    let info = info_of(session, acl, place.own, shown);
    put_line(session, b"LIST", &line, wire, false, marked, &info);
    Ok(())
}

/// What follows a listed name: its rights, as far as they were asked for and may be known.
fn info(session: &Session, reader: &mut AclReader<'_>, wanted: Info, line: &Line) -> Vec<u8> {
    if wanted.is_empty() {
        return Vec::new();
    }
    // A name above accounts has no list.
    let Ok(place) = session.place_of(&line.name) else {
        return Vec::new();
    };
    let acl = if place.own {
        reader.acl(&place.name)
    } else {
        place.maildir.acl(&place.name)
    };
    match acl {
        Ok(acl) => info_of(session, &acl, place.own, wanted),
        Err(error) => {
            session.log_error(&error);
            Vec::new()
        }
    }
}

fn info_of(session: &Session, acl: &Acl, own: bool, wanted: Info) -> Vec<u8> {
    let rights = session.rights_by(acl, own);
    let mut text = Writer::memory();
    text.put(b" (");
    if wanted.acl && rights.has(Right::Administer) {
        text.put(b"(\"ACL\" (");
        for (identifier, rights) in acl.entries() {
            text.put(b"(");
            text.string(identifier, true);
            text.put(b" ");
            text.string(&rights::full(rights), true);
            text.put(b")");
        }
        text.put(b"))");
    }
    if wanted.my_rights && rights.has_any(KNOWING) {
        text.put(b"(\"MYRIGHTS\" ");
        text.string(&rights::full(&rights), true);
        text.put(b")");
    }
    if wanted.post_address {
        text.put(b"(POSTADDRESS NIL)");
    }
    text.put(b")");
    text.take()
}

/// Names that people and programs give to mailboxes of a special use, directly below INBOX. Of several names of one
/// use the first that exists has it.
const SPECIAL_USES: &[(&str, &str)] = &[
    ("\\Archive", "Archive"),
    ("\\Archive", "Archives"),
    ("\\Drafts", "Drafts"),
    ("\\Junk", "Junk"),
    ("\\Junk", "Spam"),
    ("\\Sent", "Sent"),
    ("\\Sent", "Sent Messages"),
    ("\\Sent", "Sent Items"),
];

/// Which mailboxes have a special use (RFC 6154): the trash by its setting, the others by their names.
fn special_uses(existing: &BTreeSet<Vec<u8>>, trash: &FolderName) -> Vec<(Vec<u8>, &'static str)> {
    let mut uses = vec![(trash.to_full(), "\\Trash")];
    for (special_use, name) in SPECIAL_USES {
        let full = [b"INBOX.", name.as_bytes()].concat();
        if existing.contains(&full) && !uses.iter().any(|(_, known)| known == special_use) {
            uses.push((full, special_use));
        }
    }
    uses
}

/// LSUB.
pub fn lsub(session: &mut Session, list: &List) -> Executed {
    let wanted = Wanted::new(session, list);
    let mut subscribed = attempt!(wanted.subscribed(session));
    let maildir = session.maildir.clone();
    let mut reader = AclReader::new(&maildir);
    subscribed.retain(|full| may_see_full(session, &mut reader, full));
    for line in listing(&subscribed, &wanted.patterns, false) {
        if let Some(name) = session.encode_name(&line.name) {
            put_line(session, b"LSUB", &line, &name, false, None, b"");
        }
        session.out.check()?;
    }
    Ok(Reply::ok("LSUB completed"))
}

/// `\Marked` if mail has arrived that no session has seen yet, `\Unmarked` if not; nothing where it is not asked for
/// (`IMAP_CHECK_ALL_FOLDERS`) or cannot be told.
fn is_marked(session: &Session, line: &Line) -> Option<bool> {
    if !line.exists || !(line.name == b"INBOX" || session.settings.check_all_folders) {
        return None;
    }
    let place = session.place_of(&line.name).ok()?;
    place.maildir.folder(&place.name).ok()?.has_new().ok()
}

/// The lines for `names` and the names above them that match a pattern, sorted. With `all_parents` every matching
/// name above one is listed; else only where the pattern does not list what is below it (`%`, RFC 3501 section
/// 6.3.9).
fn listing(names: &BTreeSet<Vec<u8>>, patterns: &[Pattern], all_parents: bool) -> Vec<Line> {
    let mut parents = BTreeSet::new();
    for name in names {
        let mut rest = name.as_slice();
        while let Some(at) = memchr::memrchr(SEPARATOR, rest) {
            rest = rest.get(..at).unwrap_or_default();
            if names.contains(rest) || !parents.insert(rest.to_vec()) {
                break;
            }
        }
    }
    let matching = |name: &[u8]| patterns.iter().any(|pattern| pattern.matches(name));
    let mut lines: Vec<Line> = names
        .iter()
        .filter(|name| matching(name))
        .map(|name| Line {
            exists: true,
            children: has_children(names, name),
            name: name.clone(),
            ..Line::default()
        })
        .collect();
    for parent in parents {
        let shown = patterns.iter().any(|pattern| {
            pattern.matches(&parent)
                && (all_parents || !below(names, &parent).any(|name| pattern.matches(name)))
        });
        if shown {
            lines.push(Line {
                name: parent,
                children: true,
                ..Line::default()
            });
        }
    }
    lines.sort_by(|a, b| {
        let parts = |line: &Line| -> Vec<Vec<u8>> {
            line.name
                .split(|&byte| byte == SEPARATOR)
                .map(<[u8]>::to_vec)
                .collect()
        };
        parts(a).cmp(&parts(b))
    });
    lines
}

fn has_children(names: &BTreeSet<Vec<u8>>, name: &[u8]) -> bool {
    below(names, name).next().is_some()
}

/// The names below `name`, at any depth.
fn below<'a>(names: &'a BTreeSet<Vec<u8>>, name: &[u8]) -> impl Iterator<Item = &'a Vec<u8>> {
    let mut start = name.to_vec();
    start.push(SEPARATOR);
    names
        .range(start.clone()..)
        .take_while(move |other| other.starts_with(&start))
}

fn put_line(
    session: &mut Session,
    response: &[u8],
    line: &Line,
    name: &[u8],
    extended: bool,
    marked: Option<bool>,
    info: &[u8],
) {
    let obsolete = session.settings.obsolete_client;
    let out = &mut session.out;
    out.put(b"* ");
    out.put(response);
    out.put(b" (");
    let mut separator: &[u8] = b"";
    let mut put = |attribute: &[u8]| {
        out.put(separator);
        out.put(attribute);
        separator = b" ";
    };
    if !line.exists {
        if extended {
            put(b"\\NonExistent");
        }
        // \NonExistent implies it (RFC 5258 section 3), but not every client that sends the extended form knows that.
        put(b"\\Noselect");
    }
    match marked {
        Some(true) => put(b"\\Marked"),
        Some(false) => put(b"\\Unmarked"),
        None => {}
    }
    match (line.children, obsolete) {
        (true, false) => put(b"\\HasChildren"),
        (false, false) => put(b"\\HasNoChildren"),
        (false, true) => put(b"\\Noinferiors"),
        (true, true) => {}
    }
    if let Some(special_use) = line.special_use {
        put(special_use.as_bytes());
    }
    if line.subscribed {
        put(b"\\Subscribed");
    }
    out.put(b") \".\" ");
    out.string(name, session.utf8);
    if line.child_subscribed && extended {
        out.put(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    out.put(info);
    out.end_line();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str], pattern: &str, all_parents: bool) -> Vec<String> {
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        listing(&names, &[Pattern::new(pattern.as_bytes())], all_parents)
            .into_iter()
            .map(|line| {
                format!(
                    "{}{}{}",
                    if line.exists { "" } else { "-" },
                    String::from_utf8_lossy(&line.name),
                    if line.children { "+" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn parents_that_do_not_exist_are_shown() {
        let names = ["INBOX", "INBOX.a", "INBOX.a.b.c", "INBOX.a-b", "INBOX.x.y"];
        assert_eq!(
            shown(&names, "*", true),
            [
                "INBOX+",
                "INBOX.a+",
                "-INBOX.a.b+",
                "INBOX.a.b.c",
                "INBOX.a-b",
                "-INBOX.x+",
                "INBOX.x.y"
            ]
        );
        assert_eq!(
            shown(&names, "INBOX.%", true),
            ["INBOX.a+", "INBOX.a-b", "-INBOX.x+"]
        );
        assert_eq!(shown(&names, "%", true), ["INBOX+"]);
    }

    #[test]
    fn lsub_shows_parents_only_in_place_of_what_is_below() {
        let names = ["INBOX.a.b", "INBOX.c"];
        assert_eq!(shown(&names, "INBOX.%", false), ["-INBOX.a+", "INBOX.c"]);
        assert_eq!(shown(&names, "*", false), ["INBOX.a.b", "INBOX.c"]);
        assert_eq!(shown(&names, "%", false), ["-INBOX+"]);
    }
}
