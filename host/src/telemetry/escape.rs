//! Text in a log, made harmless to the screen that shows it.

use std::fmt::Write as _;

/// JSON text with what acts on a screen escaped: DEL and C1, marks and overrides of direction, and separators that some
/// viewers treat as line ends. In JSON these occur only in strings, where an escape means the same.
pub(super) fn escaped(json: String) -> String {
    let acts = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !json.contains(acts) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}
