//! The capability list, before login (imaplogin) and after it (imapd): one pure function for both.
//!
//! The administrator's `IMAP_CAPABILITY` comes first, as always, but a word that names something this server does
//! not do is left out of it: a client that believes it gets errors. What the server does is added, whatever an old
//! configuration file says. `IMAP_CAPABILITY_OFF` names words to keep silent about.

/// Where in the session the list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before login, by imaplogin.
    Login {
        /// STARTTLS would be accepted now.
        starttls: bool,
        /// LOGIN and AUTHENTICATE are refused until STARTTLS.
        login_disabled: bool,
        /// AUTHENTICATE EXTERNAL would be accepted now.
        external: bool,
    },
    /// After login, by imapd.
    Session,
}

/// Words of extensions that imapd offers in every session, in the order shown.
const SESSION: &[&str] = &[
    "UIDPLUS",
    "CHILDREN",
    "NAMESPACE",
    "IDLE",
    "ID",
    "UNSELECT",
    "MOVE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "MULTIAPPEND",
    "BINARY",
    "STATUS=SIZE",
    "QUOTA",
];

/// Words of what `IMAP_DISABLETHREADSORT` turns off.
const THREAD_SORT: &[&str] = &[
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "THREAD=REFS",
];

/// Words of what `IMAP_ACL` announces.
const ACL: &[&str] = &["ACL", "ACL2=UNION"];

/// Words that only imaplogin acts on, besides those of [`Stage::Login`].
const LOGIN: &[&str] = &["SASL-IR", "LITERAL-"];

/// `AUTH=` words that imaplogin implements.
const MECHANISMS: &[&str] = &[
    "AUTH=PLAIN",
    "AUTH=LOGIN",
    "AUTH=CRAM-MD5",
    "AUTH=CRAM-SHA1",
    "AUTH=CRAM-SHA256",
];

/// The list, without `* CAPABILITY`. `setting` looks up an environment variable.
pub fn capability(setting: impl Fn(&str) -> Option<String>, stage: Stage) -> String {
    let filled = |name: &str| setting(name).filter(|value| !value.is_empty());
    let tls = filled("IMAP_TLS").is_some_and(|value| is_on(&value));
    let configured = if tls {
        filled("IMAP_CAPABILITY_TLS").or_else(|| filled("IMAP_CAPABILITY"))
    } else {
        filled("IMAP_CAPABILITY")
    }
    .unwrap_or_default();
    let sorts = !filled("IMAP_DISABLETHREADSORT").is_some_and(|value| is_on(&value));
    let acl = filled("IMAP_ACL").is_some_and(|value| is_on(&value));
    let hidden = filled("IMAP_CAPABILITY_OFF").unwrap_or_default();
    let limit = filled("IMAP_APPENDLIMIT").and_then(|value| append_limit(value.as_bytes()));

    let mut words: Vec<String> = Vec::new();
    let mut add = |word: &str| {
        let same = |other: &str| other.eq_ignore_ascii_case(word);
        let known = words.iter().any(|other| same(other));
        // A word with a value is known by its name.
        let name = word
            .split_once("APPENDLIMIT=")
            .map_or(word, |_| "APPENDLIMIT");
        let is_hidden = |other: &str| same(other) || other.eq_ignore_ascii_case(name);
        let off = hidden.split([' ', '\t', ';']).any(is_hidden);
        // A list without it is not one.
        if !known && (!off || word == "IMAP4rev1") {
            words.push(word.to_owned());
        }
    };
    add("IMAP4rev1");
    for word in configured.split_ascii_whitespace() {
        if is_true(word) || (sorts && is_among(THREAD_SORT, word)) || (acl && is_among(ACL, word)) {
            add(word);
        }
    }
    SESSION.iter().for_each(|word| add(word));
    match limit {
        Some(limit) => add(&format!("APPENDLIMIT={limit}")),
        None => add("APPENDLIMIT"),
    }
    if acl {
        ACL.iter().for_each(|word| add(word));
    }
    if sorts {
        THREAD_SORT.iter().for_each(|word| add(word));
    }
    match stage {
        Stage::Login {
            starttls,
            login_disabled,
            external,
        } => {
            LOGIN.iter().for_each(|word| add(word));
            if starttls {
                add("STARTTLS");
                if login_disabled {
                    add("LOGINDISABLED");
                }
            } else if external {
                add("AUTH=EXTERNAL");
            }
        }
        Stage::Session => add("LITERAL+"),
    }
    if filled("IMAP_MOVE_EXPUNGE_TO_TRASH").is_some_and(|value| is_on(&value)) {
        add("XMAGICTRASH");
    }
    add("ENABLE");
    add("UTF8=ACCEPT");
    words.join(" ")
}

