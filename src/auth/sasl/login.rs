//! LOGIN: the server asks for a user name, then for a password (draft-murchison-sasl-login).

use super::{Credentials, Refusal, Secret, Step};

/// Base64 of `Username:`.
pub(super) fn ask_user() -> Vec<u8> {
    b"VXNlcm5hbWU6".to_vec()
}

/// Base64 of `Password:`.
pub(super) fn ask_password() -> Vec<u8> {
    b"UGFzc3dvcmQ6".to_vec()
}

pub(super) fn answer(user: Vec<u8>, password: &[u8]) -> Step {
    if password.contains(&0) || user.is_empty() {
        return Step::Refused(Refusal::Malformed);
    }
    Step::Done(Credentials::Password {
        user,
        password: Secret(password.to_vec()),
    })
}
