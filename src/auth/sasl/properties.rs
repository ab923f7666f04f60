use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Any lines at all: no panic, an end within three lines, and never credentials after the end.
    #[test]
    fn any_lines_end_every_exchange(
        mechanism in 0..6_usize,
        initial in proptest::option::of(prop_oneof!["[ -~]{0,20}".prop_map(String::into_bytes), encoded()]),
        lines in proptest::collection::vec(prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), encoded()], 4),
    ) {
        let mechanism = Mechanism::by_name(
            [&b"PLAIN"[..], b"LOGIN", b"CRAM-MD5", b"CRAM-SHA1", b"CRAM-SHA256", b"EXTERNAL"][mechanism],
        )
        .unwrap();
        let context = Context { external: Some(b"alice".to_vec()), challenge: b"<1@h>".to_vec() };
        let (mut exchange, step) = Exchange::start(mechanism, &context, initial.as_deref());
        let mut over = !matches!(step, Step::Challenge(_));
        for (index, line) in lines.iter().enumerate() {
            let step = exchange.respond(line);
            let was_over = over;
            over |= !matches!(step, Step::Challenge(_));
            prop_assert!(!(was_over && matches!(step, Step::Done(_) | Step::Challenge(_))));
            prop_assert!(over || index < 2);
        }
    }

    /// A password of any bytes but NUL comes through PLAIN and LOGIN unchanged.
    #[test]
    fn passwords_come_through(user in proptest::collection::vec(1..=255_u8, 1..30), secret in proptest::collection::vec(1..=255_u8, 0..30)) {
        let expected = Step::Done(Credentials::Password { user: user.clone(), password: Secret(secret.clone()) });
        let message = STANDARD.encode([b"\0", user.as_slice(), b"\0", &secret].concat());
        let (_, step) = Exchange::start(Mechanism::Plain, &Context::default(), Some(message.as_bytes()));
        prop_assert_eq!(&step, &expected);
        let (mut exchange, _) = Exchange::start(Mechanism::Login, &Context::default(), Some(STANDARD.encode(&user).as_bytes()));
        prop_assert_eq!(&exchange.respond(STANDARD.encode(&secret).as_bytes()), &expected);
    }
}

fn encoded() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..30)
        .prop_map(|bytes| STANDARD.encode(bytes).into_bytes())
}
