//! What the two sides of a difference have to do with each other, for the reviewed list: with these an entry allows
//! what it is about, whatever the words of the message are, and nothing else.

/// Whether `theirs` relates to `ours` as `name` says; `None` if there is no such relation.
///
/// Both are printed as [`crate::reply::Difference`] has them: numbers, or strings in quotes with `\r` and `\n` spelled out.
pub(crate) fn holds(name: &str, ours: &str, theirs: &str) -> Option<bool> {
    let (one, other) = (ours.trim_matches('"'), theirs.trim_matches('"'));
    Some(match name {
        // A number that is so much larger.
        "+1" | "+2" | "+5" | "-1" | "-2" => {
            let more: i64 = name.parse().ok()?;
            let numbers = ours.parse::<i64>().ok().zip(theirs.parse::<i64>().ok());
            numbers.is_some_and(|(ours, theirs)| ours + more == theirs)
        }
        // The same but for a CR more in front of line ends.
        "more-cr" => straight(other) == one,
        // The same, and more CRs; the original does not see where the header ends, or adds an empty line.
        "more-cr-and-more" => straight(other).starts_with(one) && other.len() > one.len(),
        // The last line end is cut in two, or left out.
        "ends-with-cr-more" => other.strip_suffix(r"\r") == Some(one),
        "ends-with-crlf-more" => other.strip_suffix(r"\r\n") == Some(one),
        "ends-without-lf" => one.strip_suffix(r"\n") == Some(other),
        "ends-without-crlf" => one.strip_suffix(r"\r\n") == Some(other),
        // Some lines of it, and the empty one.
        "some-lines" => {
            let lines: Vec<&str> = one.split(r"\r\n").collect();
            other
                .split(r"\r\n")
                .all(|line| line.is_empty() || lines.contains(&line))
                && other.len() <= one.len() + r"\r\n".len()
        }
        _ => return None,
    })
}

fn straight(text: &str) -> String {
    text.replace(r"\r\r\n", r"\r\n")
}

#[test]
fn relations() {
    for (name, ours, theirs) in [
        ("+1", "16", "17"),
        ("-2", "21", "19"),
        ("more-cr", r#""a\r\n""#, r#""a\r\r\n""#),
        ("more-cr-and-more", r#""a\r\n\r\n""#, r#""a\r\r\n\r\r\nb""#),
        ("ends-with-cr-more", r#""a\r\n""#, r#""a\r\n\r""#),
        ("ends-with-crlf-more", r#""a\r\n""#, r#""a\r\n\r\n""#),
        ("ends-without-lf", r#""a\r\n\r\n""#, r#""a\r\n\r""#),
        ("ends-without-crlf", r#""a\r\n""#, r#""a""#),
        (
            "some-lines",
            r#""a: b\r\nc: d\r\n\r\n""#,
            r#""c: d\r\n\r\n""#,
        ),
        ("some-lines", r#""""#, r#""\r\n""#),
    ] {
        assert_eq!(holds(name, ours, theirs), Some(true), "{name}");
        let other = if name.len() == 2 { "99" } else { "\"else\"" };
        assert_eq!(holds(name, ours, other), Some(false), "{name}");
    }
    assert_eq!(holds("nothing", "1", "1"), None);
}
