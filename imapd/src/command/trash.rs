//! `IMAP_EMPTYTRASH`: old messages leave the trash at login and at logout (contract: imapd 13).

use courier::maildir::{ErrorKind, FolderName, Maildir};
use courier::sys::log::{Level, log};

use crate::settings::Settings;

/// Removes what has become too old. Failures are logged; no session ends for them.
pub fn purge(settings: &Settings, maildir: &Maildir) {
    let Some(rules) = &settings.empty_trash else {
        return;
    };
    for (name, days) in rules_of(rules, &settings.trash) {
        let purged = maildir
            .folder(&name)
            .and_then(|folder| folder.purge_older(days));
        match purged {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NoSuchFolder => {}
            Err(error) => log(Level::Err, format_args!("IMAP_EMPTYTRASH: {error}")),
        }
    }
}

/// The folders and days of the setting: a number of days for the trash folder, or `folder:days,…`. Days below 1
/// mean 1; entries without a colon, or with a name that cannot be, are passed over.
fn rules_of(rules: &[u8], trash: &FolderName) -> Vec<(FolderName, u32)> {
    if !rules.iter().any(|byte| matches!(byte, b':' | b',')) {
        return vec![(trash.clone(), days(rules))];
    }
    rules
        .split(|&byte| byte == b',')
        .filter_map(|entry| {
            let colon = entry.iter().rposition(|&byte| byte == b':')?;
            let name = FolderName::new(entry.get(..colon)?.trim_ascii()).ok()?;
            Some((name, days(entry.get(colon.saturating_add(1)..)?)))
        })
        .collect()
}

fn days(text: &[u8]) -> u32 {
    text.trim_ascii_start()
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u32, |days, &digit| {
            days.saturating_mul(10)
                .saturating_add(u32::from(digit.wrapping_sub(b'0')))
        })
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_setting() {
        let trash = FolderName::new(b"Trash").unwrap();
        let rules = |text: &str| -> Vec<(Vec<u8>, u32)> {
            rules_of(text.as_bytes(), &trash)
                .into_iter()
                .map(|(name, days)| (name.as_bytes().to_vec(), days))
                .collect()
        };
        assert_eq!(rules("3"), [(b"Trash".to_vec(), 3)]);
        assert_eq!(rules("never"), [(b"Trash".to_vec(), 1)]);
        assert_eq!(
            rules("Trash:7,Sent,Sent.Old:30,a:-1,..:3"),
            [
                (b"Trash".to_vec(), 7),
                (b"Sent.Old".to_vec(), 30),
                (b"a".to_vec(), 1)
            ]
        );
    }
}
