//! The table as text.

use crate::result::{Table, goal_text, short};
use crate::rows::Versus;

/// Renders `table`.
pub(crate) fn render(table: &Table) -> String {
    let mut head = vec!["operation".to_owned()];
    for server in &table.servers {
        head.push(format!("{} cpu", server.title()));
        head.push("wall".to_owned());
    }
    head.extend(["/ Courier", "/ best", "goal", ""].map(str::to_owned));
    let mut lines = vec![head];
    for line in &table.lines {
        let mut cells = vec![line.row.title.to_owned()];
        for cell in &line.cells {
            match cell.median() {
                Some(median) => cells.extend([short(median.cpu), short(median.wall)]),
                None => cells.extend(["n/a", "n/a"].map(str::to_owned)),
            }
        }
        let wall = line.row.goal.wall;
        for versus in [Versus::Courier, Versus::Best] {
            let ratio = table.ratio(line, versus, wall);
            cells.push(ratio.map_or_else(|| "n/a".to_owned(), short));
        }
        cells.push(goal_text(line.row));
        let verdict = match table.reached(line) {
            Some(true) => "reached",
            Some(false) => "missed",
            None => "",
        };
        cells.push(verdict.to_owned());
        lines.push(cells);
    }
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let width =
                |cells: &Vec<String>| cells.get(column).map_or(0, |cell| cell.chars().count());
            lines.iter().map(width).max().unwrap_or(0)
        })
        .collect();
    let mut text = format!(
        "{}\nmilliseconds of server CPU and of wall time\n\n",
        table.method
    );
    for cells in &lines {
        let mut row = String::new();
        for (index, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            // Words to the left, numbers to the right.
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            let words = index == 0 || index + 2 >= columns;
            if words {
                row.push_str(cell);
                row.push_str(&padding);
            } else {
                row.push_str(&padding);
                row.push_str(cell);
            }
            row.push_str("  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    for line in &table.lines {
        for (cell, server) in line.cells.iter().zip(&table.servers) {
            if let Some(error) = &cell.error {
                text.push_str(&format!(
                    "\nn/a: {} on {}: {error}",
                    line.row.key,
                    server.title()
                ));
            }
        }
    }
    text.push('\n');
    text
}
