//! Writing JSON in ASCII, without spaces, as consumers of the archive know it.

use alloc::{borrow::Cow, format, string::String};
use serde_json::value::RawValue;

/// Writes a DynamoDB number: an integer without plus sign or leading zeros, another number as it is if JSON has such
/// a number, and anything else as a string, never as `NaN` or `Infinity`.
pub fn push_decimal(out: &mut String, decimal: &str) {
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", decimal.strip_prefix('+').unwrap_or(decimal)),
    };
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_integer {
        let digits = digits.trim_start_matches('0');
        out.push_str(if digits.is_empty() { "" } else { sign });
        out.push_str(if digits.is_empty() { "0" } else { digits });
    } else if serde_json::from_str::<&RawValue>(decimal).is_ok_and(|raw| {
        raw.get()
            .starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    }) {
        out.push_str(decimal);
    } else {
        push_string(out, decimal);
    }
}

/// Writes JSON text without white space.
pub fn push_json(out: &mut String, json: &str) {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c.is_ascii_whitespace()) {
        let (plain, behind) = rest.split_at(at);
        out.push_str(plain);
        let length = if behind.starts_with('"') {
            string_length(behind)
        } else {
            1
        };
        let (token, behind) = behind.split_at_checked(length).unwrap_or((behind, ""));
        if token.starts_with('"') {
            // Halves of surrogate pairs are gone by now; should a string be unreadable all the same, the JSON stays valid.
            let text = serde_json::from_str::<Cow<'_, str>>(token).unwrap_or_default();
            push_string(out, &text);
        }
        rest = behind;
    }
    out.push_str(rest);
}

/// The length of the JSON string that the text begins with.
fn string_length(json: &str) -> usize {
    let mut is_escaped = true;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at.saturating_add(1),
            _ => {}
        }
    }
    json.len()
}

/// Writes a JSON string, with the escapes that the archive's consumers have always seen.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn strings_are_ascii_with_lower_case_escapes() {
        for (text, json) in [
            ("plain /", r#""plain /""#),
            (
                "caf\u{e9} \u{1f600} \"q\" \\ \u{2028}",
                r#""caf\u00e9 \ud83d\ude00 \"q\" \\ \u2028""#,
            ),
            ("\u{7f}\u{1}\n\r\t\u{8}\u{c}", r#""\u007f\u0001\n\r\t\b\f""#),
        ] {
            assert_eq!(written(|out| push_string(out, text)), json);
        }
    }

    #[test]
    fn numbers_keep_every_digit_and_are_always_valid_json() {
        for (decimal, json) in [
            ("100", "100"),
            ("-0", "0"),
            ("007", "7"),
            ("+5", "5"),
            ("0.5", "0.5"),
            (
                "3.14159265358979323846264338327950288419",
                "3.14159265358979323846264338327950288419",
            ),
            ("1E+40", "1E+40"),
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999",
            ),
            ("Infinity", r#""Infinity""#),
            ("NaN", r#""NaN""#),
            (".5", r#"".5""#),
            ("", r#""""#),
            ("true", r#""true""#),
        ] {
            assert_eq!(written(|out| push_decimal(out, decimal)), json, "{decimal}");
        }
    }

    #[test]
    fn other_json_is_passed_on_without_spaces() {
        let json = "{ \"SS\" : [ \"a b\", \"\\u00E9\\/\\\"\" ] ,\"n\": 1.50}";
        assert_eq!(
            written(|out| push_json(out, json)),
            r#"{"SS":["a b","\u00e9/\""],"n":1.50}"#
        );
    }
}
