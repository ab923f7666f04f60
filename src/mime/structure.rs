//! The tree as IMAP shows it: ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2, RFC 9051).
//!
//! All strings are quoted strings: header text is unfolded and ends at a NUL (contract: imapd, ENVELOPE), so none needs a
//! literal. Text outside ASCII goes out as UTF-8 if the client enabled UTF8=ACCEPT, else as RFC 2047 encoded words.

use std::borrow::Cow;

use crate::text::{charset, rfc2047};

use super::address::{self, Item};
use super::header::{Known, unfold, unfold_untrimmed};
use super::params::{Param, Value};
use super::tree::{Kind, Part, Tree};

/// How to write text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// ASCII only: 8-bit header text becomes RFC 2047 encoded words.
    Ascii,
    /// Raw UTF-8, for clients that enabled UTF8=ACCEPT.
    Utf8,
}

/// Appends the ENVELOPE of a message: the whole one (the tree's root) or an embedded one.
pub fn envelope(tree: &Tree, message: &Part, text: Text, out: &mut Vec<u8>) {
    let mut writer = Writer::new(tree, text, out);
    writer.envelope(message);
}

/// Appends BODY, or with `extended` BODYSTRUCTURE.
pub fn body(tree: &Tree, extended: bool, text: Text, out: &mut Vec<u8>) {
    let mut writer = Writer::new(tree, text, out);
    writer.body(tree.root(), extended);
}

/// As [`body`], without backslashes in the values of parameters: clients existed that took the rules for quoted strings
/// for part of the value (contract: imapd 18).
pub fn body_without_backslashes(tree: &Tree, extended: bool, text: Text, out: &mut Vec<u8>) {
    let mut writer = Writer::new(tree, text, out);
    writer.backslashes = false;
    writer.body(tree.root(), extended);
}

struct Writer<'a> {
    tree: &'a Tree,
    text: Text,
    out: &'a mut Vec<u8>,
    /// Values of parameters may have backslashes.
    backslashes: bool,
}

impl<'a> Writer<'a> {
    fn new(tree: &'a Tree, text: Text, out: &'a mut Vec<u8>) -> Self {
        Self {
            tree,
            text,
            out,
            backslashes: true,
        }
    }

    fn envelope(&mut self, message: &Part) {
        self.out.push(b'(');
        self.nstring_field(message, Known::Date);
        self.out.push(b' ');
        self.nstring_field(message, Known::Subject);
        self.out.push(b' ');
        // Sender and Reply-To default to From.
        let mut from = Vec::new();
        std::mem::swap(self.out, &mut from);
        self.addresses(message, Known::From);
        std::mem::swap(self.out, &mut from);
        self.out.extend_from_slice(&from);
        for known in [Known::Sender, Known::ReplyTo] {
            self.out.push(b' ');
            let start = self.out.len();
            self.addresses(message, known);
            if self.out.get(start..) == Some(b"NIL") {
                self.out.truncate(start);
                self.out.extend_from_slice(&from);
            }
        }
        for known in [Known::To, Known::Cc, Known::Bcc] {
            self.out.push(b' ');
            self.addresses(message, known);
        }
        self.out.push(b' ');
        self.nstring_field(message, Known::InReplyTo);
        self.out.push(b' ');
        self.nstring_field(message, Known::MessageId);
        self.out.push(b')');
    }

    /// The addresses of all fields of one name: `NIL`, or a parenthesised list without separators.
    fn addresses(&mut self, message: &Part, known: Known) {
        let tree = self.tree;
        let start = self.out.len();
        self.out.push(b'(');
        for value in tree.fields(message, known) {
            for item in address::parse(value) {
                match item {
                    Item::Mailbox {
                        name,
                        local,
                        domain,
                    } => {
                        self.out.push(b'(');
                        match name {
                            Some(name) => self.string(&name),
                            None => self.nil(),
                        }
                        self.out.extend_from_slice(b" NIL ");
                        self.string(&local);
                        self.out.push(b' ');
                        self.string(&domain);
                        self.out.push(b')');
                    }
                    Item::GroupStart(name) => {
                        self.out.extend_from_slice(b"(NIL NIL ");
                        self.string(&name);
                        self.out.extend_from_slice(b" NIL)");
                    }
                    Item::GroupEnd => self.out.extend_from_slice(b"(NIL NIL NIL NIL)"),
                }
            }
        }
        if self.out.len() == start + 1 {
            self.out.truncate(start);
            self.nil();
        } else {
            self.out.push(b')');
        }
    }

