//! Runs every script of `tests/conversation/` against the side that `COURIER_UNDER_TEST` names.
//!
//! `CONVERSATION=name,name` restricts the run to some scripts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::script::{self, Script};
use harness::server::{Server, Setup, Side};
use harness::{Error, programs};

/// Scripts wait more than they work, most of all for the delay of failed logins.
const THREADS: usize = 8;

struct Case {
    name: String,
    script: Script,
}

#[test]
fn conversations() -> Result<(), Error> {
    harness::run(|| {
        let side = Side::under_test()?;
        let cases = load()?;
        // Scripts with the same settings share a server, each with an account of its own.
        let mut groups: BTreeMap<Vec<(String, String)>, Vec<Case>> = BTreeMap::new();
        for case in cases {
            groups
                .entry(case.script.environment.clone())
                .or_default()
                .push(case);
        }
        let mut servers = Vec::new();
        for (environment, cases) in &groups {
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            let mut setup = Setup::new(side, &names);
            setup.environment.extend(environment.iter().cloned());
            for case in cases {
                let options = case.script.options.clone();
                setup.options.insert(case.name.clone(), options);
            }
            servers.push((Server::start(&setup)?, cases));
        }
        let jobs: Vec<(&Server, &Case)> = servers
            .iter()
            .flat_map(|(server, cases)| cases.iter().map(move |case| (server, case)))
            .collect();
        let next = AtomicUsize::new(0);
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while let Some((server, case)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        if let Err(error) = judge(server, case, side) {
                            failures.lock().unwrap().push(error.to_string());
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap();
        assert!(
            failures.is_empty(),
            "{} of {} conversations failed:\n\n{}",
            failures.len(),
            jobs.len(),
            failures.join("\n\n")
        );
        Ok(())
    })
}

/// Scripts marked as failing must fail, so that no mark outlives its reason.
fn judge(server: &Server, case: &Case, side: Side) -> Result<(), Error> {
    let account = server.account(&case.name)?;
    let expected_failure = match side {
        Side::Ours => case.script.pending.as_ref(),
        Side::Reference => case.script.ours_only.as_ref(),
    };
    match (
        script::run(&case.script, server, account, side),
        expected_failure,
    ) {
        (Ok(()), Some(why)) => Err(Error::new(format!(
            "== {}.t passes although it is marked: {why}",
            case.name
        ))),
        (Err(_), Some(_)) => Ok(()),
        (outcome, None) => {
            outcome.map_err(|error| error.in_context(&format!("== {}.t", case.name)))
        }
    }
}

fn load() -> Result<Vec<Case>, Error> {
    let directory = programs::source_root().join("tests/conversation");
    let chosen = std::env::var("CONVERSATION").unwrap_or_default();
    let chosen: Vec<&str> = chosen.split(',').filter(|name| !name.is_empty()).collect();
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "t") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !chosen.is_empty() && !chosen.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let script =
            script::parse(&text).map_err(|error| Error::new(format!("{name}.t: {error}")))?;
        cases.push(Case { name, script });
    }
    Ok(cases)
}
