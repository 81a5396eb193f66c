//! What a component says of itself. It goes into log lines, metrics and terminals, so it has to be short and plain.

use super::settings::allows;
use crate::contract::{Allowed, Description, OptionDescription, Term};
use std::collections::HashSet;

/// The longest name, version, schema generation or value of an option, in characters.
const LONGEST: usize = 64;

/// The longest sentence about a name, in characters.
const LONGEST_SENTENCE: usize = 512;

/// The most schema generations, windows, corrections, options, or values of an option.
const MOST: usize = 64;

/// Passes if every text is printable ASCII and not too long, and every name is one that a setting can hold; else says
/// what is not.
pub(super) fn check(description: &Description) -> Result<(), String> {
    let Description {
        name,
        version,
        generations,
        windows,
        corrections,
        options,
    } = description;
    check_text("its name", name)?;
    check_text("its version", version)?;
    check_count("schema generations", generations.len())?;
    generations
        .iter()
        .try_for_each(|generation| check_text("one of its schema generations", generation))?;
    check_names("windows", terms(windows))?;
    check_names("corrections", terms(corrections))?;
    let named = options
        .iter()
        .map(|option| (option.name.as_str(), option.description.as_str()));
    check_names("options", named)?;
    options.iter().try_for_each(check_option)
}

fn terms(terms: &[Term]) -> impl ExactSizeIterator<Item = (&str, &str)> {
    terms
        .iter()
        .map(|term| (term.name.as_str(), term.description.as_str()))
}

/// Passes if each has a name of its own, and a sentence.
fn check_names<'a>(
    kind: &str,
    named: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<(), String> {
    check_count(kind, named.len())?;
    let mut names = HashSet::new();
    for (name, sentence) in named {
        if !is_name(name) {
            return Err(format!(
                "one of its {kind} is not named with 1 to {LONGEST} small letters, digits and hyphens"
            ));
        }
        if !names.insert(name) {
            return Err(format!("it lists `{name}` twice among its {kind}"));
        }
        if !is_plain(sentence, LONGEST_SENTENCE) {
            return Err(format!(
                "it describes `{name}` with a text that is not of 1 to {LONGEST_SENTENCE} printable ASCII characters"
            ));
        }
    }
    Ok(())
}

/// Passes if the option takes what it says is its default.
fn check_option(option: &OptionDescription) -> Result<(), String> {
    let OptionDescription {
        name,
        default,
        allowed,
        ..
    } = option;
    let what = format!("a value of its option `{name}`");
    if let Allowed::OneOf(values) = allowed {
        check_count(&format!("values of its option `{name}`"), values.len())?;
        values
            .iter()
            .try_for_each(|value| check_text(&what, value))?;
    }
    if !default.is_empty() {
        check_text(&what, default)?;
    }
    if allows(allowed, default) {
        Ok(())
    } else {
        Err(format!("its option `{name}` does not take its own default"))
    }
}

fn check_count(kind: &str, count: usize) -> Result<(), String> {
    if count > MOST {
        return Err(format!("it names more than {MOST} {kind}"));
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if is_plain(text, LONGEST) {
        return Ok(());
    }
    Err(format!(
        "{what} is not a text of 1 to {LONGEST} printable ASCII characters"
    ))
}

fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a setting can hold the name: neither a comma nor an equals sign, nor what means all or none.
pub fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !["all", "none"].contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, version: &str, generations: &[&str]) -> Result<(), String> {
        check(&Description {
            name: name.into(),
            version: version.into(),
            generations: generations.iter().map(ToString::to_string).collect(),
            windows: Vec::new(),
            corrections: Vec::new(),
            options: Vec::new(),
        })
    }

    fn term(name: &str, description: &str) -> Term {
        Term {
            name: name.into(),
            description: description.into(),
        }
    }

    fn listing(windows: Vec<Term>, options: Vec<OptionDescription>) -> Result<(), String> {
        check(&Description {
            name: "weir".into(),
            version: "1".into(),
            generations: Vec::new(),
            windows,
            corrections: Vec::new(),
            options,
        })
    }

    #[test]
    fn names_are_such_as_a_setting_can_hold_each_once_and_with_a_sentence() {
        assert_eq!(listing(vec![term("week-2", "A week.")], vec![]), Ok(()));
        for name in [
            "",
            "Weekly",
            "a b",
            "a,b",
            "a=b",
            "all",
            "none",
            "\u{1b}[2J",
            &"w".repeat(65),
        ] {
            let refused = listing(vec![term(name, "A week.")], vec![]).unwrap_err();
            assert!(
                refused.starts_with("one of its windows is not named"),
                "{refused}"
            );
        }
        let twice = listing(vec![term("w", "A week."), term("w", "Another.")], vec![]);
        assert_eq!(twice.unwrap_err(), "it lists `w` twice among its windows");
        for sentence in ["", "a\u{1b}[2J", &"w".repeat(513)] {
            let refused = listing(vec![term("w", sentence)], vec![]).unwrap_err();
            assert!(
                refused.starts_with("it describes `w` with a text"),
                "{refused}"
            );
        }
        let many: Vec<_> = (0..65)
            .map(|at| term(&format!("w{at}"), "A week."))
            .collect();
        assert_eq!(
            listing(many, vec![]).unwrap_err(),
            "it names more than 64 windows"
        );
    }

    #[test]
    fn an_option_takes_its_own_default() {
        use crate::contract::Bounds;
        let option = |default: &str, allowed| OptionDescription {
            name: "o".into(),
            description: "An option.".into(),
            default: default.into(),
            allowed,
        };
        let one_of =
            |values: &[&str]| Allowed::OneOf(values.iter().map(ToString::to_string).collect());
        let number = || Allowed::WholeNumber(Bounds { least: 1, most: 9 });
        for (default, allowed) in [
            ("a", one_of(&["a", "b"])),
            ("9", number()),
            ("", Allowed::AnyText),
        ] {
            assert_eq!(listing(vec![], vec![option(default, allowed)]), Ok(()));
        }
        let not_its_own = "its option `o` does not take its own default";
        let not_plain = "a value of its option `o` is not a text";
        for (default, allowed, problem) in [
            ("c", one_of(&["a", "b"]), not_its_own),
            ("0", number(), not_its_own),
            ("a", one_of(&["a", "\n"]), not_plain),
            ("\n", Allowed::AnyText, not_plain),
        ] {
            let refused = listing(vec![], vec![option(default, allowed)]).unwrap_err();
            assert!(refused.starts_with(problem), "{refused}");
        }
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
