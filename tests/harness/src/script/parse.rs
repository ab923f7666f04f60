//! Script text to [`Script`].

use super::{Action, Expected, Kind, Order, Pattern, Script, Step};
use crate::server::Side;

/// Reads a script.
///
/// # Errors
/// The first line that is not understood, with its number.
pub fn parse(text: &str) -> Result<Script, String> {
    let mut reader = Reader {
        script: Script {
            pending: None,
            ours_only: None,
            environment: Vec::new(),
            options: String::new(),
            messages: Vec::new(),
            steps: Vec::new(),
        },
        explained: false,
        open_literal: false,
        open_message: false,
    };
    for (index, line) in text.lines().enumerate() {
        reader
            .line(index + 1, line)
            .map_err(|error| format!("line {}: {error}", index + 1))?;
    }
    if reader.script.steps.is_empty() {
        return Err("a script without a single step".to_owned());
    }
    Ok(reader.script)
}

struct Reader {
    script: Script,
    /// A `# differs:` line covers the lines right below it.
    explained: bool,
    /// The last step expects a response whose literal may go on.
    open_literal: bool,
    open_message: bool,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(body) = line.strip_prefix('|') {
            return self.message_line(body);
        }
        self.open_message = false;
        if let Some(comment) = line.strip_prefix('#') {
            return self.comment(comment.trim());
        }
        if line.trim().is_empty() {
            self.explained = false;
            return Ok(());
        }
        if let Some(name) = line.strip_prefix("M: ") {
            self.script
                .messages
                .push((name.trim().to_owned(), Vec::new()));
            self.open_message = true;
            return Ok(());
        }
        let (side, line) = match (line.strip_prefix("ours "), line.strip_prefix("ref ")) {
            (Some(rest), _) => (Some(Side::Ours), rest.trim_start()),
            (_, Some(rest)) => (Some(Side::Reference), rest.trim_start()),
            _ => (None, line),
        };
        if side.is_some() && !self.explained {
            return Err("a line for one side needs `# differs: why` above it".to_owned());
        }
        if side.is_none() {
            self.explained = false;
        }
        if let Some(action) = line.strip_prefix("! ") {
            let kind = Kind::Act(action_of(action)?);
            return self.push(number, side, kind);
        }
        let (key, value) = match line.split_once(": ") {
            Some((key, value)) => (key, value),
            None => match line.strip_prefix("L= ") {
                Some(value) => ("L=", value),
                None => line.strip_suffix(':').map_or((line, ""), |key| (key, "")),
            },
        };
        let (key, value) = line
            .strip_prefix("L= ")
            .map_or((key, value), |value| ("L=", value));
        self.talk(number, side, key, Pattern::new(value)?)
    }

    fn talk(
        &mut self,
        number: usize,
        side: Option<Side>,
        key: &str,
        pattern: Pattern,
    ) -> Result<(), String> {
        if key == "LOG" {
            return self.push(number, side, Kind::Log(pattern));
        }
        if key == "L" || key == "L=" {
            return self.literal(pattern, key == "L");
        }
        let mut characters = key.chars();
        let first = characters.next();
        let rest = characters.as_str();
        let digits = rest.trim_end_matches(|character: char| !character.is_ascii_digit());
        let suffix = rest.get(digits.len()..).unwrap_or_default();
        let connection = if digits.is_empty() {
            1
        } else {
            digits
                .parse()
                .map_err(|_| format!("not a connection: {key}"))?
        };
        match (first, suffix) {
            (Some('C'), "") => {
                let empty = Pattern::new("")?;
                let line = empty.joined(pattern, true);
                self.push(number, side, Kind::Send(connection, line))
            }
            (Some('c'), "") => self.push(number, side, Kind::Send(connection, pattern)),
            (Some('S'), "+") => self.continuation(pattern),
            (Some('S'), suffix) => {
                let order = match suffix {
                    "" => Order::Next,
                    "*" => Order::Unordered,
                    "?" => Order::Optional,
                    "~" => Order::Eventually,
                    _ => return Err(format!("unknown kind of line: {key}")),
                };
                let expected = Expected {
                    text: vec![pattern],
                    literals: Vec::new(),
                };
                self.push(number, side, Kind::Expect(connection, order, expected))
            }
            _ => Err(format!("unknown kind of line: {key}")),
        }
    }

    fn push(&mut self, line: usize, side: Option<Side>, kind: Kind) -> Result<(), String> {
        self.open_literal = false;
        self.script.steps.push(Step { line, side, kind });
        Ok(())
    }

    fn last_expected(&mut self) -> Result<&mut Expected, String> {
        match self.script.steps.last_mut() {
            Some(Step {
                kind: Kind::Expect(_, _, expected),
                ..
            }) => Ok(expected),
            _ => Err("no response to go on with".to_owned()),
        }
    }

    fn literal(&mut self, pattern: Pattern, line: bool) -> Result<(), String> {
        let empty = Pattern::new("")?;
        let open = std::mem::replace(&mut self.open_literal, true);
        let expected = self.last_expected()?;
        let started = if open {
            expected.literals.pop().unwrap_or(empty)
        } else {
            empty
        };
        expected.literals.push(started.joined(pattern, line));
        Ok(())
    }

    fn continuation(&mut self, pattern: Pattern) -> Result<(), String> {
        self.open_literal = false;
        let expected = self.last_expected()?;
        expected.text.push(pattern);
        Ok(())
    }

    fn message_line(&mut self, body: &str) -> Result<(), String> {
        if !self.open_message {
            return Err("a message line without `M: name` above it".to_owned());
        }
        let content = Pattern::new(body)?.fill(&super::Bindings::new());
        let (_, message) = self.script.messages.last_mut().ok_or("no message")?;
        message.extend(content?);
        message.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let of = |key: &str| {
            comment
                .strip_prefix(key)
                .map(|value| value.trim().to_owned())
        };
        if let Some(why) = of("pending:") {
            self.script.pending = Some(why);
        } else if let Some(why) = of("ours only:") {
            self.script.ours_only = Some(why);
        } else if let Some(why) = of("differs:") {
            if why.is_empty() {
                return Err("`# differs:` needs a reason".to_owned());
            }
            self.explained = true;
        } else if let Some(options) = of("options:") {
            self.script.options = options;
        } else if let Some(setting) = of("env:") {
            let (name, value) = setting.split_once('=').ok_or("`# env:` needs NAME=VALUE")?;
            self.script
                .environment
                .push((name.to_owned(), value.to_owned()));
        }
        Ok(())
    }
}

