//! Halves of surrogate pairs in JSON text.
//!
//! JSON can write `"\ud800"`, which is not a character and which no string can hold. Most parsers refuse it, and so
//! does this program wherever a decision depends on the text. Text that is only passed on gets U+FFFD instead.

use alloc::{borrow::Cow, string::String};

/// An escape of two bytes, such as `\n`; one of six, such as `\u00e9`.
const SHORT: usize = 2;
const LONG: usize = 6;

/// JSON text in which every half of a surrogate pair is replaced by U+FFFD; borrowed if there is none.
pub fn replaced(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = json;
    // How much of `rest` has been looked at and is still to be copied.
    let mut pending = 0;
    while let Some(at) = rest.get(pending..).and_then(|text| text.find('\\')) {
        let start = pending.saturating_add(at);
        let escape = rest.get(start..).unwrap_or_default();
        let (length, is_half) = match unit(escape) {
            Some(0xd800..0xdc00) => match escape.get(LONG..).and_then(unit) {
                Some(0xdc00..0xe000) => (LONG.saturating_mul(2), false),
                _ => (LONG, true),
            },
            Some(0xdc00..0xe000) => (LONG, true),
            Some(_) => (LONG, false),
            None => (SHORT, false),
        };
        let end = start.saturating_add(length);
        if is_half {
            out.push_str(rest.get(..start).unwrap_or_default());
            out.push_str("\\ufffd");
            rest = rest.get(end..).unwrap_or_default();
            pending = 0;
        } else {
            pending = end;
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(json);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The UTF-16 unit of an escape `\uxxxx` at the start of a text.
fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_all_else_stays() {
        for (json, expected) in [
            (r#""a\ud800b""#, r#""a\ufffdb""#),
            (r#""\uD800""#, r#""\ufffd""#),
            (r#""\udc00\ud800""#, r#""\ufffd\ufffd""#),
            (
                r#""\ud800\ud83d\ude00\udfff""#,
                r#""\ufffd\ud83d\ude00\ufffd""#,
            ),
            (r#""\ud800\n\ud800A""#, r#""\ufffd\n\ufffdA""#),
            (r#"["\\\ud800","\ud800"]"#, r#"["\\\ufffd","\ufffd"]"#),
            (r#""é\ud800é""#, r#""é\ufffdé""#),
        ] {
            let replaced = replaced(json);
            assert_eq!(replaced, expected);
            assert!(
                serde_json::from_str::<serde_json::Value>(&replaced).is_ok(),
                "{replaced}"
            );
        }
        for json in [
            r#""\ud83d\ude00""#,
            r#""\\ud800""#,
            r#""\\\\ud800\"\/\b""#,
            r#""é\u00e9\ue000\ufffd""#,
            "{}",
            "",
            "\\",
            "\\u",
            "\\ud8",
            "\\ué00",
            "\\é",
        ] {
            assert!(
                matches!(replaced(json), Cow::Borrowed(text) if text == json),
                "{json}"
            );
        }
    }
}
