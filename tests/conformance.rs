//! `docs/conformance.md` names tests that exist, and every line names one.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::path::{Path, PathBuf};

/// The file of a named test, and the test's function if the file is not the test itself.
fn place(name: &str) -> (PathBuf, Option<&str>) {
    if name.ends_with(".t") {
        return (Path::new("tests/conversation").join(name), None);
    }
    let (path, function) = name.rsplit_once("::").unwrap_or(("", name));
    let file = match path.split_once("::") {
        Some((of @ ("session" | "login"), file)) => format!("imapd/tests/{of}/{file}.rs"),
        Some(("unit", file)) => file.to_owned(),
        _ => format!("imapd/tests/{path}.rs"),
    };
    (PathBuf::from(file), Some(function))
}

/// What is wrong with a name; `None` if the test exists.
fn fault(root: &Path, name: &str) -> Option<String> {
    let (file, function) = place(name);
    let Ok(text) = fs::read_to_string(root.join(&file)) else {
        return Some(format!("`{name}`: there is no {}", file.display()));
    };
    let function = function?;
    // The function, with an attribute that makes it a test right above it, or among the properties.
    let exists = text.lines().zip(text.lines().skip(1)).any(|(above, line)| {
        above.trim() == "#[test]"
            && line
                .trim()
                .strip_prefix("fn ")
                .and_then(|rest| rest.strip_prefix(function))
                .is_some_and(|rest| rest.starts_with('('))
    });
    (!exists).then(|| format!("`{name}`: no such test in {}", file.display()))
}

#[test]
fn every_demand_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let mut faults = Vec::new();
    let mut rows = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let (Some(last), true) = (cells.last(), line.starts_with("| ") && cells.len() == 3) else {
            continue;
        };
        if last.trim_end_matches(" |") == "Shown by" {
            continue;
        }
        rows += 1;
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            faults.push(format!("no test: {line}"));
        }
        faults.extend(names.iter().filter_map(|name| fault(root, name)));
    }
    assert!(rows > 90, "{rows} lines");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_wrong_name_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "no-such-conversation.t",
        "session::fetch::no_such_test",
        "session::nowhere::home",
        // Not a test.
        "session::fetch::home",
        "login::input::no_such_test",
    ] {
        assert!(fault(root, name).is_some(), "{name}");
    }
}
