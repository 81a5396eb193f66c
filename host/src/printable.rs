//! Text from outside, made fit for a message.

/// The longest text that is shown whole, in characters.
const MAX_CHARACTERS: usize = 200;

/// A value as a person can be shown it: a long one cut, and nothing in it that acts on a terminal.
pub fn printable(value: &str) -> String {
    let mut shown = String::new();
    for c in value.chars().take(MAX_CHARACTERS) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if value.chars().nth(MAX_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable(&"ü".repeat(201)), "ü".repeat(200) + "…");
    }
}
