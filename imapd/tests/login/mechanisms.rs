//! SASL mechanisms whose exchange depends on more than a password.

use crate::login_rig::Rig;

#[test]
fn cram_answers_the_challenge_that_was_sent() {
    let rig = Rig::without_daemon();
    let account = rig.account("alice", "");
    let (asked, question) = std::sync::mpsc::channel();
    rig.serve(move |request| {
        asked.send(request.to_owned()).unwrap();
        Some(account.clone())
    });
    let mut login = rig.start();
    login.greeting();
    login.send("a AUTHENTICATE CRAM-SHA256\r\n");
    let challenge = login.line();
    let challenge = challenge.strip_prefix("+ ").unwrap();
    // "alice 00", which this daemon believes.
    login.send("YWxpY2UgMDA=\r\n");
    assert_eq!(login.report().variable("AUTHENTICATED"), Some("alice"));
    let question = question.recv().unwrap();
    assert!(
        question.ends_with(&format!("\nimap\ncram-sha256\n{challenge}\nYWxpY2UgMDA=\n")),
        "{question}"
    );
}

#[test]
fn external_takes_the_identity_of_the_certificate() {
    let mut rig = Rig::without_daemon();
    let account = rig.account("al", "");
    rig.serve(move |request| {
        request
            .ends_with("\nPRE . imap al@example.com\n")
            .then(|| account.clone())
    });
    rig.set("IMAP_TLS", "1");
    rig.set("TLS_EXTERNAL", "emailaddress");
    rig.set("TLS_SUBJECT_EMAILADDRESS", "al@example.com");
    let mut login = rig.start();
    assert!(login.greeting().contains(" AUTH=EXTERNAL"));
    login.send("a AUTHENTICATE EXTERNAL\r\n");
    login.expect("+ ");
    login.send("\r\n");
    assert_eq!(login.report().variable("AUTHENTICATED"), Some("al"));
}
