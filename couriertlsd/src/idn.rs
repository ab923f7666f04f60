//! Host names beyond ASCII: the ACE form that certificates and SNI use, and back (RFC 3492, RFC 5890).
//!
//! Lower-casing is all the mapping that is done: names come from an administrator or, already in ACE form, from a
//! client. What does not survive the way there and back is not a name.

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 128;
const PREFIX: &str = "xn--";

/// `name` with every label in ACE form, lower-case; `None` if a label is empty or too long for a host name.
pub(crate) fn to_ace(name: &str) -> Option<String> {
    let labels: Option<Vec<String>> = name
        .split('.')
        .map(|label| {
            let label = label.to_lowercase();
            let ace = if label.is_ascii() {
                label
            } else {
                format!("{PREFIX}{}", encode(&label)?)
            };
            (!ace.is_empty() && ace.len() <= 63).then_some(ace)
        })
        .collect();
    labels.map(|labels| labels.join("."))
}

/// `name` with its ACE labels in Unicode; `None` if it has none, or one that is not the ACE form of letters,
/// digits and marks.
pub(crate) fn to_unicode(name: &str) -> Option<String> {
    let mut changed = false;
    let labels: Option<Vec<String>> = name
        .split('.')
        .map(|label| match label.strip_prefix(PREFIX) {
            None => Some(label.to_owned()),
            Some(ace) => {
                changed = true;
                let text = decode(ace)?;
                let letters = text.chars().all(|c| c.is_alphanumeric() || c == '-');
                (letters && to_ace(&text).as_deref() == Some(label)).then_some(text)
            }
        })
        .collect();
    labels.filter(|_| changed).map(|labels| labels.join("."))
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta = delta.saturating_add(delta.checked_div(points).unwrap_or(0));
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + 38)
}

fn threshold(k: u32, bias: u32) -> u32 {
    k.saturating_sub(bias).clamp(T_MIN, T_MAX)
}

fn digit(value: u32) -> Option<char> {
    match value {
        0..=25 => char::from_u32(u32::from(b'a') + value),
        26..=35 => char::from_u32(u32::from(b'0') + value - 26),
        _ => None,
    }
}

fn value(digit: char) -> Option<u32> {
    match digit {
        'a'..='z' => Some(u32::from(digit) - u32::from('a')),
        '0'..='9' => Some(u32::from(digit) - u32::from('0') + 26),
        _ => None,
    }
}

fn encode(label: &str) -> Option<String> {
    let points: Vec<u32> = label.chars().map(u32::from).collect();
    let mut output: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(output.len()).ok()?;
    let mut handled = basic;
    if basic > 0 {
        output.push('-');
    }
    let total = u32::try_from(points.len()).ok()?;
    let (mut n, mut delta, mut bias) = (INITIAL_N, 0_u32, INITIAL_BIAS);
    while handled < total {
        let next = points.iter().copied().filter(|&point| point >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled.checked_add(1)?)?)?;
        n = next;
        for &point in &points {
            if point < n {
                delta = delta.checked_add(1)?;
            }
            if point == n {
                let mut rest = delta;
                let mut k = BASE;
                loop {
                    let t = threshold(k, bias);
                    if rest < t {
                        break;
                    }
                    output.push(digit(t + (rest - t) % (BASE - t))?);
                    rest = (rest - t) / (BASE - t);
                    k = k.checked_add(BASE)?;
                }
                output.push(digit(rest)?);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n = n.checked_add(1)?;
    }
    Some(output)
}

fn decode(ace: &str) -> Option<String> {
    let (basic, rest) = ace.rsplit_once('-').unwrap_or(("", ace));
    if !ace.is_ascii() {
        return None;
    }
    let mut output: Vec<char> = basic.chars().collect();
    let (mut n, mut i, mut bias) = (INITIAL_N, 0_u32, INITIAL_BIAS);
    let mut digits = rest.chars().peekable();
    while digits.peek().is_some() {
        let start = i;
        let mut weight = 1_u32;
        let mut k = BASE;
        loop {
            let digit = value(digits.next()?)?;
            i = i.checked_add(digit.checked_mul(weight)?)?;
            let t = threshold(k, bias);
            if digit < t {
                break;
            }
            weight = weight.checked_mul(BASE - t)?;
            k = k.checked_add(BASE)?;
        }
        let length = u32::try_from(output.len()).ok()?.checked_add(1)?;
        bias = adapt(i - start, length, start == 0);
        n = n.checked_add(i / length)?;
        i %= length;
        output.insert(usize::try_from(i).ok()?, char::from_u32(n)?);
        i += 1;
    }
    Some(output.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_come_out_as_everybody_writes_them() {
        for (unicode, ace) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("почта.рф", "xn--80a1acny.xn--p1ai"),
            ("メール.jp", "xn--4dkua4c.jp"),
        ] {
            assert_eq!(to_ace(unicode).as_deref(), Some(ace));
            assert_eq!(to_unicode(ace).as_deref(), Some(unicode));
        }
        assert_eq!(to_ace("BÜCHER.Example"), to_ace("bücher.example"));
        assert_eq!(to_unicode("mail.example"), None);
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for bad in [
            "xn--",
            "xn--a",
            "xn--99999999",
            "xn---",
            // The ACE form of a name with a slash, and of one that has a shorter form.
            "xn--/-ska",
            "xn--mail-",
            "xn--\u{e9}",
        ] {
            assert_eq!(to_unicode(bad), None, "{bad}");
        }
        assert_eq!(to_ace("a..b"), None);
        assert_eq!(to_ace(&"ü".repeat(80)), None);
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_within_its_bounds(text in "(xn--)?[a-zà-ÿа-я0-9-]{0,40}") {
            if let Some(ace) = to_ace(&text) {
                if let Some(back) = to_unicode(&ace) {
                    proptest::prop_assert_eq!(to_ace(&back), Some(ace));
                }
            }
        }
    }
}
