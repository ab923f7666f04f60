//! The direction of dependencies: inside the library (which module may name which), between the crates, and
//! inside imapd (the grammar knows no store). Cargo cannot check the first and the last, this can.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::path::{Path, PathBuf};

/// Each module of the library with the modules it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("text", &["sys"]),
    ("config", &["sys", "text"]),
    ("handover", &["sys"]),
    ("mime", &["text"]),
    ("maildir", &["sys", "text", "config"]),
    ("auth", &["sys", "text", "config"]),
    ("roster", &["sys", "config"]),
    ("login", &["sys", "text", "config", "auth", "roster"]),
    ("access", &["sys", "text"]),
    (
        "tools",
        &[
            "sys", "text", "config", "mime", "maildir", "auth", "access", "roster",
        ],
    ),
];

/// The packages that hold programs. None of them may depend on another.
const PROGRAM_CRATES: &[&str] = &["authdaemond", "couriertcpd", "couriertlsd", "imapd"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `path`, or `path` itself.
fn rust_files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

/// The first path segments that follow `prefix` (`crate::` or `courier::`) in the code of `source`, including
/// those of a `prefix{a, b::c}` group, with their line numbers.
fn names_after(source: &str, prefix: &str) -> Vec<(usize, String)> {
    let code: String = source
        .lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                "\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let preceding = code[..at].chars().next_back();
        if preceding.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        let word = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        };
        let Some(group) = rest.strip_prefix('{') else {
            names.push((line, word(rest)));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    names.push((line, word(&group[start..index])));
                    start = index + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    names
}

#[test]
fn library_modules_use_only_what_stands_before_them() {
    let mut faults = Vec::new();
    for (module, allowed) in MAY_USE {
        let mut files = Vec::new();
        let directory = root().join("src").join(module);
        rust_files(&directory, &mut files);
        let single = directory.with_extension("rs");
        if single.exists() {
            files.push(single);
        }
        assert!(!files.is_empty(), "module {module} has no files");
        for file in files {
            let source = std::fs::read_to_string(&file).unwrap();
            for (line, name) in names_after(&source, "crate::") {
                let is_module = MAY_USE.iter().any(|(known, _)| *known == name);
                if is_module && name != *module && !allowed.contains(&name.as_str()) {
                    faults.push(format!("{}:{line}: {module} uses {name}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_library_module_has_a_place_in_the_order() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for line in library.lines() {
        if let Some(name) = line
            .strip_prefix("pub mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        {
            assert!(
                MAY_USE.iter().any(|(known, _)| *known == name),
                "{name} is missing from MAY_USE"
            );
        }
    }
}

#[test]
fn program_crates_do_not_depend_on_each_other() {
    for program in PROGRAM_CRATES {
        let manifest = std::fs::read_to_string(root().join(program).join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split("\n[")
            .find(|section| section.starts_with("dependencies]"))
            .unwrap_or_default();
        for other in PROGRAM_CRATES {
            for line in dependencies.lines() {
                let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
                assert_ne!(&name, other, "{program} depends on {other}");
            }
        }
    }
}

#[test]
fn the_imap_grammar_knows_neither_store_nor_commands() {
    let mut files = Vec::new();
    let grammar = root().join("imapd/src/grammar");
    if !grammar.exists() {
        return;
    }
    rust_files(&grammar, &mut files);
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        for (line, name) in names_after(&source, "courier::") {
            assert!(
                ["text", "mime"].contains(&name.as_str()),
                "{}:{line}: the grammar uses courier::{name}",
                file.display()
            );
        }
        for (line, name) in names_after(&source, "crate::") {
            assert_ne!(
                name,
                "command",
                "{}:{line}: the grammar uses command",
                file.display()
            );
        }
    }
}

#[test]
fn groups_comments_and_longer_names_are_read_right() {
    let source = "// crate::tools\nuse crate::{sys::{fd, log}, text};\nlet x = crate::auth::y();\nmycrate::z();\n";
    let names: Vec<_> = names_after(source, "crate::");
    assert_eq!(
        names,
        [
            (2, "sys".to_owned()),
            (2, "text".to_owned()),
            (3, "auth".to_owned())
        ]
    );
}
