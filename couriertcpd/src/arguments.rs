//! Command lines in Courier's manner: `-name` or `-name=value`, a value never in the next argument, names never
//! abbreviated, options end at a lone `-` or at the first argument that does not start with one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use getopts::{HasArg, Matches, Occur, Options, ParsingStyle};

/// An argument that is no known option, as it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

/// A parsed command line.
pub struct Arguments {
    matches: Matches,
    /// What follows the options.
    pub operands: Vec<OsString>,
}

impl Arguments {
    /// Parses `arguments` (without the program's name); `names` are the known options.
    ///
    /// # Errors
    /// [`Unknown`] for the first argument that is none of them, also when its value is not UTF-8.
    pub fn parse(arguments: &[OsString], names: &[&str]) -> Result<Self, Unknown> {
        let end = arguments
            .iter()
            .position(|argument| !argument.as_bytes().starts_with(b"-") || argument == "-")
            .unwrap_or(arguments.len());
        let (options, operands) = arguments.split_at(end);
        let operands = match operands.split_first() {
            Some((first, rest)) if first == "-" => rest,
            _ => operands,
        };
        let mut grammar = Options::new();
        grammar
            .long_only(true)
            .parsing_style(ParsingStyle::StopAtFirstFree);
        for name in names {
            grammar.opt("", name, "", "", HasArg::Maybe, Occur::Multi);
        }
        for argument in options {
            let known = argument.to_str().and_then(|text| {
                let name = text.get(1..)?;
                let name = name.split_once('=').map_or(name, |(name, _value)| name);
                names.contains(&name).then_some(())
            });
            if known.is_none() {
                return Err(Unknown(argument.to_string_lossy().into_owned()));
            }
        }
        match grammar.parse(options) {
            Ok(matches) => Ok(Self {
                matches,
                operands: operands.to_vec(),
            }),
            Err(fail) => Err(Unknown(fail.to_string())),
        }
    }

    /// Whether the option was given, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.matches.opt_present(name)
    }

    /// The value of the last `-name=value`; empty when the last one had none; None when there was none at all.
    pub fn last(&self, name: &str) -> Option<String> {
        let position = self.matches.opt_positions(name).into_iter().max()?;
        Some(
            self.matches
                .opt_strs_pos(name)
                .into_iter()
                .find(|(at, _value)| *at == position)
                .map(|(_at, value)| value)
                .unwrap_or_default(),
        )
    }

    /// Every value of a repeatable option with its position on the command line.
    pub fn all(&self, name: &str) -> Vec<(usize, String)> {
        self.matches.opt_strs_pos(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["address", "nodnslookup", "pid", "block", "allow"];

    fn parse(arguments: &[&str]) -> Result<Arguments, Unknown> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        Arguments::parse(&arguments, NAMES)
    }

    #[test]
    fn values_come_after_an_equals_sign_only() {
        let parsed = parse(&["-address=0", "-pid", "143", "prog", "-x"]).unwrap();
        assert_eq!(parsed.last("address").unwrap(), "0");
        assert_eq!(parsed.last("pid").unwrap(), "");
        assert_eq!(parsed.last("block"), None);
        assert_eq!(parsed.operands, ["143", "prog", "-x"]);
    }

    #[test]
    fn flags_ignore_values_and_the_last_of_an_option_wins() {
        let parsed = parse(&["-nodnslookup=0", "-pid=a", "-pid=b"]).unwrap();
        assert!(parsed.has("nodnslookup"));
        assert_eq!(parsed.last("pid").unwrap(), "b");
        assert_eq!(parse(&["-pid=a", "-pid"]).unwrap().last("pid").unwrap(), "");
    }

    #[test]
    fn a_lone_dash_ends_the_options_and_is_consumed() {
        let parsed = parse(&["-pid=a", "-", "-address=x"]).unwrap();
        assert_eq!(parsed.operands, ["-address=x"]);
        assert!(!parsed.has("address"));
    }

    #[test]
    fn two_dashes_abbreviations_and_unknown_names_are_refused() {
        for bad in ["--address=0", "-addr=0", "-start", "--", "-foo=bar"] {
            assert_eq!(parse(&[bad]).err(), Some(Unknown(bad.into())));
        }
    }

    #[test]
    fn repeated_options_keep_their_order() {
        let parsed = parse(&["-block=a", "-allow=b", "-block=c"]).unwrap();
        assert_eq!(parsed.all("block"), [(0, "a".into()), (2, "c".into())]);
        assert_eq!(parsed.all("allow"), [(1, "b".into())]);
    }
}
