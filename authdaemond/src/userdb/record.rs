//! One account's fields: `name=value` or bare `name`, separated by `|`. There is no way to quote.

/// A field to be set: its name, and its value unless it is a bare one.
pub type Assignment = (Vec<u8>, Option<Vec<u8>>);

/// The value of the first field called `name`: empty for a bare one.
pub fn field<'a>(record: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields(record).find_map(|(known, value)| (known == name).then(|| value.unwrap_or_default()))
}

/// Every field in order; the value of a bare one is `None`.
pub fn fields(record: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    record
        .split(|&byte| byte == b'|')
        .filter(|field| !field.is_empty())
        .map(|field| match field.iter().position(|&byte| byte == b'=') {
            Some(equals) => (
                field.get(..equals).unwrap_or_default(),
                field.get(equals.saturating_add(1)..),
            ),
            None => (field, None),
        })
}

/// Splits a record into what everybody may read and what only root may: fields whose name ends in `pw` are secret.
pub fn split_secrets(record: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut open, mut secret) = (Vec::new(), Vec::new());
    for field in record
        .split(|&byte| byte == b'|')
        .filter(|field| !field.is_empty())
    {
        let name = field.split(|&byte| byte == b'=').next().unwrap_or(field);
        let part = if name.ends_with(b"pw") {
            &mut secret
        } else {
            &mut open
        };
        if !part.is_empty() {
            part.push(b'|');
        }
        part.extend_from_slice(field);
    }
    (open, secret)
}

/// A uid or gid as the original reads it: its leading digits. `None` where it would read 0 out of nothing.
pub fn number(value: &[u8]) -> Option<u32> {
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = std::str::from_utf8(value.get(..digits)?)
        .ok()?
        .parse()
        .ok()?;
    (number != u32::MAX).then_some(number)
}

/// Sets fields of `record`, in place where they are, else at the end. `None` makes a bare field.
pub fn set(record: &[u8], changes: &[Assignment]) -> Vec<u8> {
    let mut kept: Vec<(&[u8], Option<&[u8]>)> = fields(record).collect();
    for (name, value) in changes {
        let value = value.as_deref();
        match kept.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value,
            None => kept.push((name, value)),
        }
    }
    join(&kept)
}

/// Removes the named fields.
pub fn unset(record: &[u8], names: &[Vec<u8>]) -> Vec<u8> {
    let kept: Vec<_> = fields(record)
        .filter(|(known, _)| !names.iter().any(|name| name == known))
        .collect();
    join(&kept)
}

fn join(fields: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
    let mut record = Vec::new();
    for (name, value) in fields {
        if !record.is_empty() {
            record.push(b'|');
        }
        record.extend_from_slice(name);
        if let Some(value) = value {
            record.push(b'=');
            record.extend_from_slice(value);
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &[u8] = b"uid=5000|gid=5000|home=/srv/a=b|bare|systempw=x|imappw=y|uid=7";

    #[test]
    fn the_first_field_of_a_name_counts_and_values_may_contain_equals() {
        assert_eq!(field(ALICE, b"uid"), Some(&b"5000"[..]));
        assert_eq!(field(ALICE, b"home"), Some(&b"/srv/a=b"[..]));
        assert_eq!(field(ALICE, b"bare"), Some(&b""[..]));
        assert_eq!(field(ALICE, b"hom"), None);
        assert_eq!(field(b"", b""), None);
    }

    #[test]
    fn password_fields_are_told_apart_by_their_name() {
        let (open, secret) = split_secrets(b"uid=1|systempw=x|mail=pw|hmac-md5pw=z|pw");
        assert_eq!(open, b"uid=1|mail=pw");
        assert_eq!(secret, b"systempw=x|hmac-md5pw=z|pw");
    }

    #[test]
    fn numbers_are_leading_digits_and_never_invented() {
        assert_eq!(number(b"12x"), Some(12));
        for bad in ["", "x", "-1", "4294967295", "99999999999"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn fields_are_replaced_in_place_appended_and_removed() {
        let changes = [
            (b"home".to_vec(), Some(b"/new".to_vec())),
            (b"mail".to_vec(), Some(b"M".to_vec())),
            (b"flag".to_vec(), None),
        ];
        assert_eq!(
            set(b"uid=1|home=/old|x", &changes),
            b"uid=1|home=/new|x|mail=M|flag"
        );
        assert_eq!(
            unset(b"uid=1|home=/old|x", &[b"home".to_vec(), b"y".to_vec()]),
            b"uid=1|x"
        );
        assert_eq!(set(b"", &changes[..1]), b"home=/new");
    }
}
