use super::*;
use crate::maildir::Rights;
use crate::maildir::fixture::{Mailbox, list};

fn name(text: &str) -> FolderName {
    FolderName::new(text.as_bytes()).unwrap()
}

fn text(mailbox: &Mailbox, file: &str) -> String {
    std::fs::read_to_string(mailbox.path().join(file)).unwrap_or_default()
}

fn allow(mailbox: &Mailbox, folder: &FolderName, identifier: &[u8], rights: &[u8]) {
    mailbox
        .maildir
        .change_acl(folder, b"joe", |acl| {
            acl.set(identifier, Rights::new(rights));
        })
        .unwrap()
        .unwrap();
}

const DEFAULT: &str = "owner aceilrstwx\nadministrators aceilrstwx\n";

#[test]
fn reading_inherits_and_writes_nothing() {
    let mailbox = Mailbox::new();
    mailbox.put("courierimapacl", "owner aceilrstwx\nanyone lr\n");
    for folder in ["a", "a.b.c"] {
        std::fs::create_dir_all(mailbox.path().join(format!(".{folder}/cur"))).unwrap();
    }
    let before = list(&mailbox.path());
    for folder in ["a", "a.b", "a.b.c", "nowhere"] {
        let acl = mailbox.maildir.acl(&name(folder)).unwrap();
        assert_eq!(
            acl.get(b"anyone").map(Rights::letters),
            Some(&b"lr"[..]),
            "{folder}"
        );
    }
    assert_eq!(list(&mailbox.path()), before);
}

#[test]
fn a_change_stays_where_it_is_made() {
    let mailbox = Mailbox::new();
    for folder in [".a", ".a.b.c"] {
        std::fs::create_dir(mailbox.path().join(folder)).unwrap();
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir(mailbox.path().join(folder).join(part)).unwrap();
        }
    }
    allow(&mailbox, &FolderName::inbox(), b"anyone", b"lr");
    assert_eq!(
        text(&mailbox, "courierimapacl"),
        format!("{DEFAULT}anyone lr\n")
    );
    for file in [
        ".a/courierimapacl",
        "courierimaphieracl/a.b",
        ".a.b.c/courierimapacl",
    ] {
        assert_eq!(text(&mailbox, file), DEFAULT, "{file}");
    }
    // What is made later inherits, and keeps what it has.
    mailbox.folder("later");
    assert_eq!(
        text(&mailbox, ".later/courierimapacl"),
        format!("{DEFAULT}anyone lr\n")
    );
    allow(&mailbox, &FolderName::inbox(), b"anyone", b"");
    assert!(text(&mailbox, ".later/courierimapacl").contains("anyone lr"));
}

#[test]
fn the_list_of_a_name_becomes_the_folders_and_back() {
    let mailbox = Mailbox::new();
    mailbox.folder("a.b");
    allow(&mailbox, &name("a"), b"user=mary", b"lr");
    assert!(text(&mailbox, "courierimaphieracl/a").contains("user=mary lr"));
    mailbox.folder("a");
    assert!(text(&mailbox, ".a/courierimapacl").contains("user=mary lr"));
    assert!(!mailbox.path().join("courierimaphieracl/a").exists());
    mailbox.maildir.delete(&name("a")).unwrap();
    assert!(text(&mailbox, "courierimaphieracl/a").contains("user=mary lr"));
    mailbox.maildir.rename(&name("a"), &name("x")).unwrap();
    assert!(text(&mailbox, "courierimaphieracl/x").contains("user=mary lr"));
    assert_eq!(text(&mailbox, ".x.b/courierimapacl"), DEFAULT);
}

#[test]
fn a_renamed_folder_does_not_take_the_rights_of_its_new_parent() {
    let mailbox = Mailbox::new();
    mailbox.folder("public");
    allow(&mailbox, &name("public"), b"anyone", b"lr");
    mailbox.folder("private");
    std::fs::remove_file(mailbox.path().join(".private/courierimapacl")).unwrap();
    mailbox
        .maildir
        .rename(&name("private"), &name("public.private"))
        .unwrap();
    let acl = mailbox.maildir.acl(&name("public.private")).unwrap();
    assert_eq!(acl.get(b"anyone"), None);
}

#[test]
fn a_refused_change_changes_nothing() {
    let mailbox = Mailbox::new();
    mailbox.folder("a");
    let refused = mailbox
        .maildir
        .change_acl(&name("a"), b"joe", |acl| acl.remove(b"owner"))
        .unwrap();
    assert_eq!(refused, Err(Minimum::Owner));
    assert_eq!(text(&mailbox, ".a/courierimapacl"), DEFAULT);
    // One that cannot be read is not one that allows.
    let file = mailbox.path().join(".a/courierimapacl");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, vec![b'x'; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
    assert!(mailbox.maildir.acl(&name("a")).is_err());
}
