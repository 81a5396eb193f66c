//! What a component says of itself. It goes into log lines, metrics and terminals, so it has to be short and plain.

use crate::contract::Description;

/// The longest name, version or schema generation, in characters.
const LONGEST: usize = 64;

/// The most schema generations.
const MOST: usize = 64;

/// Passes if every text is printable ASCII, and not too long; else says which is not.
pub(super) fn check(description: &Description) -> Result<(), String> {
    let Description {
        name,
        version,
        generations,
    } = description;
    if generations.len() > MOST {
        return Err(format!("it names more than {MOST} schema generations"));
    }
    let generations = generations
        .iter()
        .map(|generation| ("one of its schema generations", generation));
    let mut texts = [("its name", name), ("its version", version)]
        .into_iter()
        .chain(generations);
    match texts.find(|(_, text)| !is_plain(text)) {
        None => Ok(()),
        Some((what, _)) => Err(format!(
            "{what} is not a text of 1 to {LONGEST} printable ASCII characters"
        )),
    }
}

fn is_plain(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, version: &str, generations: &[&str]) -> Result<(), String> {
        check(&Description {
            name: name.into(),
            version: version.into(),
            generations: generations.iter().map(ToString::to_string).collect(),
        })
    }

    #[test]
    fn texts_are_short_and_plain() {
        let (longest, too_long) = ("~".repeat(LONGEST), "~".repeat(LONGEST + 1));
        assert_eq!(described("weir logic", "0.1.0", &["v0.8", "v0.10"]), Ok(()));
        assert_eq!(described(&longest, &longest, &[&longest]), Ok(()));
        for text in [too_long.as_str(), "", "a\u{1b}[2J", "a\nb", "a\u{7f}", "wé"] {
            for (said, refused) in [
                ("its name is", described(text, "0.1.0", &[])),
                ("its version is", described("weir", text, &[])),
                (
                    "one of its schema",
                    described("weir", "0.1.0", &["v", text]),
                ),
            ] {
                let reason = refused.unwrap_err();
                assert!(reason.starts_with(said), "{text:?}: {reason}");
            }
        }
        let many = ["v"; MOST + 1];
        assert!(described("weir", "0.1.0", &many[..MOST]).is_ok());
        assert!(described("weir", "0.1.0", &many).is_err());
    }
}
