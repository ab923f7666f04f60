//! Medians and ratios.

use harness::Error;

use crate::options::Options;
use crate::rows::{Row, Versus};
use crate::target::{Kind, Sample, Target};

/// One cell: all rounds of one row on one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    samples: Vec<Sample>,
    /// Why there is no number.
    pub(crate) error: Option<String>,
}

/// Median of the rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Median {
    /// CPU milliseconds, or KiB private dirty.
    pub(crate) cpu: f64,
    /// Wall milliseconds, or KiB proportional.
    pub(crate) wall: f64,
}

/// One finished line.
pub(crate) struct Line {
    /// The row.
    pub(crate) row: &'static Row,
    /// One cell for each server of [`Table::servers`].
    pub(crate) cells: Vec<Cell>,
}

/// The whole result.
pub(crate) struct Table {
    /// The servers that ran, in column order.
    pub(crate) servers: Vec<Kind>,
    /// One line of text on how it was measured.
    pub(crate) method: String,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

impl Table {
    /// An empty table for `targets`.
    pub(crate) fn new(options: &Options, meter: &str, targets: &[Target]) -> Self {
        Self {
            servers: targets.iter().map(Target::kind).collect(),
            method: format!(
                "{} messages of about {} bytes, {} logins, {} rounds (medians), seed {}; CPU: {meter}",
                options.messages, options.size, options.logins, options.rounds, options.seed
            ),
            lines: Vec::new(),
        }
    }

    /// Notes one measurement of `row` on the server in column `index`.
    pub(crate) fn record(
        &mut self,
        row: &'static Row,
        index: usize,
        outcome: Option<Result<Sample, Error>>,
    ) {
        let columns = self.servers.len();
        let position = self.lines.iter().position(|line| line.row.key == row.key);
        let position = position.unwrap_or_else(|| {
            self.lines.push(Line {
                row,
                cells: vec![Cell::default(); columns],
            });
            self.lines.len() - 1
        });
        let cell = self
            .lines
            .get_mut(position)
            .and_then(|line| line.cells.get_mut(index));
        if let (Some(cell), Some(outcome)) = (cell, outcome) {
            match outcome {
                Ok(sample) => cell.samples.push(sample),
                Err(error) => cell.error = Some(error.to_string()),
            }
        }
    }

    /// Adds rows that nothing was measured for, in the order of `rows`.
    pub(crate) fn finish(&mut self, rows: &[&'static Row]) {
        for row in rows {
            if !self.lines.iter().any(|line| line.row.key == row.key) {
                let cells = vec![Cell::default(); self.servers.len()];
                self.lines.push(Line { row, cells });
            }
        }
        let order = |line: &Line| rows.iter().position(|row| row.key == line.row.key);
        self.lines.sort_by_key(order);
    }

    /// The number of `kind` in `line`.
    pub(crate) fn median(&self, line: &Line, kind: Kind) -> Option<Median> {
        let index = self.servers.iter().position(|&server| server == kind)?;
        line.cells.get(index)?.median()
    }

    /// Ours divided by `versus`.
    pub(crate) fn ratio(&self, line: &Line, versus: Versus, wall: bool) -> Option<f64> {
        let value = |kind: Kind| {
            let median = self.median(line, kind)?;
            Some(if wall { median.wall } else { median.cpu })
        };
        let ours = value(Kind::Ours)?;
        let other = match versus {
            Versus::Absolute => return None,
            Versus::Courier => value(Kind::Courier)?,
            Versus::Dovecot => value(Kind::Dovecot)?,
            Versus::Best => Kind::ALL
                .into_iter()
                .filter(|&kind| kind != Kind::Ours)
                .filter_map(value)
                .min_by(f64::total_cmp)?,
        };
        (other > 0.0).then(|| ours / other)
    }

    /// Whether ours reached the row's goal; `None` without numbers.
    pub(crate) fn reached(&self, line: &Line) -> Option<bool> {
        let goal = line.row.goal;
        let value = match goal.versus {
            Versus::Absolute => self.median(line, Kind::Ours)?.cpu,
            versus => self.ratio(line, versus, goal.wall)?,
        };
        Some(value <= goal.most)
    }
}

impl Cell {
    /// The median of the rounds; `None` if any failed.
    pub(crate) fn median(&self) -> Option<Median> {
        if self.error.is_some() {
            return None;
        }
        let of = |value: fn(&Sample) -> f64| {
            let mut values: Vec<f64> = self.samples.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            let upper = values.get(values.len() / 2).copied()?;
            let lower = values.get(values.len().saturating_sub(1) / 2).copied()?;
            Some(f64::midpoint(lower, upper))
        };
        Some(Median {
            cpu: of(|sample| sample.cpu)?,
            wall: of(|sample| sample.wall)?,
        })
    }
}

/// The goal in words.
pub(crate) fn goal_text(row: &Row) -> String {
    let of = match row.goal.versus {
        Versus::Best => "best peer",
        Versus::Courier => "Courier",
        Versus::Dovecot => "Dovecot",
        Versus::Absolute => "",
    };
    let wall = if row.goal.wall { ", wall" } else { "" };
    match row.goal.versus {
        // Only memory has fixed limits.
        Versus::Absolute => format!("≤ {} KiB", row.goal.most),
        _ => format!("≤ {} × {of}{wall}", row.goal.most),
    }
}

/// `value` with three significant digits or so.
pub(crate) fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_outliers_and_errors_leave_no_number() {
        let sample = |cpu| Sample { cpu, wall: cpu };
        let mut cell = Cell {
            samples: vec![sample(1.0), sample(900.0), sample(2.0)],
            error: None,
        };
        assert!((cell.median().unwrap().cpu - 2.0).abs() < 1e-9);
        cell.samples.pop();
        assert!((cell.median().unwrap().cpu - 450.5).abs() < 1e-9);
        cell.error = Some("refused".to_owned());
        assert!(cell.median().is_none());
    }
}
