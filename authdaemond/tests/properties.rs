//! Statements that hold for any input.

use authdaemond::cram::{Digest, precompute, unhex, verify};
use authdaemond::password::{Form, hash, hex};
use authdaemond::protocol::{Parsed, account_reply, parse};
use authdaemond::userdb::compile::compile;
use authdaemond::userdb::record::{field, fields, set, split_secrets, unset};
use authdaemond::userdb::text::{Edit, Target, edit};
use courier::auth::account::{AccountInfo, Owner, Secret};
use proptest::prelude::*;

const OTHERS: &[u8] = b"first\tuid=1\nlast\tuid=2\n";

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..60)
}

proptest! {
    #![proptest_config(settings(256))]

    /// What a field is set to is what is read, and nothing else changes.
    #[test]
    fn a_field_reads_as_it_was_set(record in "([a-z]{1,3}(=[a-z=]{0,4})?\\|){0,5}", name in "[a-z]{1,3}", value in "[^|\n]{0,9}") {
        let value = value.into_bytes();
        let changed = set(record.as_bytes(), &[(name.clone().into_bytes(), Some(value.clone()))]);
        prop_assert_eq!(field(&changed, name.as_bytes()), Some(value.as_slice()));
        for (other, before) in fields(record.as_bytes()).filter(|(other, _)| *other != name.as_bytes()) {
            prop_assert!(fields(&changed).any(|(known, after)| known == other && after == before));
        }
        let removed = unset(&changed, &[name.clone().into_bytes()]);
        prop_assert_eq!(field(&removed, name.as_bytes()), None);
    }

    /// No password field is left where everybody may read it, and nothing is lost.
    #[test]
    fn secrets_are_split_off_completely(record in bytes()) {
        let (open, secret) = split_secrets(&record);
        prop_assert!(fields(&open).all(|(name, _)| !name.ends_with(b"pw")));
        prop_assert!(fields(&secret).all(|(name, _)| name.ends_with(b"pw")));
        prop_assert_eq!(fields(&open).count() + fields(&secret).count(), fields(&record).count());
    }

    /// Any bytes at all for a name, field or value: refused or written down, but no other account comes to harm.
    #[test]
    fn edits_never_touch_other_accounts(name in bytes(), key in bytes(), value in bytes()) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("userdb");
        std::fs::write(&file, OTHERS).unwrap();
        let target = Target { file: file.clone(), name: name.clone() };
        let done = edit(&target, &Edit::Set(vec![(key.clone(), Some(value.clone()))]));
        let text = std::fs::read(&file).unwrap();
        prop_assert!(text.starts_with(OTHERS));
        if done.is_ok() {
            let added: Vec<u8> = [&name[..], b"\t", &key, b"=", &value, b"\n"].concat();
            prop_assert_eq!(&text[OTHERS.len()..], added);
        } else {
            prop_assert_eq!(text.len(), OTHERS.len());
        }
    }

    /// An account that was sent is the account that is read, or it is not sent at all.
    #[test]
    fn replies_read_as_they_were_written(
        uid in 1..u32::MAX, gid in 1..u32::MAX, address in bytes(), name in "[^,]{0,9}", hash in bytes(), system in any::<bool>(),
    ) {
        let account = AccountInfo {
            owner: Some(if system { Owner::System(address.clone()) } else { Owner::Virtual(uid) }),
            gid: Some(gid),
            home: Some("/home".into()),
            address: Some(address.clone()),
            name: Some(name.clone().into_bytes()),
            maildir: None,
            quota: None,
            hash: Some(Secret(hash.clone())),
            clear: None,
            options: Some(b"a=b".to_vec()),
        };
        let plain = |text: &[u8]| !text.iter().any(|byte| b"\n\0".contains(byte));
        match account_reply(&account) {
            Ok(reply) => {
                let read = AccountInfo::parse(reply.strip_suffix(b".\n").unwrap());
                prop_assert_eq!(read, Some(account));
            }
            Err(_) => prop_assert!(!plain(&address) || !plain(name.as_bytes()) || !plain(&hash)),
        }
    }

    /// What our client writes is what our daemon reads.
    #[test]
    fn a_body_of_any_bytes_comes_through(service in "[a-z]{1,6}", user in "[^\n\0]{1,20}", password in "[^\n\0]{1,20}") {
        let body = format!("{service}\nlogin\n{user}\n{password}\n");
        let request = format!("AUTH {}\n{body}", body.len());
        let Parsed::Request(request) = parse(request.as_bytes()) else {
            return Err(TestCaseError::fail("not a request"));
        };
        let authdaemond::protocol::Command::Auth(auth) = request.command else {
            return Err(TestCaseError::fail("not AUTH"));
        };
        prop_assert_eq!(auth.login(), Some((user.as_bytes(), password.as_bytes())));
    }

    /// CRAM: the right password always, another never, and rubbish in the database is only wrong.
    #[test]
    fn cram_secrets_stand_for_their_password(password in bytes(), other in bytes(), challenge in bytes(), rubbish in bytes()) {
        for digest in Digest::ALL {
            let stored = precompute(digest, &password);
            prop_assert_eq!(hex(&unhex(stored.as_bytes()).unwrap()), stored.clone());
            prop_assert!(!verify(digest, &rubbish, &challenge, &rubbish));
            let padded = |key: &[u8]| { let mut key = key.to_vec(); key.resize(64, 0); key };
            // Keys are padded with zeros, so that these two are one.
            if padded(&password) != padded(&other) {
                prop_assert_ne!(stored, precompute(digest, &other));
            }
        }
    }
}

proptest! {
    #![proptest_config(settings(32))]

    /// A source text of any bytes compiles or is refused; a database of any bytes is read or refused.
    #[test]
    fn any_source_compiles_or_is_refused(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("userdb");
        std::fs::write(&file, &text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let compiled = compile(&file);
        prop_assert_eq!(compiled.is_ok(), authdaemond::userdb::database(&file).exists());
    }

    /// New hashes verify, and only with their password.
    #[test]
    fn new_hashes_are_of_their_password(password in proptest::collection::vec(1..=255_u8, 0..40), other in proptest::collection::vec(1..=255_u8, 0..40)) {
        for form in [Form::Md5, Form::Md5Raw, Form::Sha, Form::Ssha, Form::Sha256, Form::Sha512, Form::Md5Crypt] {
            let stored = hash(form, &password).unwrap();
            prop_assert!(authdaemond::password::verify(&stored, &password));
            prop_assert_eq!(authdaemond::password::verify(&stored, &other), password == other);
        }
    }
}