/// Whether a word of the administrator's list may be repeated: it names something that is there.
fn is_true(word: &str) -> bool {
    let among = |words| is_among(words, word);
    among(SESSION) || among(MECHANISMS) || among(&["IMAP4rev1", "ENABLE", "UTF8=ACCEPT"])
}

fn is_among(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// `IMAP_APPENDLIMIT`: octets of the largest message that APPEND takes (RFC 7889); `None` for no limit of ours.
pub fn append_limit(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let digits = std::str::from_utf8(digits).ok()?;
    digits.parse().ok().filter(|&limit| limit > 0)
}

/// The original's reading of a flag: a leading decimal number that is not 0.
pub fn is_on(value: &str) -> bool {
    value
        .trim_start()
        .bytes()
        .take_while(u8::is_ascii_digit)
        .any(|digit| digit != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(settings: &[(&str, &str)], stage: Stage) -> String {
        capability(
            |name| {
                settings
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            },
            stage,
        )
    }

    #[test]
    fn an_old_configuration_gains_what_is_new_and_loses_what_is_not_there() {
        let old = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA \
                   AUTH=DIGEST-MD5 AUTH=PLAIN IDLE";
        assert_eq!(
            list(&[("IMAP_CAPABILITY", old)], Stage::Session),
            "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA AUTH=PLAIN IDLE ID \
             UNSELECT MOVE LIST-EXTENDED LIST-STATUS SPECIAL-USE ESEARCH SEARCHRES WITHIN MULTIAPPEND BINARY \
             STATUS=SIZE APPENDLIMIT SORT=DISPLAY ESORT THREAD=REFS LITERAL+ ENABLE UTF8=ACCEPT"
        );
        let off = [("IMAP_CAPABILITY", old), ("IMAP_DISABLETHREADSORT", "1")];
        let text = list(&off, Stage::Session);
        assert!(!text.contains("SORT") && !text.contains("THREAD"));
        // A negative number is off, as in the original.
        let on = [("IMAP_DISABLETHREADSORT", "-1")];
        assert!(list(&on, Stage::Session).contains(" SORT "));
    }

    #[test]
    fn the_login_list_has_what_only_the_login_program_does() {
        let login = |starttls, login_disabled, external| Stage::Login {
            starttls,
            login_disabled,
            external,
        };
        let text = list(&[], login(true, true, true));
        assert!(text.contains(" SASL-IR LITERAL- STARTTLS LOGINDISABLED ENABLE UTF8=ACCEPT"));
        let text = list(&[], login(false, true, true));
        assert!(text.contains(" AUTH=EXTERNAL ENABLE"));
        assert!(!text.contains("STARTTLS") && !text.contains("LOGINDISABLED"));
    }

    #[test]
    fn tls_has_its_own_text_and_words_can_be_hidden() {
        let settings = [
            ("IMAP_TLS", "1"),
            ("IMAP_CAPABILITY", "IMAP4rev1"),
            ("IMAP_CAPABILITY_TLS", "IMAP4rev1 AUTH=PLAIN"),
            ("IMAP_CAPABILITY_OFF", "move idle;appendlimit IMAP4REV1"),
            ("IMAP_APPENDLIMIT", "5000"),
        ];
        let text = list(&settings, Stage::Session);
        assert!(text.starts_with("IMAP4rev1 AUTH=PLAIN UIDPLUS"));
        assert!(!text.contains("MOVE") && !text.contains("IDLE") && !text.contains("APPENDLIMIT"));
        let text = list(&[("IMAP_APPENDLIMIT", "5000")], Stage::Session);
        assert!(text.contains(" APPENDLIMIT=5000 "));
        let text = list(&[("IMAP_APPENDLIMIT", "0")], Stage::Session);
        assert!(text.contains(" APPENDLIMIT "));
    }

    #[test]
    fn every_word_can_be_hidden_and_none_comes_twice() {
        let all = list(&[], Stage::Session);
        let doubled = format!("{} {}", all.to_lowercase(), all);
        let text = list(&[("IMAP_CAPABILITY", &doubled)], Stage::Session);
        let mut words: Vec<String> = text.split(' ').map(str::to_ascii_uppercase).collect();
        let count = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), count, "{text}");
        for word in all.split(' ').filter(|word| *word != "IMAP4rev1") {
            let text = list(
                &[("IMAP_CAPABILITY_OFF", word), ("IMAP_CAPABILITY", &all)],
                Stage::Session,
            );
            assert!(!text.split(' ').any(|shown| shown == word), "{word}");
        }
    }
}