    fn body(&mut self, part: &Part, extended: bool) {
        let tree = self.tree;
        let content = tree.content(part);
        self.out.push(b'(');
        if part.kind() == Kind::Multipart {
            for &child in part.children() {
                if let Some(child) = tree.part(child) {
                    self.body(child, extended);
                }
            }
            self.out.push(b' ');
            self.string(&content.minor);
            if extended {
                self.out.push(b' ');
                self.params(&content.value.params);
                self.extension(part);
            }
            self.out.push(b')');
            return;
        }
        // A message that we did not look into has no envelope to show.
        let is_message = content.major == b"message"
            && matches!(content.minor.as_slice(), b"rfc822" | b"global");
        let embedded = tree.embedded(part).filter(|_| is_message);
        if is_message && embedded.is_none() {
            self.out
                .extend_from_slice(b"\"application\" \"octet-stream\"");
        } else {
            self.string(&content.major);
            self.out.push(b' ');
            self.string(&content.minor);
        }
        self.out.push(b' ');
        self.params(&content.value.params);
        self.out.push(b' ');
        self.nstring_field(part, Known::ContentId);
        self.out.push(b' ');
        self.nstring_field(part, Known::ContentDescription);
        self.out.push(b' ');
        self.string(&content.encoding);
        self.number(part.body().octets());
        if let Some(message) = embedded {
            self.out.push(b' ');
            self.envelope(message);
            self.out.push(b' ');
            self.body(message, extended);
            self.number(part.body().lines());
        } else if content.major == b"text" {
            self.number(part.body().lines());
        }
        if extended {
            self.out.push(b' ');
            self.nstring_field(part, Known::ContentMd5);
            self.extension(part);
        }
        self.out.push(b')');
    }

    /// Disposition, language and location, each with a space before it.
    fn extension(&mut self, part: &Part) {
        let tree = self.tree;
        self.out.push(b' ');
        let disposition = tree
            .fields(part, Known::ContentDisposition)
            .next()
            .map(Value::parse);
        match disposition.filter(|disposition| !disposition.main.is_empty()) {
            Some(disposition) => {
                self.out.push(b'(');
                self.string(&disposition.main.to_ascii_lowercase());
                self.out.push(b' ');
                self.params(&disposition.params);
                self.out.push(b')');
            }
            None => self.nil(),
        }
        self.out.push(b' ');
        let languages = tree
            .field(part, Known::ContentLanguage)
            .map(|value| Value::parse(&value).main);
        let languages: Vec<_> = languages
            .iter()
            .flat_map(|value| value.split(|&byte| byte == b','))
            .filter(|tag| !tag.is_empty())
            .collect();
        match languages.as_slice() {
            [] => self.nil(),
            [only] => self.string(only),
            [first, others @ ..] => {
                self.out.push(b'(');
                self.string(first);
                for tag in others {
                    self.out.push(b' ');
                    self.string(tag);
                }
                self.out.push(b')');
            }
        }
        self.out.push(b' ');
        self.nstring_field(part, Known::ContentLocation);
    }

    fn params(&mut self, params: &[Param]) {
        let Some((first, others)) = params.split_first() else {
            return self.nil();
        };
        self.out.push(b'(');
        self.param(first);
        for param in others {
            self.out.push(b' ');
            self.param(param);
        }
        self.out.push(b')');
    }

    fn param(&mut self, param: &Param) {
        self.string(&param.name);
        self.out.push(b' ');
        let mut value = Cow::Borrowed(&*param.value);
        if !self.backslashes && value.contains(&b'\\') {
            value.to_mut().retain(|byte| *byte != b'\\');
        }
        // Values that mean the same in any case are lower-cased, as the original does; others are as spelled.
        if matches!(param.name.as_slice(), b"charset" | b"format" | b"delsp") {
            value.to_mut().make_ascii_lowercase();
        }
        // The pieces of a name that is spread over several parameters begin and end with blanks.
        self.unfolded(&unfold_untrimmed(&value));
    }

    fn nstring_field(&mut self, part: &Part, known: Known) {
        match self.tree.field(part, known) {
            Some(value) => self.string(&value),
            None => self.nil(),
        }
    }

    fn nil(&mut self) {
        self.out.extend_from_slice(b"NIL");
    }

    fn number(&mut self, number: u64) {
        self.out.push(b' ');
        self.out.extend_from_slice(number.to_string().as_bytes());
    }

    /// A quoted string.
    fn string(&mut self, value: &[u8]) {
        self.unfolded(&unfold(value));
    }

    /// A quoted string of what contains no line end.
    fn unfolded(&mut self, value: &[u8]) {
        let converted;
        let text = if value.is_ascii() {
            value
        } else {
            converted = match self.text {
                Text::Ascii => rfc2047::encode(value),
                Text::Utf8 => charset::guess(value),
            };
            converted.as_bytes()
        };
        self.out.push(b'"');
        for &byte in text {
            if matches!(byte, b'"' | b'\\') {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
    }
}

#[cfg(test)]
mod tests;
