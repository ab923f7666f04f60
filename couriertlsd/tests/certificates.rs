//! Certificates and keys as administrators have them: separate files, directories, revocation lists, names beyond
//! ASCII, and what cannot be used.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    reason = "the other test programs use the rest of the support"
)]

mod support;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use openssl::dh::Dh;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey};
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnectorBuilder, SslVersion};
use openssl::symm::Cipher;
use openssl::x509::X509;
use support::{Identity, Setup, Wish, client, connect, identity, outcome, rest};

const ECHO: [&str; 3] = ["/bin/sh", "-c", "read line; echo \"got $line\"; env"];

/// What the program said, what the log said, whether the connection was served.
fn attempt(setup: &Setup, builder: SslConnectorBuilder, host: &str) -> (String, String, bool) {
    let (socket, child) = setup.once(&ECHO);
    let text = connect(builder, host, socket).map(|mut stream| {
        // With TLS 1.3 a refusal comes after the client's handshake is over.
        let _refused = stream.write_all(b"x\n");
        String::from_utf8(rest(&mut stream)).unwrap()
    });
    let (log, success) = outcome(child);
    (text.unwrap_or_default(), log, success)
}

fn with_certificate(identity: &Identity) -> SslConnectorBuilder {
    let mut builder = client();
    builder.set_certificate(&identity.certificate).unwrap();
    builder.set_private_key(&identity.key).unwrap();
    builder
}

fn common_name(setup: &Setup, host: &str) -> String {
    let (socket, child) = setup.once(&ECHO);
    let mut stream = connect(client(), host, socket).unwrap();
    let certificate = stream.ssl().peer_certificate().unwrap();
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next().unwrap().data().to_string().unwrap();
    stream.write_all(b"x\n").unwrap();
    rest(&mut stream);
    drop(stream);
    assert!(outcome(child).1);
    name
}

