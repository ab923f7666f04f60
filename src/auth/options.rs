//! Account options: `key=value,key=value` (contract: authdaemon §6 and §7).

/// The value of the first item whose keyword is `keyword`; empty for an item without `=`.
pub fn find<'a>(options: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    items(options).find_map(|(key, value)| (key == keyword).then_some(value))
}

/// Every `(keyword, value)` of `options` in order; keywords such as `group` may repeat.
pub fn items(options: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    options
        .split(|&byte| byte == b',')
        .filter(|item| !item.is_empty())
        .map(|item| match item.iter().position(|&byte| byte == b'=') {
            Some(equals) => (
                item.get(..equals).unwrap_or_default(),
                item.get(equals.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (item, &b""[..]),
        })
}

/// Whether a yes-or-no option is on: a number other than 0, or a word starting with t, T, y or Y.
// COMPAT: a bare keyword counts as on, as Courier's search for the first letter also finds the terminator.
pub fn is_on(options: &[u8], keyword: &[u8]) -> bool {
    match find(options, keyword) {
        None => false,
        Some(value) => match value.first() {
            None | Some(b't' | b'T' | b'y' | b'Y') => true,
            Some(_) => leading_number_is_not_zero(value),
        },
    }
}

/// What C's atoi says about `value`, reduced to zero or not.
pub fn leading_number_is_not_zero(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let digits = match value.split_first() {
        Some((b'+' | b'-', rest)) => rest,
        _ => value,
    };
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .any(|&byte| byte != b'0')
}

/// The account's options with those of `defaults` appended whose keyword is not there yet. An account without
/// options gets the defaults as they stand.
pub fn merge(account: Option<&[u8]>, defaults: &[u8]) -> Option<Vec<u8>> {
    let account = account.unwrap_or_default();
    if account.is_empty() || defaults.is_empty() {
        let only = if account.is_empty() {
            defaults
        } else {
            account
        };
        return (!only.is_empty()).then(|| only.to_vec());
    }
    let mut merged = account.to_vec();
    for item in defaults
        .split(|&byte| byte == b',')
        .filter(|item| !item.is_empty())
    {
        let keyword = item.split(|&byte| byte == b'=').next().unwrap_or(item);
        if find(&merged, keyword).is_none() {
            merged.push(b',');
            merged.extend_from_slice(item);
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_in_only_what_the_account_lacks() {
        let merged = merge(
            Some(b"disablepop3=0,sharedgroup=eng,group=staff"),
            b"disablewebmail=1,sharedgroup=sales,group=g2",
        );
        assert_eq!(
            merged.as_deref(),
            Some(&b"disablepop3=0,sharedgroup=eng,group=staff,disablewebmail=1"[..])
        );
        assert_eq!(
            merge(None, b"group=a,group=b").as_deref(),
            Some(&b"group=a,group=b"[..])
        );
        assert_eq!(merge(Some(b"x=1"), b"").as_deref(), Some(&b"x=1"[..]));
        assert_eq!(
            merge(Some(b"x"), b"group=a,group=b,x=2").as_deref(),
            Some(&b"x,group=a"[..])
        );
        assert_eq!(merge(Some(b""), b""), None);
    }

    #[test]
    fn switches_read_as_courier_reads_them() {
        for on in ["o=1", "o", "o=t", "o=Yes", "o=-3", "o= 7", "a=0,o=10x"] {
            assert!(is_on(on.as_bytes(), b"o"), "{on}");
        }
        for off in ["", "o=0", "o=n", "o=00", "oo=1", "o=false", "o=0,o=1"] {
            assert!(!is_on(off.as_bytes(), b"o"), "{off}");
        }
    }
}
