//! What grows with the mailbox: the same few operations in mailboxes of 1,000 to 300,000 small messages.
//!
//! What a server does must cost what has changed, not what there is; see [`OPERATIONS`]. The result is a table with a
//! bar for each number, `growth.csv`, and `growth.html` with a plot for each operation.

mod plot;

use std::fmt::Write;

use harness::Error;

use crate::meter::memory_of;
use crate::options::Options;
use crate::result::short;
use crate::target::{Kind, Target};

/// NOOPs that are measured together.
const NOOPS: u32 = 20;
/// Deliveries of which the median counts.
const DELIVERIES: usize = 3;

/// Measures one server with a mailbox of this size; milliseconds of CPU, or KiB.
type Work = fn(&mut Target, usize) -> Result<f64, Error>;

/// One of the things measured.
struct Operation {
    key: &'static str,
    title: &'static str,
    work: Work,
}

/// In this order on one mailbox: the first one finds it unseen, the others build on each other.
const OPERATIONS: [Operation; 7] = [
    Operation {
        key: "select-cold",
        title: "SELECT, cold, ms",
        work: select,
    },
    Operation {
        key: "select",
        title: "SELECT, unchanged folder, ms",
        work: select_again,
    },
    Operation {
        key: "noop",
        title: "NOOP, unchanged folder, ms",
        work: noop,
    },
    Operation {
        key: "flags",
        title: "UID FETCH 1:* FLAGS, ms",
        work: flags,
    },
    Operation {
        key: "delivery-noop",
        title: "NOOP after one delivery, ms",
        work: noop_after_delivery,
    },
    Operation {
        key: "delivery-select",
        title: "SELECT after one delivery, ms",
        work: select_after_delivery,
    },
    Operation {
        key: "memory",
        title: "session after SELECT, above an empty folder, private dirty KiB",
        work: memory,
    },
];

/// One operation on one server at one size.
struct Point {
    operation: usize,
    server: usize,
    messages: usize,
    value: Result<f64, String>,
}

/// All that was measured.
pub(crate) struct Growth {
    servers: Vec<Kind>,
    sizes: Vec<usize>,
    points: Vec<Point>,
}

impl Growth {
    /// Measures all servers at all sizes of the options.
    ///
    /// # Errors
    /// An interrupt. What fails on one server is told in its place.
    pub(crate) fn measure(
        targets: &mut [Target],
        options: &Options,
        progress: impl Fn(&str),
    ) -> Result<Self, Error> {
        let mut growth = Self {
            servers: targets.iter().map(Target::kind).collect(),
            sizes: options.growth.clone(),
            points: Vec::new(),
        };
        for &messages in &options.growth {
            for (server, target) in targets.iter_mut().enumerate() {
                crate::interrupt::check()?;
                progress(&format!("{messages} messages: {}", target.kind().title()));
                target.many(messages)?;
                for (operation, what) in OPERATIONS.iter().enumerate() {
                    crate::interrupt::check()?;
                    let value = (what.work)(target, messages).map_err(|error| error.to_string());
                    growth.points.push(Point {
                        operation,
                        server,
                        messages,
                        value,
                    });
                }
            }
        }
        Ok(growth)
    }

    fn value(&self, operation: usize, server: usize, messages: usize) -> Option<f64> {
        let mut points = self.points.iter();
        let point = points.find(|point| {
            (point.operation, point.server, point.messages) == (operation, server, messages)
        })?;
        point.value.as_ref().ok().copied()
    }

