//! The table as one HTML page with a plot for each row; nothing is loaded from elsewhere.

use std::fmt::Write;

use crate::result::{Line, Table, goal_text, short};
use crate::rows::{Unit, Versus};
use crate::target::Kind;

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:72em;color:#222;background:#fff}\
h1{font-size:1.4em}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}\
th:first-child,td:first-child,td.goal{text-align:left}td.reached{color:#176b2c}td.missed{color:#a8201a}\
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(22em,1fr));gap:1.2em;margin-top:2em}\
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3em}svg{width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:#222}";

/// Renders `table`.
pub(crate) fn render(table: &Table) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Side by side</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Server CPU side by side</h1>\n<p>{}</p>\n<table><thead><tr><th>operation</th>",
        escaped(&table.method)
    );
    // Writing to a string cannot fail.
    for server in &table.servers {
        let _ = write!(page, "<th>{}</th><th>wall</th>", escaped(server.title()));
    }
    page.push_str("<th>/ Courier</th><th>/ best</th><th>goal</th></tr></thead><tbody>\n");
    for line in &table.lines {
        table_row(&mut page, table, line);
    }
    page.push_str("</tbody></table>\n<div class=\"plots\">\n");
    for line in &table.lines {
        plot(&mut page, table, line);
    }
    page.push_str("</div>\n</body></html>\n");
    page
}

fn table_row(page: &mut String, table: &Table, line: &Line) {
    let _ = write!(page, "<tr><td>{}</td>", escaped(line.row.title));
    for cell in &line.cells {
        match cell.median() {
            Some(median) => {
                let _ = write!(
                    page,
                    "<td>{}</td><td>{}</td>",
                    short(median.cpu),
                    short(median.wall)
                );
            }
            None => {
                let why = escaped(cell.error.as_deref().unwrap_or("not built yet"));
                let _ = write!(page, "<td title=\"{why}\">n/a</td><td>n/a</td>");
            }
        }
    }
    for versus in [Versus::Courier, Versus::Best] {
        let ratio = table.ratio(line, versus, line.row.goal.wall);
        let _ = write!(
            page,
            "<td>{}</td>",
            ratio.map_or_else(|| "n/a".to_owned(), short)
        );
    }
    let class = match table.reached(line) {
        Some(true) => "goal reached",
        Some(false) => "goal missed",
        None => "goal",
    };
    let _ = writeln!(
        page,
        "<td class=\"{class}\">{}</td></tr>",
        escaped(&goal_text(line.row))
    );
}

/// Bars, the longest as wide as the plot; the thin bar is wall time.
fn plot(page: &mut String, table: &Table, line: &Line) {
    const LEFT: f64 = 96.0;
    const WIDTH: f64 = 220.0;
    const STEP: f64 = 26.0;
    let medians: Vec<_> = table
        .servers
        .iter()
        .map(|&server| (server, table.median(line, server)))
        .collect();
    let longest = medians
        .iter()
        .filter_map(|(_, median)| median.map(|median| median.cpu.max(median.wall)))
        .fold(0.0, f64::max);
    if longest <= 0.0 {
        return;
    }
    let rows = u32::try_from(medians.len()).unwrap_or(0);
    let height = f64::from(rows) * STEP;
    let unit = match line.row.unit {
        Unit::Milliseconds => "ms CPU, thin: wall",
        Unit::Kibibytes => "KiB private, thin: proportional",
    };
    let _ = write!(
        page,
        "<figure><figcaption>{} <small>({unit})</small></figcaption>\
         <svg viewBox=\"0 0 380 {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(line.row.title),
        escaped(line.row.title)
    );
    let mut top = 0.0;
    for (server, median) in medians {
        let colour = match server {
            Kind::Ours => "#1f6fb2",
            Kind::Courier => "#b8860b",
            Kind::Dovecot => "#7a7a7a",
            Kind::DovecotTuned => "#a9a9a9",
        };
        let baseline = top + 14.0;
        let _ = write!(
            page,
            "<text x=\"0\" y=\"{baseline}\">{}</text>",
            escaped(server.title())
        );
        if let Some(median) = median {
            let cpu = median.cpu / longest * WIDTH;
            let wall = median.wall / longest * WIDTH;
            let _ = write!(
                page,
                "<rect x=\"{LEFT}\" y=\"{}\" width=\"{cpu:.1}\" height=\"13\" fill=\"{colour}\"/>\
                 <rect x=\"{LEFT}\" y=\"{}\" width=\"{wall:.1}\" height=\"3\" fill=\"{colour}\" opacity=\".45\"/>\
                 <text x=\"{:.1}\" y=\"{baseline}\">{}</text>",
                top + 3.0,
                top + 18.0,
                LEFT + cpu + 5.0,
                short(median.cpu)
            );
        } else {
            let _ = write!(page, "<text x=\"{LEFT}\" y=\"{baseline}\">n/a</text>");
        }
        top += STEP;
    }
    page.push_str("</svg></figure>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
