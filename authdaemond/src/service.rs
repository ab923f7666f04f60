//! Answers one request by asking the modules in order.

use courier::auth::account::{AccountInfo, Owner};
use courier::auth::options;
use courier::sys::log::{Level, log};

use crate::debug::{Debug, Text};
use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::password::Checker;
use crate::protocol::{self, Auth, Command, Request, Unsendable};

/// What goes back to the peer before the connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes.
    Reply(Vec<u8>),
    /// Nothing: a temporary failure.
    Nothing,
}

/// A worker's modules and settings.
pub struct Service {
    modules: Vec<Box<dyn Module>>,
    checker: Checker,
    debug: Debug,
    default_options: Vec<u8>,
}

impl Service {
    /// With these modules, asked in this order.
    pub fn new(modules: Vec<Box<dyn Module>>, debug: Debug, default_options: Vec<u8>) -> Self {
        Self {
            modules,
            checker: Checker::default(),
            debug,
            default_options,
        }
    }

    /// Tells the modules that nothing was asked for a while.
    pub fn idle(&mut self) {
        for module in &mut self.modules {
            module.idle();
        }
    }

    /// The answer to `request`.
    pub fn answer(&mut self, request: &Request) -> Answer {
        self.checker.begin();
        let remote = request.remote.as_deref();
        match &request.command {
            Command::Impossible => fail(),
            Command::Auth(auth) => self.auth(auth, remote),
            Command::Pre {
                module,
                service,
                user,
            } => self.pre(module, service, user, remote),
            Command::Passwd {
                service,
                user,
                old,
                new,
            } => self.passwd(service, user, old, new),
            Command::Enumerate => self.enumerate(),
        }
    }

    fn auth(&mut self, auth: &Auth, remote: Option<&[u8]>) -> Answer {
        self.debug.line(format_args!(
            "received auth request, service={}, authtype={}",
            Text(&auth.service),
            Text(&auth.authtype)
        ));
        let verdict = self.ask(None, remote, |module, context| {
            module.authenticate(auth, context)
        });
        match verdict {
            Verdict::Accept(account) => {
                self.debug.authenticated(&account);
                self.accept(*account)
            }
            Verdict::Reject => {
                if let Some((_, password)) = auth.login() {
                    self.checker.refuse(password);
                }
                fail()
            }
            Verdict::TempFail => Answer::Nothing,
        }
    }

    fn pre(&mut self, only: &[u8], service: &[u8], user: &[u8], remote: Option<&[u8]>) -> Answer {
        self.debug.line(format_args!(
            "received userid lookup request: {}",
            Text(user)
        ));
        let only = (only != b".").then_some(only);
        let verdict = self.ask(only, remote, |module, context| {
            module.lookup(service, user, context)
        });
        match verdict {
            Verdict::Accept(account) => self.accept(*account),
            Verdict::Reject => fail(),
            Verdict::TempFail => Answer::Nothing,
        }
    }

    /// The first verdict that is not a rejection.
    fn ask(
        &mut self,
        only: Option<&[u8]>,
        remote: Option<&[u8]>,
        mut question: impl FnMut(&mut dyn Module, &mut Context<'_>) -> Verdict,
    ) -> Verdict {
        let debug = self.debug;
        for module in &mut self.modules {
            let name = module.name();
            if only.is_some_and(|only| only != name.as_bytes()) {
                continue;
            }
            debug.line(format_args!("{name}: trying this module"));
            let mut context = Context {
                debug,
                checker: &mut self.checker,
                remote,
            };
            match question(module.as_mut(), &mut context) {
                Verdict::Accept(account) if may_be_used(&account) => {
                    return Verdict::Accept(account);
                }
                Verdict::Accept(account) => log(
                    Level::Warning,
                    format_args!(
                        "{name}: '{}' refused: uid 0 or gid 0",
                        Text(account.address.as_deref().unwrap_or_default())
                    ),
                ),
                Verdict::TempFail => {
                    debug.line(format_args!(
                        "{name}: TEMPFAIL - no more modules will be tried"
                    ));
                    return Verdict::TempFail;
                }
                Verdict::Reject => {}
            }
            debug.line(format_args!("{name}: REJECT - try next module"));
        }
        debug.line(format_args!("FAIL, all modules rejected"));
        Verdict::Reject
    }

    fn accept(&self, mut account: AccountInfo) -> Answer {
        account.options = options::merge(account.options.as_deref(), &self.default_options);
        match protocol::account_reply(&account) {
            Ok(reply) => Answer::Reply(reply),
            Err(problem) => {
                let what = match problem {
                    Unsendable::Control => "has a value with a line feed or NUL",
                    Unsendable::TooLong => "has more data than a reply can hold",
                };
                log(
                    Level::Err,
                    format_args!(
                        "account '{}' {what}",
                        Text(account.address.as_deref().unwrap_or_default())
                    ),
                );
                Answer::Nothing
            }
        }
    }

    fn passwd(&mut self, service: &[u8], user: &[u8], old: &[u8], new: &[u8]) -> Answer {
        let debug = self.debug;
        for module in &mut self.modules {
            let name = module.name();
            debug.line(format_args!("{name}: trying this module"));
            let mut context = Context {
                debug,
                checker: &mut self.checker,
                remote: None,
            };
            match module.change_password(service, user, old, new, &mut context) {
                Change::Changed => {
                    log(
                        Level::Info,
                        format_args!("password changed, user={}, module={name}", Text(user)),
                    );
                    return Answer::Reply(b"OK\n".to_vec());
                }
                Change::NotMine => {
                    debug.line(format_args!("{name}: REJECT - try next module"));
                }
                Change::Failed => {
                    debug.line(format_args!("{name}: password change failed"));
                    return fail();
                }
            }
        }
        self.checker.refuse(old);
        fail()
    }

    fn enumerate(&mut self) -> Answer {
        let debug = self.debug;
        let defaults = &self.default_options;
        let mut list = Vec::new();
        for module in &mut self.modules {
            if !module.lists() {
                continue;
            }
            let name = module.name();
            list.extend_from_slice(format!("# {name}\n\n").as_bytes());
            let mut context = Context {
                debug,
                checker: &mut self.checker,
                remote: None,
            };
            let result = module.enumerate(&mut context, &mut |mut account| {
                account.options = options::merge(account.options.as_deref(), defaults);
                match protocol::listed(&account) {
                    Some(line) => list.extend_from_slice(&line),
                    None => log(
                        Level::Warning,
                        format_args!(
                            "{name}: account '{}' cannot be listed",
                            Text(account.address.as_deref().unwrap_or_default())
                        ),
                    ),
                }
            });
            if let Err(Aborted) = result {
                debug.line(format_args!(
                    "enumeration terminated prematurely in module {name}"
                ));
                return Answer::Reply(list);
            }
        }
        list.extend_from_slice(b".\n");
        Answer::Reply(list)
    }
}

fn fail() -> Answer {
    Answer::Reply(b"FAIL\n".to_vec())
}

/// Nobody becomes root by logging in, whatever a module says.
fn may_be_used(account: &AccountInfo) -> bool {
    account.gid != Some(0)
        && match &account.owner {
            Some(Owner::Virtual(uid)) => *uid != 0,
            // The modules for system accounts have looked at the uid.
            Some(Owner::System(name)) => name != b"root",
            None => true,
        }
}
