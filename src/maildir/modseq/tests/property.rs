//! Whatever several sessions and other software do, a client that knew some view learns everything since.

use proptest::prelude::*;

use super::*;

/// What clients have been told, all together.
#[derive(Default)]
struct Told {
    clients: Vec<Client>,
    /// What a message with a MODSEQ was.
    states: BTreeMap<(u32, u64), Seen>,
    /// The highest MODSEQ that each session and, behind them, any session has told.
    highest: Vec<u64>,
}

impl Told {
    /// A session tells what its view shows.
    fn tell(&mut self, session: usize, view: &Snapshot) {
        let highest = view.highest_modseq();
        self.highest.resize(self.highest.len().max(session + 1), 0);
        assert!(highest >= self.highest[session], "HIGHESTMODSEQ fell");
        self.highest[session] = highest;
        for (index, message) in view.messages().iter().enumerate() {
            let modseq = view.modseq(index);
            assert!(modseq > 0);
            let state = seen(view, message);
            let known = self
                .states
                .entry((message.uid(), modseq))
                .or_insert_with(|| state.clone());
            assert_eq!(*known, state, "two states with one MODSEQ");
        }
        self.clients.push(Client::of(view));
    }

    /// A new session tells no less than any before it.
    fn begin(&mut self, session: usize, view: &Snapshot) {
        let most = self.highest.iter().copied().max().unwrap_or(0);
        assert!(view.highest_modseq() >= most, "HIGHESTMODSEQ fell");
        self.tell(session, view);
    }
}

struct World {
    log: Log,
    views: Vec<Snapshot>,
    told: Told,
}

impl World {
    fn new() -> Self {
        let log = Log::new(8);
        let views = vec![
            log.open(),
            log.open(),
            log.folder.scan(Mode::ReadWrite).unwrap(),
        ];
        let mut told = Told::default();
        told.begin(0, &views[0]);
        told.begin(1, &views[1]);
        Self { log, views, told }
    }

    /// `kind` is what is done, `pick` to which message and by which session.
    fn step(&mut self, kind: u8, pick: usize, serial: usize) {
        let session = pick % 3;
        let pick = pick / 3;
        let count = self.views[session].len();
        let log = &self.log;
        let view = &mut self.views[session];
        let cur = log.mailbox.path().join("cur");
        let file = names(view).get(pick % count.max(1)).cloned();
        let base = |name: &str| name.split(':').next().unwrap().to_owned();
        match kind % 12 {
            0..=2 if count > 0 => {
                let change = Change::new(
                    [Action::Add, Action::Remove, Action::Replace][pick % 3],
                    [Flags::SEEN, Flags::FLAGGED, Flags::NONE][pick / 3 % 3],
                    [vec![], vec![b"work".to_vec()], vec![b"Later".to_vec()]][pick / 9 % 3].clone(),
                );
                let change = Change {
                    unchanged_since: (session < 2 && pick % 4 == 0).then(|| view.highest_modseq()),
                    ..change
                };
                let all: Vec<usize> = (0..count)
                    .filter(|index| (pick >> index) & 1 == 1)
                    .collect();
                log.folder.change(view, &all, &change).unwrap();
            }
            3 if count > 0 => {
                let index = pick % count;
                let deleted = Change::new(Action::Add, Flags::DELETED, Vec::new());
                log.folder.change(view, &[index], &deleted).unwrap();
                log.folder.expunge(view, &[index]).unwrap();
            }
            4 => {
                append(&log.folder, "Subject: x\r\n\r\n").unwrap();
            }
            5 => log.mailbox.put(&format!("new/{serial}.new"), "x\n"),
            6 => {
                if let Some(name) = file {
                    let flags = ["", "S", "FS", "RT"][pick % 4];
                    // Gone already, perhaps.
                    let _ = fs::rename(
                        cur.join(&name),
                        cur.join(format!("{}:2,{flags}", base(&name))),
                    );
                }
            }
            7 => {
                if let Some(name) = file {
                    let _ = fs::remove_file(cur.join(name));
                }
            }
            8 => {
                if let Some(name) = file {
                    let keywords = log.mailbox.path().join("courierimapkeywords");
                    fs::create_dir_all(&keywords).unwrap();
                    let text = ["", "work\n", "Urgent\nwork\n"][pick % 3];
                    fs::write(keywords.join(base(&name)), text).unwrap();
                }
            }
            9 => {
                // The session ends and another begins.
                let mut view = log.folder.scan(Mode::ReadWrite).unwrap();
                let at_rest = log.folder.at_rest(&view).unwrap();
                if session == 2 {
                    let highest = log.folder.highest_modseq(&mut view).unwrap();
                    assert!(at_rest.is_none_or(|at_rest| at_rest == highest));
                    assert!(self.told.highest.iter().all(|told| *told <= highest));
                    self.told.clients.push(Client {
                        modseq: highest,
                        ..Client::of(&view)
                    });
                } else {
                    log.folder.track(&mut view).unwrap();
                    let highest = view.highest_modseq();
                    assert!(at_rest.is_none_or(|at_rest| at_rest == highest));
                    self.told.highest[session] = 0;
                    self.told.begin(session, &view);
                }
                self.views[session] = view;
                return;
            }
            10 => settle(),
            _ => {
                log.folder.rescan(view).unwrap();
            }
        }
        if session < 2 {
            self.told.tell(session, &self.views[session]);
        }
    }

    /// Everybody looks until nothing is new; then every client of any time learns the same from any session.
    fn end(mut self) {
        for _ in 0..3 {
            for view in &mut self.views {
                self.log.look(view);
            }
        }
        let fresh = self.log.open();
        let now = Client::of(&fresh);
        for view in self.views.iter().take(2).chain([&fresh]) {
            assert_eq!(Client::of(view).messages, now.messages);
            assert_eq!(view.highest_modseq(), now.modseq);
            for client in &self.told.clients {
                client.clone().learn(view);
            }
        }
        let highest = self.told.highest.iter().max().unwrap();
        assert!(now.modseq >= *highest);
    }
}

/// A few, or `PROPTEST_CASES`.
fn cases() -> ProptestConfig {
    let more = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if more { default.cases } else { 8 },
        ..default
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_client_that_knew_any_view_learns_everything_since(
        steps in proptest::collection::vec((any::<u8>(), any::<usize>()), 1..60)
    ) {
        let mut world = World::new();
        for (serial, (kind, pick)) in steps.into_iter().enumerate() {
            world.step(kind, pick, serial);
        }
        world.end();
    }

    #[test]
    fn any_octets_are_read_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), sealed in any::<bool>()
    ) {
        let log = Log::new(2);
        let mut view = log.open();
        let told = view.highest_modseq();
        let good = fs::read(log.path()).unwrap();
        let kept = match sealed {
            true => good.as_slice(),
            false => &[],
        };
        fs::write(log.path(), [kept, &bytes].concat()).unwrap();
        log.flag(&mut view, 0);
        let fresh = log.open();
        prop_assert!(fresh.highest_modseq() > told);
        prop_assert_eq!(fresh.highest_modseq(), view.highest_modseq());
    }
}
