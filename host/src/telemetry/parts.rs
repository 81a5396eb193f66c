//! Lines that are too long for CloudWatch, in parts.
//!
//! CloudWatch cuts or refuses an event that is longer than its limit. Without a bucket, a line can be the only copy of a
//! record, so a long line is written as numbered parts, each a line of its own. Their pieces in order are the line.

use crate::digest;
use serde_json::Value;

/// The maximum length of a line in bytes, line feed included: CloudWatch's limit in accounts of any age, less what it counts for the event itself.
pub(super) const MAX_BYTES: usize = 256 * 1024 - 26;

/// Room for a part's own fields and its end.
const FIELDS: usize = 128;

/// The line itself if it is short enough, else its parts. Each begins with `head`, the inside of a JSON object,
/// which has to be short.
///
/// A part's `line_id` is the beginning of the SHA-256 of the line, so that what was put together can be checked.
pub(super) fn of(line: String, head: impl FnOnce() -> String) -> Vec<String> {
    if line.len() < MAX_BYTES {
        return vec![line];
    }
    let head = head();
    let line_id = digest::beginning(line.as_bytes(), 8);
    let pieces = pieces(&line, MAX_BYTES.saturating_sub(head.len() + FIELDS));
    let parts = pieces.len();
    let part = |(piece, part): (&str, usize)| {
        let piece = Value::from(piece);
        format!(
            "{{{head},\"line_id\":\"{line_id}\",\"part\":{part},\"parts\":{parts},\"piece\":{piece}}}"
        )
    };
    pieces.into_iter().zip(1..).map(part).collect()
}

/// The text in pieces, none of which needs more than `room` bytes as a JSON string.
fn pieces(mut text: &str, room: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let mut size = 0;
        let full = text.char_indices().find(|(_, c)| {
            size += escaped_size(*c);
            size > room
        });
        // One character always fits.
        let end = full.map_or(text.len(), |(at, c)| at.max(c.len_utf8()));
        let (piece, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// The bytes that a character takes in a JSON string.
fn escaped_size(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        '\0'..='\x1f' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> String {
        r#""level":"ERROR""#.into()
    }

    /// The pieces of parts, put together as the documentation says.
    fn joined(parts: &[String]) -> String {
        let pieces = parts.iter().zip(1..).map(|(line, number)| {
            let part: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&part["part"], &part["parts"]),
                (&number.into(), &parts.len().into())
            );
            part["piece"].as_str().unwrap().to_owned()
        });
        pieces.collect()
    }

    #[test]
    fn a_line_is_whole_up_to_the_limit_and_in_parts_beyond() {
        for (length, parts) in [
            (MAX_BYTES - 1, 1),
            (MAX_BYTES, 2),
            (2 * MAX_BYTES, 3),
            (5_000_000, 20),
        ] {
            let line = "x".repeat(length);
            assert_eq!(of(line, head).len(), parts, "{length}");
        }
    }

    #[test]
    fn no_part_is_longer_than_the_limit_whatever_it_has_to_escape() {
        for filling in ["x", "\"", "\\", "\u{1}", "ü", "😀", "a\"😀\\"] {
            let line = filling.repeat(600_000 / filling.len());
            let parts = of(line.clone(), head);
            assert!(parts.len() > 1, "{filling}");
            for part in &parts {
                assert!(part.len() < MAX_BYTES, "{filling}: {}", part.len());
            }
            assert!(joined(&parts) == line, "{filling}");
        }
    }

    #[test]
    fn the_parts_of_one_line_have_one_id_which_is_its_digest() {
        let line = "y".repeat(MAX_BYTES);
        let digest = digest::hex(&digest::sha256(line.as_bytes())[..8]);
        for part in of(line, head) {
            let part: Value = serde_json::from_str(&part).unwrap();
            assert_eq!(part["line_id"], digest.as_str());
        }
    }
}
