//! The text that an HTML document shows, for SEARCH: markup gone, character references decoded. No parser of HTML:
//! streaming, bounded, never wrong enough to matter for finding words.

/// Longest character reference looked at, in bytes: `&CounterClockwiseContourIntegral;` is known to nobody.
const REFERENCE_MAX: usize = 12;
/// Longest element name looked at.
const NAME_MAX: usize = 10;

/// Elements whose content is not shown.
const HIDDEN: [&str; 3] = ["script", "style", "title"];
/// Elements within words; every other one separates them.
const INLINE: [&str; 20] = [
    "a", "abbr", "b", "big", "code", "em", "font", "i", "ins", "mark", "o:p", "s", "small", "span",
    "strong", "sub", "sup", "tt", "u", "wbr",
];

/// Named characters outside ASCII that mail uses, and those that markup needs.
const NAMED: [(&str, char); 110] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("shy", '\u{ad}'),
    ("iexcl", '¡'),
    ("cent", '¢'),
    ("pound", '£'),
    ("curren", '¤'),
    ("yen", '¥'),
    ("brvbar", '¦'),
    ("sect", '§'),
    ("uml", '¨'),
    ("copy", '©'),
    ("ordf", 'ª'),
    ("laquo", '«'),
    ("not", '¬'),
    ("reg", '®'),
    ("macr", '¯'),
    ("deg", '°'),
    ("plusmn", '±'),
    ("sup2", '²'),
    ("sup3", '³'),
    ("acute", '´'),
    ("micro", 'µ'),
    ("para", '¶'),
    ("middot", '·'),
    ("cedil", '¸'),
    ("sup1", '¹'),
    ("ordm", 'º'),
    ("raquo", '»'),
    ("frac14", '¼'),
    ("frac12", '½'),
    ("frac34", '¾'),
    ("iquest", '¿'),
    ("Agrave", 'À'),
    ("Aacute", 'Á'),
    ("Acirc", 'Â'),
    ("Atilde", 'Ã'),
    ("Auml", 'Ä'),
    ("Aring", 'Å'),
    ("AElig", 'Æ'),
    ("Ccedil", 'Ç'),
    ("Egrave", 'È'),
    ("Eacute", 'É'),
    ("Ecirc", 'Ê'),
    ("Euml", 'Ë'),
    ("Igrave", 'Ì'),
    ("Iacute", 'Í'),
    ("Icirc", 'Î'),
    ("Iuml", 'Ï'),
    ("ETH", 'Ð'),
    ("Ntilde", 'Ñ'),
    ("Ograve", 'Ò'),
    ("Oacute", 'Ó'),
    ("Ocirc", 'Ô'),
    ("Otilde", 'Õ'),
    ("Ouml", 'Ö'),
    ("times", '×'),
    ("Oslash", 'Ø'),
    ("Ugrave", 'Ù'),
    ("Uacute", 'Ú'),
    ("Ucirc", 'Û'),
    ("Uuml", 'Ü'),
    ("Yacute", 'Ý'),
    ("THORN", 'Þ'),
    ("szlig", 'ß'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("atilde", 'ã'),
    ("auml", 'ä'),
    ("aring", 'å'),
    ("aelig", 'æ'),
    ("ccedil", 'ç'),
    ("egrave", 'è'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("igrave", 'ì'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("eth", 'ð'),
    ("ntilde", 'ñ'),
    ("ograve", 'ò'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("otilde", 'õ'),
    ("ouml", 'ö'),
    ("divide", '÷'),
    ("oslash", 'ø'),
    ("ugrave", 'ù'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("uuml", 'ü'),
    ("yacute", 'ý'),
    ("thorn", 'þ'),
    ("yuml", 'ÿ'),
    ("euro", '€'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("hellip", '…'),
];

/// Where in the document the filter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// Behind `&`; the name is being gathered.
    Reference,
    /// Behind `<`; the element's name is being gathered.
    Name,
    /// In a tag, behind its name.
    Tag,
    /// In a quoted attribute value.
    Quoted(char),
    /// In a comment; so many `-` have just come.
    Comment(u8),
}

/// Filters a document that arrives in pieces.
#[derive(Debug)]
pub struct Filter {
    place: Place,
    /// A name being gathered.
    name: String,
    /// The element whose end is awaited, if its content is not shown.
    hidden: Option<&'static str>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            place: Place::Text,
            name: String::new(),
            hidden: None,
        }
    }
}

impl Filter {
    /// Appends what the next piece shows to `out`.
    pub fn push(&mut self, piece: &str, out: &mut String) {
        let mut rest = piece;
        while !rest.is_empty() {
            // Runs of what changes nothing are passed over at once.
            let bytes = rest.as_bytes();
            let end = match self.place {
                Place::Text if self.hidden.is_some() => memchr::memchr(b'<', bytes),
                Place::Text => memchr::memchr2(b'<', b'&', bytes),
                Place::Tag => memchr::memchr3(b'>', b'"', b'\'', bytes),
                Place::Quoted('"') => memchr::memchr(b'"', bytes),
                Place::Quoted(_) => memchr::memchr(b'\'', bytes),
                Place::Comment(0) => memchr::memchr(b'-', bytes),
                Place::Reference | Place::Name | Place::Comment(_) => Some(0),
            };
            let end = end.unwrap_or(rest.len());
            let (run, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if self.place == Place::Text && self.hidden.is_none() {
                out.push_str(run);
            }
            rest = behind;
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                self.step(c, out);
            }
            rest = chars.as_str();
        }
    }

    /// Ends the document.
    pub fn finish(&mut self, out: &mut String) {
        if self.place == Place::Reference {
            self.reference(out);
        }
        *self = Self::default();
    }

    fn step(&mut self, c: char, out: &mut String) {
        match self.place {
            Place::Text => {
                self.name.clear();
                self.place = if c == '<' {
                    Place::Name
                } else {
                    Place::Reference
                };
            }
            Place::Reference => {
                if (c.is_ascii_alphanumeric() || c == '#') && self.name.len() < REFERENCE_MAX {
                    self.name.push(c);
                    return;
                }
                self.reference(out);
                self.place = Place::Text;
                match c {
                    ';' => {}
                    '<' | '&' => self.step(c, out),
                    c if self.hidden.is_none() => out.push(c),
                    _ => {}
                }
            }
            Place::Name => self.element(c, out),
            Place::Tag => match c {
                '>' => self.place = Place::Text,
                '"' | '\'' => self.place = Place::Quoted(c),
                _ => {}
            },
            Place::Quoted(quote) if c == quote => self.place = Place::Tag,
            Place::Quoted(_) => {}
            Place::Comment(dashes) => {
                self.place = match c {
                    '>' if dashes >= 2 => Place::Text,
                    '-' => Place::Comment(dashes.saturating_add(1)),
                    _ => Place::Comment(0),
                }
            }
        }
    }

    /// A character of an element's name, or the first behind it.
    fn element(&mut self, c: char, out: &mut String) {
        let in_name = c.is_ascii_alphanumeric() || matches!(c, '/' | '!' | '-' | ':' | '?');
        if in_name && self.name.len() < NAME_MAX {
            self.name.push(c.to_ascii_lowercase());
            if self.name == "!--" {
                self.place = Place::Comment(0);
            }
            return;
        }
        if self.name.is_empty() && c != '>' {
            // A lone `<` is text.
            self.place = Place::Text;
            if self.hidden.is_none() {
                out.push('<');
                match c {
                    '<' | '&' => self.step(c, out),
                    c => out.push(c),
                }
            }
            return;
        }
        let name = std::mem::take(&mut self.name);
        let name = name.trim_end_matches('/');
        match self.hidden {
            Some(hidden) => {
                if name.strip_prefix('/') == Some(hidden) {
                    self.hidden = None;
                }
            }
            None => {
                let bare = name.trim_start_matches('/');
                if !INLINE.contains(&bare) {
                    out.push(' ');
                }
                self.hidden = HIDDEN.iter().find(|hidden| **hidden == name).copied();
            }
        }
        self.place = if c == '>' { Place::Text } else { Place::Tag };
        if matches!(c, '"' | '\'') {
            self.place = Place::Quoted(c);
        }
    }

    /// Ends a reference: its character, or what it was written as.
    fn reference(&mut self, out: &mut String) {
        if self.hidden.is_some() {
            return;
        }
        let name = self.name.as_str();
        let number = name.strip_prefix('#').and_then(|digits| {
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)
        });
        let named = || {
            NAMED
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, c)| *c)
        };
        match number.or_else(named) {
            // Where a word may be broken: shows nothing.
            Some('\u{ad}') => {}
            Some('\u{a0}') => out.push(' '),
            Some(c) => out.push(c),
            None => {
                out.push('&');
                out.push_str(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use proptest::prelude::*;

    fn shown(document: &str) -> String {
        let mut out = String::new();
        let mut filter = Filter::default();
        filter.push(document, &mut out);
        filter.finish(&mut out);
        out
    }

    #[test]
    fn documents() {
        for (document, text) in [
            ("plain", "plain"),
            ("<p>one</p><p>two</p>", " one  two "),
            ("H<b>el</b>lo <a href=\"x>y\">there</a>", "Hello there"),
            (
                "Gr&uuml;&szlig;e &#228;&#xE4;&nbsp;x&amp;y",
                "Gr\u{fc}\u{df}e \u{e4}\u{e4} x&y",
            ),
            ("a&unknown;b & c &", "a&unknownb & c &"),
            ("ex&shy;am&#173;ple", "example"),
            ("a<!-- hidden > -- --->b", "ab"),
            (
                "<style>p { color: red }</style>x<SCRIPT src='a'>1 < 2 && \"</b>\"</script>y",
                " x y",
            ),
            ("1 < 2 <3", "1 < 2 "),
            ("x<br/>y<br>z", "x y z"),
            ("&lt;b&gt;", "<b>"),
            ("<", ""),
            ("&#99999999;", "&#99999999"),
        ] {
            assert_eq!(shown(document), text, "{document}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_shown_like_the_whole(document in "([<>&;!/'\"a-b -]|&auml;|<!--|-->|<style>|</style>|<b>){0,30}") {
            let mut out = String::new();
            let mut filter = Filter::default();
            for c in document.chars() {
                filter.push(c.encode_utf8(&mut [0; 4]), &mut out);
            }
            filter.finish(&mut out);
            prop_assert_eq!(out, shown(&document));
        }
    }
}