#[test]
fn the_key_may_stand_in_a_file_of_its_own() {
    let mut setup = Setup::new();
    let separate = setup.directory.path().join("key.pem");
    let own = identity(&Wish {
        name: "separate",
        ..Wish::default()
    });
    std::fs::write(setup.certificate(), own.certificate.to_pem().unwrap()).unwrap();
    std::fs::write(&separate, own.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    setup.set("TLS_PRIVATE_KEYFILE", &separate.to_string_lossy());
    assert_eq!(common_name(&setup, "localhost"), "separate");
    // For a host, too; its key is with its certificate where there is no file for it.
    let suffixed = |path: &Path| format!("{}.example.org", path.display());
    let host = identity(&Wish {
        name: "host",
        ..Wish::default()
    });
    std::fs::write(
        suffixed(&setup.certificate()),
        host.certificate.to_pem().unwrap(),
    )
    .unwrap();
    std::fs::write(
        suffixed(&separate),
        host.key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
    assert_eq!(common_name(&setup, "example.org"), "host");
    host.write(suffixed(&setup.certificate()).as_ref());
    std::fs::remove_file(suffixed(&separate)).unwrap();
    assert_eq!(common_name(&setup, "example.org"), "host");
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let setup = Setup::new();
    let own = identity(&Wish::default());
    let path = setup.certificate();
    let encrypted = own
        .key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret")
        .unwrap();
    let certificate = own.certificate.to_pem().unwrap();
    for (content, said) in [
        (
            [certificate.clone(), encrypted].concat(),
            "no unencrypted private key",
        ),
        (certificate.clone(), "no unencrypted private key"),
        (
            b"human-readable text only\n".to_vec(),
            "no usable certificate",
        ),
    ] {
        std::fs::write(&path, content).unwrap();
        let (text, log, success) = attempt(&setup, client(), "localhost");
        assert!(!success && text.is_empty());
        assert_eq!(
            log,
            format!("ip=[127.0.0.1], couriertls: {}: {said}\n", path.display())
        );
    }
    // GnuTLS' certtool puts a description in front of the key.
    let mut described = b"Public Key Info:\n\tPublic Key Algorithm: EC\n\n".to_vec();
    described.extend(own.key.private_key_to_pem_pkcs8().unwrap());
    described.extend(certificate);
    std::fs::write(&path, described).unwrap();
    assert_eq!(common_name(&setup, "localhost"), "localhost");
}

/// As STARTTLS has it: couriertls runs as the mail user there, who may not be allowed to read the file.
#[test]
fn a_key_that_may_not_be_read_is_named() {
    let mut setup = Setup::new();
    let path = setup.certificate();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    setup.unprivileged = true;
    let (_, log, success) = attempt(&setup, client(), "localhost");
    let refused = format!(
        "ip=[127.0.0.1], couriertls: {}: Permission denied\n",
        path.display()
    );
    assert!(!success && log == refused, "{log}");
    // The same for a key in a file of its own; what is left then is a certificate without one.
    let key = setup.directory.path().join("key.pem");
    let own = identity(&Wish::default());
    own.write(&key);
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&path, own.certificate.to_pem().unwrap()).unwrap();
    setup.set("TLS_PRIVATE_KEYFILE", &key.to_string_lossy());
    let (_, log, success) = attempt(&setup, client(), "localhost");
    assert!(
        !success && log.starts_with("ip=[127.0.0.1], couriertls: "),
        "{log}"
    );
    assert!(log.contains("key.pem: Permission denied"), "{log}");
}

#[test]
fn hosts_are_found_by_their_unicode_names_too() {
    let setup = Setup::new();
    let path = format!("{}.bücher.example", setup.certificate().display());
    identity(&Wish {
        name: "unicode",
        ..Wish::default()
    })
    .write(path.as_ref());
    assert_eq!(common_name(&setup, "imap.xn--bcher-kva.example"), "unicode");
    let ace = format!("{}.xn--bcher-kva.example", setup.certificate().display());
    identity(&Wish {
        name: "ace",
        ..Wish::default()
    })
    .write(ace.as_ref());
    assert_eq!(common_name(&setup, "xn--bcher-kva.example"), "ace");
    // An invalid host certificate is not silently replaced by another.
    std::fs::write(&ace, "rubbish").unwrap();
    let (_, log, _) = attempt(&setup, client(), "xn--bcher-kva.example");
    assert!(
        log.contains(".xn--bcher-kva.example: no usable certificate"),
        "{log}"
    );
}

#[test]
fn diffie_hellman_parameters_come_from_the_file_or_fit_the_key() {
    let mut setup = Setup::new();
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut own = identity(&Wish::default());
    own.key = rsa;
    support::sign_anew(&mut own);
    own.write(&setup.certificate());
    let bits = |setup: &Setup| {
        let (socket, child) = setup.once(&ECHO);
        let mut builder = client();
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        builder
            .set_cipher_list("DHE-RSA-AES256-GCM-SHA384")
            .unwrap();
        let mut stream = connect(builder, "localhost", socket).unwrap();
        let key = stream.ssl().peer_tmp_key().unwrap();
        assert_eq!(key.id(), Id::DH);
        stream.write_all(b"x\n").unwrap();
        rest(&mut stream);
        drop(stream);
        let (log, success) = outcome(child);
        assert!(success);
        (key.bits(), log)
    };
    let silent = String::new();
    assert_eq!(bits(&setup), (2048, silent.clone()));
    let parameters = setup.directory.path().join("dhparams.pem");
    // The 3072-bit prime of RFC 3526, generator 2.
    let prime = openssl::bn::BigNum::get_rfc3526_prime_3072().unwrap();
    let generator = openssl::bn::BigNum::from_u32(2).unwrap();
    let dh = Dh::from_pqg(prime, None, generator).unwrap();
    std::fs::write(&parameters, dh.params_to_pem().unwrap()).unwrap();
    setup.set("TLS_DHPARAMS", &parameters.to_string_lossy());
    assert_eq!(bits(&setup), (3072, silent.clone()));
    std::fs::write(&parameters, "rubbish").unwrap();
    let (number, log) = bits(&setup);
    assert_eq!(number, 2048);
    assert!(
        log.starts_with("WARN: couriertls: TLS_DHPARAMS: /")
            && log.ends_with("dhparams.pem: no Diffie-Hellman parameters\n"),
        "{log}"
    );
    std::fs::remove_file(&parameters).unwrap();
    assert_eq!(bits(&setup), (2048, silent));
}

fn authority(name: &str) -> Identity {
    identity(&Wish {
        name,
        authority: true,
        ..Wish::default()
    })
}

fn issued(authority: &Identity) -> Identity {
    identity(&Wish {
        name: "user",
        issuer: Some(authority),
        ..Wish::default()
    })
}

#[test]
fn revoked_certificates_are_refused() {
    let mut setup = Setup::new();
    let authority = authority("authority");
    let (good, bad) = (issued(&authority), issued(&authority));
    let Some(list) = support::revocation_list(setup.directory.path(), &authority, &bad) else {
        support::skip("no openssl command here");
        return;
    };
    let trust = setup.directory.path().join("trust.pem");
    let mut pem = authority.certificate.to_pem().unwrap();
    std::fs::write(&trust, &pem).unwrap();
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    setup.set("TLS_VERIFYPEER", "REQUIREPEER");
    let (text, log, _) = attempt(&setup, with_certificate(&bad), "localhost");
    assert!(text.contains("TLS_SUBJECT_CN=user\n"), "{log}");
    pem.extend(list);
    std::fs::write(&trust, pem).unwrap();
    let (text, log, success) = attempt(&setup, with_certificate(&good), "localhost");
    assert!(success && text.contains("TLS_SUBJECT_CN=user\n"), "{log}");
    let (text, log, success) = attempt(&setup, with_certificate(&bad), "localhost");
    assert!(!success && text.is_empty());
    assert!(
        log.starts_with("ip=[127.0.0.1], couriertls: accept: error:")
            && log.ends_with("certificate verify failed (certificate revoked)\n"),
        "{log}"
    );
}

#[test]
fn a_revocation_list_that_cannot_be_read_lets_nobody_in() {
    let mut setup = Setup::new();
    let authority = authority("authority");
    let own = issued(&authority);
    let trust = setup.directory.path().join("trust");
    std::fs::create_dir(&trust).unwrap();
    let pem = authority.certificate.to_pem().unwrap();
    std::fs::write(trust.join("authority.pem"), pem).unwrap();
    // As while it is being written.
    let list = b"-----BEGIN X509 CRL-----\nMIIB\n";
    std::fs::write(trust.join("revoked.pem"), list).unwrap();
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    setup.set("TLS_VERIFYPEER", "REQUIREPEER");
    let (_, log, success) = attempt(&setup, with_certificate(&own), "localhost");
    assert!(
        !success && log.contains("revoked.pem: a revocation list that cannot be read"),
        "{log}"
    );
}

#[test]
fn authorities_may_be_files_of_a_directory() {
    let mut setup = Setup::new();
    let authority = authority("authority");
    let user = issued(&authority);
    let directory = setup.directory.path().join("authorities");
    std::fs::create_dir(&directory).unwrap();
    let pem = authority.certificate.to_pem().unwrap();
    setup.set("TLS_TRUSTCERTS", &directory.to_string_lossy());
    setup.set("TLS_VERIFYPEER", "PEER");
    let trusted = |setup: &Setup| {
        let (text, _, _) = attempt(setup, with_certificate(&user), "localhost");
        text.contains("TLS_SUBJECT_CN=user\n")
    };
    assert!(!trusted(&setup));
    // Any name, as GnuTLS has it, unless it begins with a dot.
    std::fs::write(directory.join(".hidden"), &pem).unwrap();
    assert!(!trusted(&setup));
    std::fs::write(directory.join("authority.crt"), &pem).unwrap();
    assert!(trusted(&setup));
    // In a directory with names that are hashes, only those.
    let other = identity(&Wish {
        name: "other",
        authority: true,
        ..Wish::default()
    });
    std::fs::write(
        directory.join("0123abcd.0"),
        other.certificate.to_pem().unwrap(),
    )
    .unwrap();
    assert!(!trusted(&setup));
    std::fs::write(directory.join("0123abcd.1"), &pem).unwrap();
    assert!(trusted(&setup));
    // PEER: a client without a certificate is served, and named nothing.
    let (text, _, success) = attempt(&setup, client(), "localhost");
    assert!(success && text.starts_with("got x\n") && !text.contains("TLS_SUBJECT_"));
}

#[test]
fn a_public_authority_of_the_system_counts_for_nothing() {
    let mut setup = Setup::new();
    let system = authority("system");
    let bundle = setup.directory.path().join("bundle.pem");
    std::fs::write(&bundle, system.certificate.to_pem().unwrap()).unwrap();
    let own = authority("own");
    let trust = setup.directory.path().join("trust.pem");
    std::fs::write(&trust, own.certificate.to_pem().unwrap()).unwrap();
    setup.set("SSL_CERT_FILE", &bundle.to_string_lossy());
    setup.set("SSL_CERT_DIR", "/etc/ssl/certs");
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    setup.set("TLS_VERIFYPEER", "PEER");
    let (_, log, success) = attempt(&setup, with_certificate(&issued(&system)), "localhost");
    assert!(
        !success && log.contains("certificate verify failed"),
        "{log}"
    );
    let (text, _, _) = attempt(&setup, with_certificate(&issued(&own)), "localhost");
    assert!(text.contains("TLS_SUBJECT_CN=user\n"));
    // Nothing to trust: no certificate is asked for. Required: nobody gets in.
    setup.set("TLS_TRUSTCERTS", "/nonexistent");
    let (text, _, success) = attempt(&setup, with_certificate(&issued(&own)), "localhost");
    assert!(success && !text.contains("TLS_SUBJECT_"));
    setup.set("TLS_VERIFYPEER", "REQUIREPEER");
    let (text, _, success) = attempt(&setup, with_certificate(&issued(&own)), "localhost");
    assert!(!success && text.is_empty());
}

#[test]
fn the_server_may_demand_a_domain_of_its_clients() {
    let mut setup = Setup::new();
    let authority = authority("authority");
    let trust = setup.directory.path().join("trust.pem");
    std::fs::write(&trust, authority.certificate.to_pem().unwrap()).unwrap();
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    let served = |domain: &str| {
        let option = format!("-verify={domain}");
        let mut arguments = vec![option.as_str()];
        arguments.extend(ECHO);
        let (socket, child) = setup.once(&arguments);
        let stream = connect(with_certificate(&issued(&authority)), "localhost", socket);
        let text = stream.map(|mut stream| {
            let _refused = stream.write_all(b"x\n");
            rest(&mut stream)
        });
        let (log, success) = outcome(child);
        (success && !text.unwrap_or_default().is_empty(), log)
    };
    assert!(served("user").0);
    let (success, log) = served("other");
    assert!(!success);
    assert_eq!(log, "ip=[127.0.0.1], Certificate owner mismatch: other\n");
}

#[test]
fn a_chain_is_sent_leaf_first() {
    let setup = Setup::new();
    let authority = authority("authority");
    let leaf = issued(&authority);
    let mut pem = leaf.certificate.to_pem().unwrap();
    pem.extend(authority.certificate.to_pem().unwrap());
    pem.extend(leaf.key.private_key_to_pem_pkcs8().unwrap());
    std::fs::write(setup.certificate(), pem).unwrap();
    let (socket, child) = setup.once(&ECHO);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    let chain: Vec<X509> = stream
        .ssl()
        .peer_cert_chain()
        .unwrap()
        .iter()
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(chain.len(), 2);
    assert!(chain[1] == authority.certificate);
    stream.write_all(b"x\n").unwrap();
    rest(&mut stream);
    drop(stream);
    assert!(outcome(child).1);
}
