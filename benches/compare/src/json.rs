//! The table as JSON, for comparing runs.

use std::fmt::Write;

use crate::result::Table;
use crate::rows::{Unit, Versus};

/// Renders `table`.
pub(crate) fn render(table: &Table) -> String {
    let mut json = format!(
        "{{\n  \"method\": {},\n  \"rows\": [",
        quoted(&table.method)
    );
    for (index, line) in table.lines.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let unit = match line.row.unit {
            Unit::Milliseconds => "ms",
            Unit::Kibibytes => "KiB",
        };
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            "{comma}\n    {{\"key\": {}, \"title\": {}, \"unit\": \"{unit}\", \"servers\": {{",
            quoted(line.row.key),
            quoted(line.row.title)
        );
        for (index, (cell, server)) in line.cells.iter().zip(&table.servers).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let (first, second) = match line.row.unit {
                Unit::Milliseconds => ("cpu", "wall"),
                Unit::Kibibytes => ("private_dirty", "pss"),
            };
            let value = match (cell.median(), &cell.error) {
                (Some(median), _) => format!(
                    "{{\"{first}\": {:.3}, \"{second}\": {:.3}}}",
                    median.cpu, median.wall
                ),
                (None, Some(error)) => format!("{{\"error\": {}}}", quoted(error)),
                (None, None) => "null".to_owned(),
            };
            let _ = write!(json, "{comma}{}: {value}", quoted(server.title()));
        }
        let ratio = |versus| {
            table
                .ratio(line, versus, line.row.goal.wall)
                .map_or_else(|| "null".to_owned(), |ratio| format!("{ratio:.4}"))
        };
        let reached = table
            .reached(line)
            .map_or_else(|| "null".to_owned(), |reached| reached.to_string());
        let _ = write!(
            json,
            "}}, \"to_courier\": {}, \"to_best\": {}, \"goal\": {}, \"reached\": {reached}}}",
            ratio(Versus::Courier),
            ratio(Versus::Best),
            quoted(&crate::result::goal_text(line.row))
        );
    }
    json.push_str("\n  ]\n}\n");
    json
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #[test]
    fn strings_are_escaped() {
        assert_eq!(super::quoted("a\"b\\c\nd\u{1}"), r#""a\"b\\c\nd\u0001""#);
    }
}
