//! Lines over the number of messages, both axes logarithmic, as SVG.

use std::fmt::Write;

use crate::result::short;
use crate::target::Kind;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 54.0;
const TOP: f64 = 10.0;

/// Where numbers between the powers of ten `from` and `to` lie, from 0 to 1.
fn place(value: f64, from: f64, to: f64) -> f64 {
    (value.log10() - from) / (to - from).max(1.0)
}

/// The powers of ten that enclose all numbers.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        least = least.min(value);
        most = most.max(value);
    }
    (most > 0.0).then(|| {
        let from = least.log10().floor();
        (from, most.log10().ceil().max(from + 1.0))
    })
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "#1f6fb2",
        Kind::Courier => "#b8860b",
        Kind::Dovecot => "#7a7a7a",
        Kind::DovecotTuned => "#b0b0b0",
    }
}

/// One plot; nothing if there are no numbers.
pub(super) fn figure(title: &str, lines: &[(Kind, Vec<(f64, f64)>)]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let Some((from, to)) = range(points().map(|(_, value)| *value)) else {
        return String::new();
    };
    let Some((least, most)) = range(points().map(|(messages, _)| *messages)) else {
        return String::new();
    };
    let x = |messages: f64| LEFT + place(messages, least, most) * WIDTH;
    let y = |value: f64| TOP + (1.0 - place(value, from, to)) * HEIGHT;
    let (width, height) = (LEFT + WIDTH + 20.0, TOP + HEIGHT + 60.0);
    let mut svg = format!(
        "<figure><figcaption>{title}</figcaption>\
         <svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">"
    );
    // Writing to a string cannot fail.
    let mut power = from;
    while power <= to {
        let at = y(10_f64.powf(power));
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            at + 4.0,
            short(10_f64.powf(power))
        );
        power += 1.0;
    }
    let mut sizes: Vec<f64> = points().map(|(messages, _)| *messages).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for messages in sizes {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{messages}</text>",
            x(messages),
            TOP + HEIGHT + 18.0
        );
    }
    for (number, (kind, points)) in (0_u32..).zip(lines) {
        let line: Vec<String> = points
            .iter()
            .filter(|(_, value)| *value > 0.0)
            .map(|&(messages, value)| format!("{:.1},{:.1}", x(messages), y(value)))
            .collect();
        let at = LEFT + f64::from(number) * 80.0;
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{at}\" y=\"{}\" style=\"fill:{colour}\">{}</text>",
            line.join(" "),
            TOP + HEIGHT + 42.0,
            kind.title(),
            colour = colour(*kind)
        );
    }
    svg.push_str("</svg></figure>\n");
    svg
}

/// The page around the plots; nothing is loaded from elsewhere.
pub(super) fn page(plots: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Growth</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         body{{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:72em;color:#222;background:#fff}}\
         main{{display:grid;grid-template-columns:repeat(auto-fill,minmax(22em,1fr));gap:1.2em}}\
         figure{{margin:0}}figcaption{{font-weight:600}}svg{{width:100%;height:auto}}\
         text{{font:11px system-ui,sans-serif;fill:#222}}</style></head><body>\n\
         <h1>What grows with the mailbox</h1>\n\
         <p>Over the number of messages, both logarithmic; a line that rises is a cost of what is there, not of what \
         has changed.</p>\n<main>\n{plots}</main></body></html>\n"
    )
}