    /// A table for each operation, with bars on a logarithmic scale.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (operation, what) in OPERATIONS.iter().enumerate() {
            let _ = writeln!(text, "\n{}", what.title);
            let least = self.least(operation);
            for (server, kind) in self.servers.iter().enumerate() {
                for &messages in &self.sizes {
                    let _ = write!(text, "  {:14} {messages:>9}  ", kind.title());
                    let _ = match self.value(operation, server, messages) {
                        Some(value) => {
                            writeln!(text, "{:>9}  {}", short(value), bar(value, least))
                        }
                        None => writeln!(text, "{:>9}", "n/a"),
                    };
                }
            }
        }
        for point in &self.points {
            if let (Err(why), Some(what)) = (&point.value, OPERATIONS.get(point.operation)) {
                let server = self
                    .servers
                    .get(point.server)
                    .map_or("", |kind| kind.title());
                let _ = writeln!(text, "n/a: {} on {server}: {why}", what.key);
            }
        }
        text
    }

    fn least(&self, operation: usize) -> f64 {
        let values = self
            .points
            .iter()
            .filter(|point| point.operation == operation);
        values
            .filter_map(|point| point.value.as_ref().ok().copied())
            .filter(|value| *value > 0.0)
            .fold(f64::INFINITY, f64::min)
    }

    /// One line for each number.
    pub(crate) fn csv(&self) -> String {
        let mut text = "operation,server,messages,value\n".to_owned();
        for point in &self.points {
            let (Some(what), Some(server), Ok(value)) = (
                OPERATIONS.get(point.operation),
                self.servers.get(point.server),
                &point.value,
            ) else {
                continue;
            };
            let _ = writeln!(
                text,
                "{},{},{},{value:.3}",
                what.key,
                server.title(),
                point.messages
            );
        }
        text
    }

    /// A page with the plots.
    pub(crate) fn page(&self) -> String {
        let mut plots = String::new();
        for (operation, what) in OPERATIONS.iter().enumerate() {
            let lines: Vec<(Kind, Vec<(f64, f64)>)> = self
                .servers
                .iter()
                .enumerate()
                .map(|(server, &kind)| {
                    let at = |&messages: &usize| {
                        let value = self.value(operation, server, messages)?;
                        Some((count(messages), value))
                    };
                    (kind, self.sizes.iter().filter_map(at).collect())
                })
                .collect();
            plots.push_str(&plot::figure(what.title, &lines));
        }
        plot::page(&plots)
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Eight characters for each factor of ten above the least.
fn bar(value: f64, least: f64) -> String {
    if value <= 0.0 || !least.is_finite() {
        return String::new();
    }
    let length = (value / least).log10() * 8.0;
    let mut bar = "#".to_owned();
    let mut at = 1.0;
    while at <= length && bar.len() < 60 {
        bar.push('#');
        at += 1.0;
    }
    bar
}

fn select(target: &mut Target, _: usize) -> Result<f64, Error> {
    let mut wire = target.session()?;
    Ok(target.measure(|| wire.ok("SELECT INBOX"))?.cpu)
}

fn select_again(target: &mut Target, messages: usize) -> Result<f64, Error> {
    // A server may leave the folder in order when a session ends that found it at rest.
    target.selected()?.ok("LOGOUT")?;
    let mut samples = Vec::new();
    for _ in 0..3 {
        samples.push(select(target, messages)?);
    }
    Ok(median(samples))
}

fn noop(target: &mut Target, _: usize) -> Result<f64, Error> {
    let mut wire = target.selected()?;
    let sample = target.measure(|| {
        for _ in 0..NOOPS {
            wire.ok("NOOP")?;
        }
        Ok(())
    })?;
    Ok(sample.cpu / f64::from(NOOPS))
}

fn flags(target: &mut Target, _: usize) -> Result<f64, Error> {
    let mut wire = target.selected()?;
    Ok(target.measure(|| wire.ok("UID FETCH 1:* FLAGS"))?.cpu)
}

fn noop_after_delivery(target: &mut Target, _: usize) -> Result<f64, Error> {
    let mut wire = target.selected()?;
    wire.ok("NOOP")?;
    let mut samples = Vec::new();
    for _ in 0..DELIVERIES {
        target
            .account()?
            .deliver("INBOX", b"Subject: new\r\n\r\nx\r\n")?;
        samples.push(target.measure(|| wire.ok("NOOP"))?.cpu);
    }
    Ok(median(samples))
}

fn select_after_delivery(target: &mut Target, messages: usize) -> Result<f64, Error> {
    let mut samples = Vec::new();
    for _ in 0..DELIVERIES {
        target
            .account()?
            .deliver("INBOX", b"Subject: new\r\n\r\nx\r\n")?;
        samples.push(select(target, messages)?);
    }
    Ok(median(samples))
}

fn memory(target: &mut Target, _: usize) -> Result<f64, Error> {
    // Nothing is left of the sessions before.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let of = |mailbox: &str| -> Result<f64, Error> {
        let all = || -> u64 {
            let ids = target.meter().processes().into_iter();
            ids.filter_map(memory_of).map(|(private, _)| private).sum()
        };
        let before = all();
        let mut wire = target.session()?;
        wire.ok(&format!("SELECT {mailbox}"))?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        let after = all();
        wire.ok("LOGOUT")?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        let kib = after.saturating_sub(before);
        Ok(f64::from(u32::try_from(kib).unwrap_or(u32::MAX)))
    };
    let empty = of("INBOX.Work")?;
    Ok((of("INBOX")? - empty).max(0.0))
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth() -> Growth {
        let point = |server, messages, value: Result<f64, &str>| Point {
            operation: 2,
            server,
            messages,
            value: value.map_err(str::to_owned),
        };
        Growth {
            servers: vec![Kind::Ours, Kind::Courier],
            sizes: vec![1000, 10_000],
            points: vec![
                point(0, 1000, Ok(0.1)),
                point(0, 10_000, Ok(0.1)),
                point(1, 1000, Ok(10.0)),
                point(1, 10_000, Err("refused")),
            ],
        }
    }

    #[test]
    fn numbers_come_as_table_list_and_plot() {
        let growth = growth();
        let text = growth.text();
        assert!(text.contains("NOOP, unchanged folder"), "{text}");
        assert!(text.contains("10.0  #################\n"), "{text}");
        assert!(text.contains("n/a: noop on Courier: refused"), "{text}");
        let csv = growth.csv();
        assert!(csv.contains("noop,ours,10000,0.100\n"), "{csv}");
        assert_eq!(csv.lines().count(), 4);
        let page = growth.page();
        assert!(
            page.contains("<polyline") && page.contains("</html>"),
            "{page}"
        );
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![3.0, 900.0, 1.0]) - 3.0).abs() < 1e-9);
        assert!(median(Vec::new()).abs() < 1e-9);
    }
}
