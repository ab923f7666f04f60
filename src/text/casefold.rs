//! The form in which SEARCH compares text: case folded character by character and every run of white space one space,
//! so that a match may span folded header lines and wrapped body lines (contract: imapd, SEARCH). Diacritics stay.

/// Folds a text that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    after_space: bool,
}

impl Folder {
    /// Appends the folded form of `text` to `out`. Runs of white space may continue from one piece to the next.
    pub fn push(&mut self, text: &str, out: &mut String) {
        out.reserve(text.len());
        for c in text.chars() {
            if matches!(c, ' ' | '\t' | '\r' | '\n') {
                if !self.after_space {
                    out.push(' ');
                }
                self.after_space = true;
                continue;
            }
            self.after_space = false;
            if c.is_ascii() {
                out.push(c.to_ascii_lowercase());
            } else {
                // By way of upper case, so that ß meets SS and the two sigmas meet each other.
                out.extend(c.to_uppercase().flat_map(char::to_lowercase));
            }
        }
    }
}

/// Folds a whole text.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::new();
    Folder::default().push(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::{Folder, fold};
    use proptest::prelude::*;

    #[test]
    fn case_and_white_space_fold_and_diacritics_do_not() {
        assert_eq!(fold("One\r\n\t TWO  "), "one two ");
        assert_eq!(fold("JÖRG ΣΊΣΥΦΟΣ"), fold("jörg σίσυφος"));
        assert_eq!(fold("Straße"), fold("STRASSE"));
        assert_ne!(fold("jo"), fold("jö"));
        assert_eq!(fold("ЖУК"), "жук");
    }

    proptest! {
        #[test]
        fn pieces_fold_like_the_whole(a: String, b: String) {
            let mut folder = Folder::default();
            let mut out = String::new();
            folder.push(&a, &mut out);
            folder.push(&b, &mut out);
            prop_assert_eq!(out, fold(&(a + &b)));
        }
    }
}
