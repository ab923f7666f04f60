//! `-block` and `-allow` against a name server of the test's own.

use crate::fixture::{COURIERTCPD, command, is_root, output, skip};

#[test]
fn lists_in_the_domain_name_system_set_variables_and_drop_clients() {
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/dns_lists.py");
    let mut arguments = vec!["--net", "--mount"];
    if !is_root() {
        arguments.push("--map-root-user");
    }
    let namespace = |rest: &[&str]| {
        let mut all = arguments.clone();
        all.extend(rest);
        output(command("unshare", &all))
    };
    let tried =
        "ip link set lo up && mount --bind /etc/resolv.conf /etc/resolv.conf && python3 -c ''";
    let (status, _, why) = namespace(&["sh", "-c", tried]);
    if status != 0 {
        return skip(&format!("no namespaces for a name server: {}", why.trim()));
    }
    let directory = directory.path().to_str().unwrap();
    let (status, told, why) = namespace(&["python3", script, COURIERTCPD, directory]);
    assert_eq!((status, told.as_str()), (0, "ok\n"), "{why}");
}
