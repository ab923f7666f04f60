//! What SQL and LDAP know about an account's password, and deciding by it.

use courier::auth::account::{AccountInfo, Secret};

use crate::cram;
use crate::module::{Context, Verdict};
use crate::password;
use crate::protocol::{Auth, CramResponse};

/// The stored secrets of one account. Neither is ever empty: an empty text in a table or directory is no password.
#[derive(Clone, Default)]
pub struct Secrets {
    /// A hash of any form.
    pub hash: Option<Vec<u8>>,
    /// The password itself.
    pub clear: Option<Vec<u8>>,
    /// Which counts when both are there: the clear one in LDAP, the hash in SQL.
    pub prefer_clear: bool,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Secrets {
    /// `info` with both of them: what a look-up shows, to whoever may connect.
    pub fn shown_in(self, info: AccountInfo) -> AccountInfo {
        AccountInfo {
            hash: self.hash.map(Secret),
            clear: self.clear.map(Secret),
            ..info
        }
    }

    /// Whether `supplied` is the password. One of the two decides alone.
    pub fn verify(&self, supplied: &[u8], context: &mut Context<'_>) -> bool {
        let matches = match (&self.hash, &self.clear) {
            (Some(hash), clear) if clear.is_none() || !self.prefer_clear => {
                context.checker.verify(hash, supplied)
            }
            (_, Some(clear)) => password::same(clear, supplied),
            _ => false,
        };
        context.debug.line(if matches {
            format_args!("password matches successfully")
        } else {
            format_args!("supplied password does not match the stored one")
        });
        matches
    }

    /// Whether `response` was made with the password. Needs it in clear.
    fn verify_cram(&self, response: &CramResponse) -> bool {
        self.clear.as_deref().is_some_and(|clear| {
            let stored = cram::precompute(response.digest, clear);
            cram::verify(
                response.digest,
                stored.as_bytes(),
                &response.challenge,
                &response.response,
            )
        })
    }
}

/// A request to authenticate, read.
#[derive(Debug)]
pub enum Question<'a> {
    /// Name and password.
    Login(&'a [u8], &'a [u8]),
    /// Challenge and response.
    Cram(CramResponse),
    /// Neither.
    Other,
}

impl<'a> Question<'a> {
    /// What `auth` asks.
    pub fn of(auth: &'a Auth) -> Self {
        match auth.login() {
            Some((user, password)) => Self::Login(user, password),
            None => auth.cram().map_or(Self::Other, Self::Cram),
        }
    }

    /// Whose password it is about.
    pub fn user(&self) -> Option<&[u8]> {
        match self {
            Self::Login(user, _) => Some(user),
            Self::Cram(response) => Some(&response.user),
            Self::Other => None,
        }
    }

    /// The answer for an account with these secrets.
    pub fn decide(
        &self,
        mut info: AccountInfo,
        secrets: &Secrets,
        context: &mut Context<'_>,
    ) -> Verdict {
        match self {
            Self::Login(_, supplied) if secrets.verify(supplied, context) => {
                info.hash = secrets.hash.clone().map(Secret);
                info.clear = Some(Secret(supplied.to_vec()));
                Verdict::Accept(Box::new(info))
            }
            Self::Cram(response) if secrets.verify_cram(response) => {
                Verdict::Accept(Box::new(info))
            }
            _ => Verdict::Reject,
        }
    }
}