fn action_of(text: &str) -> Result<Action, String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let connection = |word: Option<&&str>| match word {
        None => Ok(1),
        Some(word) => word
            .parse()
            .map_err(|_| format!("not a connection: {word}")),
    };
    let owned = |word: &str| word.to_owned();
    match words.as_slice() {
        ["login", rest @ ..] => Ok(Action::Login(connection(rest.first())?)),
        ["half-close", rest @ ..] => Ok(Action::HalfClose(connection(rest.first())?)),
        ["closed", rest @ ..] => Ok(Action::Closed(connection(rest.first())?)),
        ["folder", name] => Ok(Action::Folder(owned(name))),
        ["deliver", folder, message] => Ok(Action::Deliver(owned(folder), owned(message))),
        ["place", folder, message] => {
            Ok(Action::Place(owned(folder), owned(message), String::new()))
        }
        ["place", folder, message, flags] => {
            Ok(Action::Place(owned(folder), owned(message), owned(flags)))
        }
        ["file", path, message] => Ok(Action::File(owned(path), owned(message))),
        ["holds", path, message] => Ok(Action::Holds(owned(path), owned(message))),
        ["absent", path] => Ok(Action::Absent(owned(path))),
        ["sleep", time] => time
            .parse()
            .map(Action::Sleep)
            .map_err(|_| format!("not a time: {time}")),
        _ => Err(format!("unknown action: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let script = parse(
            "# Shows things.\n# env: A=B\nM: m\n|a: b\n|\n! deliver INBOX m\n! login\nC: a NOOP\n\
             S*: * <num> EXISTS\nS: a OK {2}\nL= hi\nS+: )\nS2~: b OK <any>\n\
             # differs: because\nours S: x\nref S: y\nLOG: z\n",
        )
        .unwrap();
        assert_eq!(script.environment, [("A".to_owned(), "B".to_owned())]);
        assert_eq!(
            script.messages,
            [("m".to_owned(), b"a: b\r\n\r\n".to_vec())]
        );
        assert_eq!(script.steps.len(), 9);
        let Kind::Expect(1, Order::Next, expected) = &script.steps[4].kind else {
            panic!("{:?}", script.steps[4]);
        };
        assert_eq!((expected.text.len(), expected.literals.len()), (2, 1));
        assert_eq!(script.steps[6].side, Some(Side::Ours));
    }

    #[test]
    fn a_line_for_one_side_must_be_explained() {
        let error = parse("ours S: x\n").unwrap_err();
        assert!(error.contains("differs"), "{error}");
        assert!(parse("# differs: x\n\nours S: x\n").is_err());
    }

    #[test]
    fn unknown_lines_are_errors_with_their_number() {
        let error = parse("C: a\nX: b\n").unwrap_err();
        assert!(error.starts_with("line 2:"), "{error}");
    }
}
