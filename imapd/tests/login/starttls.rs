//! STARTTLS, with a stand-in for couriertls.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::login_rig::{Rig, ids, is_root, put_program};

#[test]
fn tls_required_refuses_passwords_even_if_starttls_cannot_be_had() {
    let mut rig = Rig::with_alice();
    rig.set("IMAP_TLS_REQUIRED", "1");
    let mut login = rig.start();
    assert!(!login.greeting().contains("STARTTLS"));
    login.ask("a LOGIN alice secret", "a NO STARTTLS required");
    login.ask(
        "b AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==",
        "b NO STARTTLS required",
    );
    login.ask("c STARTTLS", "c BAD STARTTLS is not available.");
    assert!(!login.log().contains("FAILED"));
}

/// A couriertls that says `dump` and `status` and then passes bytes through unchanged.
fn fake_couriertls(rig: &mut Rig, dump: &str, status: &str) {
    let script = format!(
        "#!/bin/bash\n\
         for option; do case $option in\n\
         -statusfd=*) status=${{option#*=}} ;;\n\
         -printx509=*) dump=${{option#*=}} ;;\n\
         -localfd=*) clear=${{option#*=}} ;;\n\
         esac; done\n\
         printf '{dump}' >&$dump\n\
         printf '{status}' >&$status\n\
         test -z '{status}' || exit 1\n\
         eval \"exec $dump>&- $status>&-\"\n\
         id -u >'{}'\n\
         exec {{peer}}<&0\n\
         cat <&$peer >&$clear &\n\
         exec cat <&$clear\n",
        rig.path("tls/uid").display()
    );
    std::fs::create_dir(rig.path("tls")).unwrap();
    std::fs::set_permissions(rig.path("tls"), Permissions::from_mode(0o777)).unwrap();
    let path = rig.path("couriertls");
    put_program(&path, &script);
    rig.set("COURIERTLS", path.to_str().unwrap());
    rig.set("IMAP_STARTTLS", "YES");
    rig.set("IMAP_TLS_REQUIRED", "1");
    rig.set("TLS_EXTERNAL", "mail");
}

const DUMP: &str = "Subject:\n   C=US\n   mail=alice\n\nVersion: TLSv1.3\nBits: 256\n";

#[test]
fn starttls_hands_the_connection_to_couriertls_and_goes_on_behind_it() {
    let mut rig = Rig::with_alice();
    fake_couriertls(&mut rig, DUMP, "");
    rig.set("TLS_SUBJECT_CN", "forged");
    let mut login = rig.start();
    let greeting = login.greeting();
    assert!(greeting.contains(" STARTTLS LOGINDISABLED "), "{greeting}");
    login.ask("a LOGIN alice secret", "a NO STARTTLS required");
    let before = login.parser();
    login.ask("b STARTTLS", "b OK Begin SSL/TLS negotiation now.");
    login.send("c CAPABILITY\r\n");
    let list = login.line();
    assert!(list.contains(" AUTH=EXTERNAL "), "{list}");
    assert!(!list.contains("STARTTLS") && !list.contains("LOGINDISABLED"));
    login.expect("c OK CAPABILITY completed");
    assert_ne!(login.parser(), before);
    login.ask("d STARTTLS", "d BAD STARTTLS is not available.");
    login.send("e LOGIN alice secret\r\nf NOOP\r\n");
    let report = login.report();
    login.expect("f NOOP");
    for (name, value) in [
        ("IMAP_TLS", "1"),
        ("IMAP_STARTTLS", "NO"),
        ("IMAP_TLS_REQUIRED", "0"),
        ("TLS_SUBJECT_C", "US"),
        ("TLS_SUBJECT_MAIL", "alice"),
    ] {
        assert_eq!(report.variable(name), Some(value), "{name}");
    }
    assert_eq!(report.variable("TLS_SUBJECT_CN"), None);
    assert_eq!(report.descriptors(), ["0", "1", "2"]);
    let uid = std::fs::read_to_string(rig.path("tls/uid")).unwrap();
    let expected = if is_root() { 1 } else { ids().0 };
    assert_eq!(uid.trim(), expected.to_string());
}

#[test]
fn a_failed_handshake_ends_the_connection() {
    let mut rig = Rig::with_alice();
    fake_couriertls(
        &mut rig,
        "",
        "ip=[192.0.2.7], An unexpected TLS packet was received.",
    );
    let mut login = rig.start();
    login.greeting();
    login.ask("a STARTTLS", "a OK Begin SSL/TLS negotiation now.");
    assert_eq!(login.rest(), "");
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
    assert!(
        log.contains("INFO: STARTTLS failed, ip=[::ffff:192.0.2.7], port=[4711]: "),
        "{log}"
    );
    let mut rig = Rig::with_alice();
    fake_couriertls(&mut rig, "", "");
    std::fs::write(rig.path("couriertls"), "#!/nonexistent\n").unwrap();
    let mut login = rig.start();
    login.greeting();
    login.ask("a STARTTLS", "a OK Begin SSL/TLS negotiation now.");
    assert_eq!(login.rest(), "");
    assert!(login.finish().1.contains("500 Unable to start couriertls"));
}

#[test]
fn clear_text_behind_starttls_ends_the_connection() {
    let mut rig = Rig::with_alice();
    fake_couriertls(&mut rig, DUMP, "");
    let mut login = rig.start();
    login.greeting();
    login.send("a STARTTLS\r\nb LOGIN alice secret\r\n");
    assert!(login.line().starts_with("* BYE Commands behind STARTTLS"));
    assert_eq!(login.rest(), "");
}
