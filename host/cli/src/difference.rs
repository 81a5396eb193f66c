//! How a difference between two plans is printed.

use std::io::{self, Write};
use weir::diff::{Difference, Side};

/// Prints a difference as a person reads a diff.
///
/// # Errors
/// Those of `out`.
pub fn print(difference: &Difference, out: &mut dyn Write) -> io::Result<()> {
    let Difference {
        side,
        subject,
        details,
    } = difference;
    writeln!(out, "{} {subject}", mark(*side))?;
    for (side, detail) in details {
        writeln!(out, "{}   {detail}", mark(*side))?;
    }
    Ok(())
}

fn mark(side: Side) -> char {
    match side {
        Side::Old => '-',
        Side::New => '+',
        Side::Both => ' ',
    }
}
