//! Values as they can be shown to a person.

/// How much of a value is shown.
const MAX_CHARS: usize = 200;

/// A value without what acts on a terminal, and without the end of a long one.
pub fn printable(value: &str) -> String {
    let mut shown = String::new();
    for c in value.chars().take(MAX_CHARS) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if value.chars().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_so_that_it_harms_no_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable(&"ü".repeat(201)), "ü".repeat(200) + "…");
    }
}
