use super::*;

fn run(
    mechanism: Mechanism,
    context: &Context,
    initial: Option<&str>,
    lines: &[&str],
) -> Vec<Step> {
    let (mut exchange, step) = Exchange::start(mechanism, context, initial.map(str::as_bytes));
    let mut steps = vec![step];
    for line in lines {
        steps.push(exchange.respond(line.as_bytes()));
    }
    steps
}

fn last(mechanism: Mechanism, initial: Option<&str>, lines: &[&str]) -> Step {
    let context = Context {
        external: Some(b"alice".to_vec()),
        challenge: b"<0123@host>".to_vec(),
    };
    run(mechanism, &context, initial, lines).pop().unwrap()
}

fn password(user: &str, password: &str) -> Step {
    Step::Done(Credentials::Password {
        user: user.into(),
        password: Secret(password.into()),
    })
}

#[test]
fn plain_with_and_without_an_initial_response() {
    let message = STANDARD.encode("x\0alice\0pa ss");
    let context = Context::default();
    let steps = run(Mechanism::Plain, &context, None, &[&message]);
    assert_eq!(steps[0], Step::Challenge(Vec::new()));
    assert_eq!(steps[1], password("alice", "pa ss"));
    assert_eq!(
        last(Mechanism::Plain, Some(&message), &[]),
        password("alice", "pa ss")
    );
}

#[test]
fn plain_refuses_what_is_not_three_fields() {
    for message in [
        "",
        "alice",
        "\0alice",
        "\0\0secret",
        "\0alice\0secret\0",
        "a\0b\0c\0d",
    ] {
        let text = STANDARD.encode(message);
        assert_eq!(
            last(Mechanism::Plain, None, &[&text]),
            Step::Refused(Refusal::Malformed),
            "{message:?}"
        );
    }
    assert_eq!(
        last(Mechanism::Plain, Some("="), &[]),
        Step::Refused(Refusal::Malformed)
    );
}

#[test]
fn login_asks_twice_and_takes_the_user_as_initial_response() {
    let user = STANDARD.encode("alice");
    let secret = STANDARD.encode("secret");
    let context = Context::default();
    let steps = run(Mechanism::Login, &context, None, &[&user, &secret]);
    assert_eq!(steps[0], Step::Challenge(b"VXNlcm5hbWU6".to_vec()));
    assert_eq!(steps[1], Step::Challenge(b"UGFzc3dvcmQ6".to_vec()));
    assert_eq!(steps[2], password("alice", "secret"));
    assert_eq!(
        last(Mechanism::Login, Some(&user), &[&secret]),
        password("alice", "secret")
    );
}

#[test]
fn cram_passes_both_texts_on() {
    let response = STANDARD.encode("alice 04f70e51a6c55468d069fab09ca72d6b");
    let step = last(Mechanism::CramMd5, None, &[&response]);
    assert_eq!(
        step,
        Step::Done(Credentials::Cram {
            authtype: "cram-md5",
            challenge: b"PDAxMjNAaG9zdD4=".to_vec(),
            response: response.clone().into_bytes(),
        })
    );
    assert_eq!(
        last(Mechanism::CramSha1, Some(&response), &[]),
        Step::Refused(Refusal::Malformed)
    );
    let no_space = STANDARD.encode("alice");
    assert_eq!(
        last(Mechanism::CramSha256, None, &[&no_space]),
        Step::Refused(Refusal::Malformed)
    );
}

#[test]
fn external_needs_the_identity_of_the_certificate() {
    let done = Step::Done(Credentials::External {
        user: b"alice".to_vec(),
    });
    let alice = STANDARD.encode("alice");
    let bob = STANDARD.encode("bob");
    assert_eq!(last(Mechanism::External, Some(&alice), &[]), done);
    assert_eq!(last(Mechanism::External, Some("="), &[]), done);
    assert_eq!(last(Mechanism::External, None, &[""]), done);
    assert_eq!(
        last(Mechanism::External, Some(&bob), &[]),
        Step::Refused(Refusal::Identity)
    );
    let (_, step) = Exchange::start(Mechanism::External, &Context::default(), Some(b"="));
    assert_eq!(step, Step::Refused(Refusal::Identity));
}

#[test]
fn a_star_cancels_and_bad_base64_aborts() {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::CramMd5,
        Mechanism::External,
    ] {
        assert_eq!(
            last(mechanism, None, &["*"]),
            Step::Refused(Refusal::Cancelled)
        );
        assert_eq!(
            last(mechanism, None, &["!!"]),
            Step::Refused(Refusal::NotBase64)
        );
    }
    assert!(Refusal::Cancelled.is_abort() && Refusal::NotBase64.is_abort());
    // The original calls what is no PLAIN message aborted, too.
    assert!(Refusal::Malformed.is_abort() && !Refusal::Identity.is_abort());
}

#[test]
fn an_exchange_that_is_over_stays_over() {
    let secret = STANDARD.encode("\0a\0b");
    assert_eq!(
        last(Mechanism::Plain, None, &["*", &secret]),
        Step::Refused(Refusal::Malformed)
    );
    let long = "A".repeat(RESPONSE_MAX + 4);
    assert_eq!(
        last(Mechanism::Plain, None, &[&long]),
        Step::Refused(Refusal::Malformed)
    );
}

#[test]
fn names_are_found_in_any_case() {
    assert_eq!(Mechanism::by_name(b"cram-Md5"), Some(Mechanism::CramMd5));
    assert_eq!(Mechanism::by_name(b"PLAI"), None);
    assert_eq!(Mechanism::by_name(b""), None);
}
