use super::Memory;
use crate::maildir::Mode;
use crate::maildir::cache::Kind;
use crate::maildir::fixture::Mailbox;

/// What the protocol layer finds of no use, a row that an older version made of the same file, it makes anew.
#[test]
fn a_row_of_another_version_is_replaced() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.M1.h,S=2:2,S", "x\n");
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let mut memory = Memory::default();
    for value in [&b"old"[..], b"new"] {
        let opened = folder.open_message(&mut view, 0).unwrap().identity();
        let rows = [(Kind::Sort, value), (Kind::Thread, value)];
        memory.add_rows(&folder, &mut view, 0, Some(opened), rows);
        memory.end();
        for kind in [Kind::Sort, Kind::Thread] {
            assert_eq!(memory.row(kind, &folder, &mut view, 0), Some(value));
        }
        memory.end();
    }
    let length = || {
        std::fs::metadata(mailbox.path().join("courierimapcache.sort"))
            .unwrap()
            .len()
    };
    let before = length();
    let opened = folder.open_message(&mut view, 0).unwrap().identity();
    memory.add_rows(
        &folder,
        &mut view,
        0,
        Some(opened),
        [(Kind::Sort, b"new"), (Kind::Thread, b"new")],
    );
    memory.end();
    assert_eq!(length(), before);
}
