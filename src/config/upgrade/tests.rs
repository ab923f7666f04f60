use super::*;

const DIST: &str = "##VERSION: $Id: 2$\n#\n# Top\n\n##NAME: A:0\n#\n# doc A\n\nA=1\n\n##NAME: B:1\n#\n# doc B\n\nB=1\n\n##NAME: C:0\n#\n# doc C\n# C=1\n\n";

fn merged(dist: &str, live: Option<&str>) -> (String, Vec<(String, Status)>) {
    let merged = merge(
        Path::new("f.dist"),
        dist.as_bytes(),
        live.map(str::as_bytes),
        false,
    )
    .unwrap()
    .unwrap();
    let report = merged
        .report
        .into_iter()
        .map(|(tag, status)| (String::from_utf8(tag).unwrap(), status))
        .collect();
    (String::from_utf8(merged.content).unwrap(), report)
}

#[test]
fn without_a_live_file_the_new_one_is_the_dist_file() {
    let (content, report) = merged(DIST, None);
    assert_eq!(content, DIST);
    assert!(report.iter().all(|(_, status)| *status == Status::New));
}

#[test]
fn a_file_of_the_same_version_is_left_alone_unless_forced() {
    let live = b"##VERSION: $Id: 2$\n##NAME: A:0\nA=7\n";
    let path = Path::new("f.dist");
    assert_eq!(
        merge(path, DIST.as_bytes(), Some(live), false).unwrap(),
        None
    );
    assert!(
        merge(path, DIST.as_bytes(), Some(live), true)
            .unwrap()
            .is_some()
    );
}

#[test]
fn kept_replaced_new_and_dropped_settings_come_out_as_documented() {
    let live = "##VERSION: $Id: 1$\n##NAME: A:0\n#\n# old doc\n\nA=5\n\n##NAME: B:0\nB=5\n##NAME: D:0\nD=5\n";
    let (content, report) = merged(DIST, Some(live));
    assert_eq!(
        content,
        "##VERSION: $Id: 2$\n#\n# Top\n\n\
         ##NAME: A:0\n#\n# doc A\n#\n# DEFAULT SETTING from f.dist:\n#\n#A=1\n#\n\nA=5\n\n\
         ##NAME: B:1\n#\n# doc B\n#\n# Previous setting (inserted by sysconftool):\n#\n# B=5\n#\n\nB=1\n\n\
         ##NAME: C:0\n#\n# doc C\n# C=1\n\n"
    );
    let expected = [
        ("A", Status::Unchanged),
        ("B", Status::Updated),
        ("C", Status::New),
        ("D", Status::Obsolete),
    ];
    assert!(
        report
            .iter()
            .zip(expected)
            .all(|((tag, status), wanted)| (tag.as_str(), *status) == wanted)
    );
    assert_eq!(report.len(), expected.len());
}

#[test]
fn merging_the_result_again_changes_no_value() {
    let live = "##VERSION: $Id: 1$\n##NAME: A:0\n#\n# old doc\n\nA=5\n\n";
    let (first, _) = merged(DIST, Some(live));
    let newer = DIST.replace("$Id: 2$", "$Id: 3$");
    let (second, report) = merged(&newer, Some(&first));
    assert_eq!(second.matches("A=5").count(), 1);
    assert_eq!(second.matches("DEFAULT SETTING").count(), 3);
    assert!(
        report
            .iter()
            .all(|(_, status)| *status == Status::Unchanged)
    );
    let (third, _) = merged(&newer.replace("$Id: 3$", "$Id: 4$"), Some(&second));
    assert_eq!(third.replace("$Id: 4$", "$Id: 3$"), second);
}

#[test]
fn a_commented_out_setting_stays_commented_out() {
    let dist = "##VERSION: 2\n##NAME: A:0\n# A=1\n\n##NAME: B:0\nB=1\n";
    let live = "##VERSION: 1\n##NAME: A:0\n# A=1\n\n##NAME: B:0\nB=1\n";
    let (content, report) = merged(dist, Some(live));
    assert_eq!(report[0].1, Status::Unchanged);
    assert!(!content.contains("\nA="));
}

#[test]
fn comments_inside_a_value_and_the_lines_after_them_survive() {
    let live = "##VERSION: 1\n##NAME: A:0\n\nA=5\n# mine\nA=6\n# A=7\n\n##NAME: B:1\n\nB=2\n";
    let (content, _) = merged(DIST, Some(live));
    assert!(
        content.contains("\nA=5\n# mine\nA=6\n# A=7\n\n##NAME: B:1\n"),
        "{content}"
    );
}

#[test]
fn a_file_without_version_line_counts_as_having_no_settings() {
    let (content, report) = merged(DIST, Some("A=5\n"));
    assert_eq!(content, DIST);
    assert!(report.iter().all(|(_, status)| *status == Status::New));
}

#[test]
fn tag_and_revision_split_at_the_last_colon() {
    assert_eq!(
        marker(b"##NAME:  X:Y : 3\t"),
        Some((b"X:Y".to_vec(), b"3".to_vec()))
    );
    assert_eq!(marker(b"##NAME: none"), None);
}

#[test]
fn a_dist_file_without_version_line_is_an_error() {
    let result = merge(Path::new("x.dist"), b"A=1\n", None, false);
    assert_eq!(
        result.unwrap_err().to_string(),
        "x.dist: configuration header not found."
    );
}

#[test]
fn the_live_file_keeps_its_mode_and_the_previous_one_becomes_bak() {
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("f");
    std::fs::write(with_suffix(&live, ".dist"), DIST).unwrap();
    std::fs::write(&live, "##VERSION: 1\n##NAME: A:0\nA=5\n").unwrap();
    std::fs::set_permissions(&live, Permissions::from_mode(0o640)).unwrap();
    std::fs::write(with_suffix(&live, ".new"), "left over").unwrap();

    upgrade(&live, false, true).unwrap().unwrap();
    assert!(
        std::fs::read_to_string(&live)
            .unwrap()
            .starts_with("##VERSION: 1\n")
    );

    upgrade(&with_suffix(&live, ".dist"), false, false)
        .unwrap()
        .unwrap();
    assert!(std::fs::read_to_string(&live).unwrap().contains("\nA=5\n"));
    assert_eq!(live.metadata().unwrap().mode() & 0o7777, 0o640);
    assert!(
        std::fs::read_to_string(with_suffix(&live, ".bak"))
            .unwrap()
            .starts_with("##VERSION: 1\n")
    );
    assert!(!with_suffix(&live, ".new").exists());
    assert_eq!(upgrade(&live, false, false).unwrap(), None);
}
