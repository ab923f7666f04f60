//! PLAIN: `[authzid] NUL authcid NUL password` (RFC 4616).

use super::{Credentials, Refusal, Secret, Step};

/// Splits the message.
// COMPAT: the authorization identity is ignored, as Courier does.
pub(super) fn answer(message: &[u8]) -> Step {
    let mut fields = message.split(|&byte| byte == 0);
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(_authzid), Some(user), Some(password), None) if !user.is_empty() => {
            Step::Done(Credentials::Password {
                user: user.to_vec(),
                password: Secret(password.to_vec()),
            })
        }
        _ => Step::Refused(Refusal::Malformed),
    }
}
