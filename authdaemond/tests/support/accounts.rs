//! What every kind of database and directory has to do with the accounts of these tests.

use super::Instance;

impl Instance {
    /// Puts `settings` into the module's file: renamed into place, so that the daemon sees all of it or nothing.
    pub(crate) fn configure(&self, rc: &str, settings: &str) {
        let text = format!("{settings}\n##NAME: MARKER:0\n");
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(rc)).unwrap();
    }

    /// alice is found and has her password and no other.
    #[track_caller]
    pub(crate) fn alice_logs_in(&self, alice: &str) {
        assert_eq!(self.ask("PRE . imap alice\n"), alice, "{}", self.log());
        assert_eq!(
            self.login("imap", "alice", "test123"),
            alice.replace("OPTIONS", "PASSWD2=test123\nOPTIONS")
        );
        assert_eq!(self.login("imap", "alice", "test124"), "FAIL\n");
    }

    /// `user` has the password of most accounts, and this uid.
    #[track_caller]
    pub(crate) fn logs_in(&self, user: &str, uid: u32) {
        let reply = self.login("imap", user, "test123");
        assert!(
            reply.starts_with(&format!("UID={uid}\n")),
            "{user}: {reply}"
        );
    }

    /// These names, and one that is no text, are those of no accounts, whatever a language of queries makes of them.
    #[track_caller]
    pub(crate) fn nobody_is(&self, users: &[&str]) {
        for user in users {
            assert_eq!(self.login("imap", user, "test123"), "FAIL\n", "{user:?}");
            let reply = self.ask(format!("PRE . imap {user}\n"));
            assert_eq!(reply, "FAIL\n", "{user:?}");
        }
        assert_eq!(self.ask(b"PRE . imap \xff\xfe\n"), "FAIL\n");
    }

    /// These accounts have rows or entries that lie.
    #[track_caller]
    pub(crate) fn nothing_is_said_about(&self, users: &[&str]) {
        for user in users {
            assert_eq!(self.login("imap", user, "test123"), "", "{user}");
        }
    }

    /// The list of all accounts is whole, and has this in it.
    #[track_caller]
    pub(crate) fn lists(&self, part: &str) {
        let list = self.ask("ENUMERATE\n");
        assert!(list.contains(part), "{list}");
        assert!(
            list.ends_with("\n.\n") && !list.contains("\nroot"),
            "{list}"
        );
    }

    /// alice's password becomes `ne'w`, but not for whoever does not know the old one.
    #[track_caller]
    pub(crate) fn alice_changes_her_password(&self) {
        assert_eq!(self.ask("PASSWD imap\talice\twrong\tx\n"), "FAIL\n");
        assert_eq!(self.ask("PASSWD imap\talice\ttest123\tne'w\n"), "OK\n");
        let reply = self.login("imap", "alice", "ne'w");
        assert!(reply.starts_with("UID=5000\n"), "{reply}");
    }
}
