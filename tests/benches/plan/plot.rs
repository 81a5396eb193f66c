//! A plot of how time grows with records, as SVG. Both axes are logarithmic.

use crate::report::Row;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;

/// The powers of ten that the axes show: of records, and of microseconds.
const RECORDS: (f64, f64) = (0.0, 4.0);
const MICROSECONDS: (f64, f64) = (1.0, 7.0);

const COLOURS: [&str; 6] = [
    "#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#666666",
];

/// A line for each subject, over all events that have records.
pub fn growth(rows: &[&Row]) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" font-size=\"12\" font-family=\"sans-serif\">\n"
    );
    axes(&mut svg);
    let subjects = rows.first().map_or(0, |row| row.subjects.len());
    for at in 0..subjects {
        let colour = COLOURS[at % COLOURS.len()];
        let mut line = String::new();
        for row in rows.iter().filter(|row| row.event.records > 0) {
            let micros = row.subjects[at].1.wall().middle.as_secs_f64() * 1e6;
            let (x, y) = (across(row.event.records as f64), up(micros));
            write!(line, "{x:.1},{y:.1} ").expect("text");
        }
        let (name, height) = (&rows[0].subjects[at].0, MARGIN + 16.0 * at as f64);
        write!(
            svg,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{}\" y=\"{height}\" fill=\"{colour}\">{name}</text>\n",
            MARGIN + 10.0
        )
        .expect("text");
    }
    svg + "</svg>"
}

fn axes(svg: &mut String) {
    let (right, bottom) = (WIDTH - MARGIN, HEIGHT - MARGIN);
    for power in RECORDS.0 as i32..=RECORDS.1 as i32 {
        let x = across(10_f64.powi(power));
        writeln!(
            svg,
            "<path d=\"M{x:.1} {MARGIN}V{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            10_i32.pow(power.unsigned_abs())
        )
        .expect("text");
    }
    for power in MICROSECONDS.0 as i32..=MICROSECONDS.1 as i32 {
        let y = up(10_f64.powi(power));
        writeln!(
            svg,
            "<path d=\"M{MARGIN} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            MARGIN - 6.0,
            y + 4.0,
            ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"][power as usize]
        )
        .expect("text");
    }
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">records</text>",
        WIDTH / 2.0,
        HEIGHT - 16.0
    )
    .expect("text");
}

fn across(records: f64) -> f64 {
    MARGIN + (WIDTH - 2.0 * MARGIN) * (records.log10() - RECORDS.0) / (RECORDS.1 - RECORDS.0)
}

fn up(micros: f64) -> f64 {
    let share = (micros.log10() - MICROSECONDS.0) / (MICROSECONDS.1 - MICROSECONDS.0);
    HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * share
}
