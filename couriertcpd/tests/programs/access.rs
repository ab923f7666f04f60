//! The access list: `-access`, `-accesslocal`, `-denymsg`, `-drop`, reloading.

use nix::sys::signal::Signal;

use crate::fixture::{COURIERTCPD, Tcpd, eventually, make_database, run};

/// A couriertcpd with an access database of `records`.
fn with_records(records: &[(&str, &str)], options: &[&str], script: &str) -> Tcpd {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.dat");
    make_database(&database, records);
    let option = format!("-access={}", database.display());
    let mut all = vec!["-nodnslookup", option.as_str()];
    all.extend(options);
    Tcpd::start_in(directory, &all, script)
}

#[test]
fn the_most_specific_record_decides() {
    let tcpd = with_records(
        &[
            ("127.0.0", "deny"),
            ("127.0.0.2", "allow,FOO,BAR=\"a,b c\""),
            ("127.0.0.3", "WHO=third"),
            ("*", "allow"),
        ],
        &[],
        "echo ${FOO-unset}/${BAR-unset}/${WHO-unset}",
    );
    assert_eq!(tcpd.ask_from(1), "");
    assert_eq!(tcpd.ask_from(2), "/a,b c/unset\n");
    assert_eq!(tcpd.ask_from(3), "unset/unset/third\n");
    assert_eq!(tcpd.ask_from(4), "");
    // Once a minute for all together.
    assert_eq!(tcpd.log(), "INFO: access denied, ip=[::ffff:127.0.0.1]\n");
}

#[test]
fn without_a_record_everybody_is_served_and_a_star_denies_the_rest() {
    let open = with_records(&[("10", "deny")], &[], "echo ok");
    assert_eq!(open.ask(), "ok\n");
    let closed = with_records(&[("*", "deny"), ("127.0.0.2", "allow")], &[], "echo ok");
    assert_eq!(closed.ask(), "");
    assert_eq!(closed.ask_from(2), "ok\n");
}

#[test]
fn a_denied_client_gets_the_message_if_there_is_one() {
    let tcpd = with_records(
        &[("127.0.0.1", "deny")],
        &["-denymsg=* BYE go away"],
        "echo ok",
    );
    assert_eq!(tcpd.ask(), "* BYE go away\n");
    assert_eq!(tcpd.ask_from(2), "ok\n");
}

#[test]
fn the_local_end_is_looked_up_when_asked_for() {
    let records = [
        ("*.1", "deny"),
        ("127.0.0.1", "allow,A=local,B=local"),
        ("127.0.0.2", "allow,B=remote"),
        ("127.0.0.3", "deny"),
    ];
    let script = "echo ${A-unset} ${B-unset}";
    let local = with_records(&records, &["-accesslocal", "-denymsg=no"], script);
    assert_eq!(local.ask_from(2), "local remote\n");
    assert_eq!(local.ask_from(3), "no\n");
    let without = with_records(&records, &[], script);
    assert_eq!(without.ask_from(2), "unset remote\n");
    // A denial of the local end is silent.
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.dat");
    make_database(&database, &[("127.0.0.1", "deny"), ("127.0.0.2", "allow")]);
    let option = format!("-access={}", database.display());
    let options = ["-nodnslookup", &option, "-accesslocal", "-denymsg=no"];
    let denied = Tcpd::start_in(directory, &options, script);
    assert_eq!(denied.ask_from(2), "");
}

#[test]
fn a_set_variable_drops_the_connection() {
    let tcpd = with_records(
        &[
            ("127.0.0.1", "allow,BLOCK=spammer"),
            ("127.0.0.2", "allow,BLOCK="),
            ("127.0.0.3", "allow,OTHER=1"),
        ],
        &["-drop=BLOCK,OTHER", "-denymsg=no"],
        "echo ok",
    );
    assert_eq!(tcpd.ask_from(1), "no\n");
    assert_eq!(tcpd.ask_from(2), "ok\n");
    assert_eq!(tcpd.ask_from(3), "no\n");
    assert_eq!(
        tcpd.log(),
        "WARN: dropped blocked connection from ::ffff:127.0.0.1\n\
         WARN: dropped blocked connection from ::ffff:127.0.0.3\n"
    );
}

#[test]
fn sighup_reads_the_new_database_and_a_broken_one_refuses_everybody() {
    let tcpd = with_records(&[("127.0.0.1", "deny")], &[], "echo ok");
    let database = tcpd.path("a.dat");
    assert_eq!(tcpd.ask(), "");
    make_database(&database, &[("127.0.0.1", "allow")]);
    assert_eq!(tcpd.ask(), "");
    tcpd.signal(Signal::SIGHUP);
    eventually("the new database", || (tcpd.ask() == "ok\n").then_some(()));
    std::fs::write(&database, "garbage").unwrap();
    tcpd.signal(Signal::SIGHUP);
    tcpd.wait_for_log("refusing all connections");
    assert_eq!(tcpd.ask(), "");
    assert_eq!(tcpd.ask(), "");
    let refusals = tcpd
        .log()
        .lines()
        .filter(|line| line.ends_with("connections are refused"))
        .count();
    assert_eq!(refusals, 1);
    std::fs::remove_file(&database).unwrap();
    make_database(&database, &[("127.0.0.1", "allow")]);
    tcpd.signal(Signal::SIGHUP);
    eventually("the repaired database", || {
        (tcpd.ask() == "ok\n").then_some(())
    });
}

#[test]
fn a_database_that_cannot_be_opened_prevents_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.dat");
    let option = format!("-access={}", missing.display());
    let port = crate::fixture::free_port().to_string();
    let (status, _, stderr) = run(COURIERTCPD, &[option.as_str(), &port, "/bin/true"]);
    assert_eq!(status, 1);
    assert_eq!(
        stderr,
        format!("{}: No such file or directory\n", missing.display())
    );
    // Also as a daemon: the starter knows.
    let pid = directory.path().join("pid");
    let pid_option = format!("-pid={}", pid.display());
    let (status, _, stderr) = run(
        COURIERTCPD,
        &[pid_option.as_str(), &option, &port, "/bin/true"],
    );
    assert_eq!(status, 1);
    assert!(stderr.contains("No such file"), "{stderr}");
    assert!(!pid.exists());
}
