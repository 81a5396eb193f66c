//! What the operator asks of a component, and what that comes to for one component.
//!
//! The host has no list of windows, corrections or options of its own: a component says which it understands, and what
//! the operator named is held against that, at the start, at a swap and for the shadow.

use crate::contract::{
    self, Allowed, Bounds, Description, Level, OptionDescription, OptionValue, Term,
};
use std::fmt;

/// The correction without which no maximum of shards holds.
const SHARD_PRESSURE: &str = "shard-pressure";
/// The option by which a component bounds the shards of a bucket.
pub const MAX_SHARD_COUNT: &str = "max-shard-count";
/// The option that says up to where a component refills a bucket.
pub const CEILING: &str = "ceiling";
/// The maximum of shards where the operator names none.
const USUAL_MAX_SHARD_COUNT: u32 = 32;

/// What the operator asks of whichever component plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicSettings {
    /// The windows to keep, each once.
    pub windows: Vec<String>,
    /// How long a snapshot lives, in days.
    pub snapshot_ttl_days: u32,
    /// Whether expired audit events go to the archive.
    pub archive: bool,
    /// Corrected rules in force.
    pub corrections: Corrections,
    /// The component's own options, each once.
    pub options: Vec<OptionSetting>,
    /// The lowest level worth building an entry for.
    pub level: Level,
}

/// Which corrected rules are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corrections {
    /// All that the component lists, whichever these are.
    All,
    /// These.
    Named(Vec<String>),
}

/// An option of the component's, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionSetting {
    /// The option.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The variable by which the operator named it. None: it is the host's default, and passed on only to a component
    /// that has such an option.
    pub variable: Option<&'static str>,
}

/// Hours and days for 90 days, all corrections, and the options that the program has settings of its own for.
impl Default for LogicSettings {
    fn default() -> Self {
        let usual = |name: &str, value: String| OptionSetting {
            name: name.into(),
            value,
            variable: None,
        };
        Self {
            windows: ["hourly", "daily"].map(Into::into).into(),
            snapshot_ttl_days: 90,
            archive: false,
            corrections: Corrections::All,
            options: vec![
                usual(CEILING, "capacity".into()),
                usual(MAX_SHARD_COUNT, USUAL_MAX_SHARD_COUNT.to_string()),
            ],
            level: Level::Info,
        }
    }
}

/// What the operator asks, in the names of one component.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the component is told.
    pub settings: contract::Settings,
    /// The most shards that a bucket may be doubled to; none where the operator has switched the maximum off. What the
    /// component lists has no say in it.
    pub max_shard_count: Option<u32>,
}

/// Something that the operator named and a component does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It has no such window, correction or option.
    #[error("it has no {kind} `{name}`, which {variable} ({flag}) names; it has {known}", flag = flag(variable), known = listed(known))]
    Unknown {
        /// What was named.
        kind: Kind,
        /// Its name.
        name: String,
        /// The variable that names it.
        variable: &'static str,
        /// The names of that kind that the component has.
        known: Vec<String>,
    },
    /// It has the option, and does not take the value.
    #[error("its option `{name}` does not take `{value}`, which {variable} ({flag}) asks for; allowed: {allowed}", flag = flag(variable))]
    NotAllowed {
        /// The option.
        name: String,
        /// The value.
        value: String,
        /// The variable that names it.
        variable: &'static str,
        /// What is allowed.
        allowed: String,
    },
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A length of time that usage is summed over.
    Window,
    /// A corrected rule.
    Correction,
    /// An option.
    Option,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Window => "window",
            Self::Correction => "correction",
            Self::Option => "option",
        })
    }
}

impl LogicSettings {
    /// Asks for no window, no correction and no option, so that every component fits.
    pub fn nothing() -> Self {
        Self {
            windows: Vec::new(),
            corrections: Corrections::Named(Vec::new()),
            options: Vec::new(),
            ..Self::default()
        }
    }

    /// Names a value for an option, in the place of the default if there is one.
    pub fn set_option(&mut self, option: OptionSetting) {
        self.options.retain(|own| own.name != option.name);
        self.options.push(option);
    }

    /// What this comes to for a component.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn resolve(&self, description: &Description) -> Result<Resolved, Mismatch> {
        let windows = known(
            Kind::Window,
            "SNAPSHOT_WINDOWS",
            &self.windows,
            &description.windows,
        )?;
        let corrections = match &self.corrections {
            Corrections::All => names(&description.corrections),
            Corrections::Named(named) => {
                let described = &description.corrections;
                known(Kind::Correction, "CORRECTIONS", named, described)?
            }
        };
        let mut options = Vec::new();
        for option in &self.options {
            if let Some(value) = resolve_option(option, &description.options)? {
                options.push(value);
            }
        }
        Ok(Resolved {
            settings: contract::Settings {
                windows,
                snapshot_ttl_days: self.snapshot_ttl_days,
                archive: self.archive,
                corrections,
                options,
                level: self.level,
            },
            max_shard_count: self.max_shard_count(),
        })
    }

    /// The same without the names that the component does not know. Gives these, too.
    pub fn resolve_known(&self, description: &Description) -> (Resolved, Vec<Mismatch>) {
        let mut asked = self.clone();
        let mut left_out = Vec::new();
        loop {
            let mismatch = match asked.resolve(description) {
                Ok(resolved) => return (resolved, left_out),
                Err(mismatch) => mismatch,
            };
            match &mismatch {
                Mismatch::Unknown {
                    kind: Kind::Window,
                    name,
                    ..
                } => asked.windows.retain(|own| own != name),
                Mismatch::Unknown {
                    kind: Kind::Correction,
                    name,
                    ..
                } => {
                    if let Corrections::Named(named) = &mut asked.corrections {
                        named.retain(|own| own != name);
                    }
                }
                Mismatch::Unknown { name, .. } | Mismatch::NotAllowed { name, .. } => {
                    asked.options.retain(|own| own.name != *name);
                }
            }
            left_out.push(mismatch);
        }
    }

    fn max_shard_count(&self) -> Option<u32> {
        let holds = match &self.corrections {
            Corrections::All => true,
            Corrections::Named(named) => named.iter().any(|name| name == SHARD_PRESSURE),
        };
        let mut options = self.options.iter();
        let named = options.find(|option| option.name == MAX_SHARD_COUNT);
        let count = named.and_then(|option| option.value.parse().ok());
        holds.then_some(count.unwrap_or(USUAL_MAX_SHARD_COUNT))
    }
}

/// The names, if all of them are described.
fn known(
    kind: Kind,
    variable: &'static str,
    named: &[String],
    described: &[Term],
) -> Result<Vec<String>, Mismatch> {
    let is_known = |name: &str| described.iter().any(|term| term.name == name);
    match named.iter().find(|name| !is_known(name)) {
        None => Ok(named.to_vec()),
        Some(name) => Err(Mismatch::Unknown {
            kind,
            name: name.clone(),
            variable,
            known: names(described),
        }),
    }
}

fn names(terms: &[Term]) -> Vec<String> {
    terms.iter().map(|term| term.name.clone()).collect()
}

fn resolve_option(
    option: &OptionSetting,
    described: &[OptionDescription],
) -> Result<Option<OptionValue>, Mismatch> {
    let OptionSetting {
        name,
        value,
        variable,
    } = option;
    let found = described.iter().find(|described| described.name == *name);
    match (found, variable) {
        (Some(described), _) if allows(&described.allowed, value) => Ok(Some(OptionValue {
            name: name.clone(),
            value: value.clone(),
        })),
        // The component's default holds.
        (_, None) => Ok(None),
        (Some(described), Some(variable)) => Err(Mismatch::NotAllowed {
            name: name.clone(),
            value: value.clone(),
            variable,
            allowed: said(&described.allowed),
        }),
        (None, Some(variable)) => Err(Mismatch::Unknown {
            kind: Kind::Option,
            name: name.clone(),
            variable,
            known: described.iter().map(|option| option.name.clone()).collect(),
        }),
    }
}

/// Whether an option takes a value.
pub(super) fn allows(allowed: &Allowed, value: &str) -> bool {
    match allowed {
        Allowed::OneOf(values) => values.iter().any(|allowed| allowed == value),
        Allowed::WholeNumber(Bounds { least, most }) => {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse::<u64>().ok();
            is_plain && number.is_some_and(|number| (*least..=*most).contains(&number))
        }
        Allowed::AnyText => true,
    }
}

/// What an option takes, for a person.
pub fn said(allowed: &Allowed) -> String {
    match allowed {
        Allowed::OneOf(values) => values.join(", "),
        Allowed::WholeNumber(Bounds { least, most }) => {
            format!("a whole number from {least} to {most}")
        }
        Allowed::AnyText => "any text".into(),
    }
}

/// The flag that stands for a variable.
fn flag(variable: &str) -> String {
    format!("--{}", variable.to_lowercase().replace('_', "-"))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(names: &[&str]) -> Vec<Term> {
        let term = |name: &&str| Term {
            name: (*name).into(),
            description: "It is one.".into(),
        };
        names.iter().map(term).collect()
    }

    fn described() -> Description {
        Description {
            name: "weir".into(),
            version: "1".into(),
            generations: vec![],
            windows: terms(&["hourly", "weekly"]),
            corrections: terms(&["event-time", "whole-weeks"]),
            options: vec![
                option(
                    "first-weekday",
                    Allowed::OneOf(vec!["monday".into(), "sunday".into()]),
                ),
                option(
                    MAX_SHARD_COUNT,
                    Allowed::WholeNumber(Bounds { least: 1, most: 64 }),
                ),
                option("note", Allowed::AnyText),
            ],
        }
    }

    fn option(name: &str, allowed: Allowed) -> OptionDescription {
        OptionDescription {
            name: name.into(),
            description: "It is one.".into(),
            default: "1".into(),
            allowed,
        }
    }

    fn given(name: &str, value: &str, variable: Option<&'static str>) -> OptionSetting {
        OptionSetting {
            name: name.into(),
            value: value.into(),
            variable,
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_this_host_has_never_heard_of_are_passed_on() {
        let asked = LogicSettings {
            windows: texts(&["weekly", "hourly"]),
            corrections: Corrections::Named(texts(&["whole-weeks"])),
            options: vec![
                given("first-weekday", "sunday", Some("LOGIC_OPTIONS")),
                given("note", "", Some("LOGIC_OPTIONS")),
            ],
            ..LogicSettings::nothing()
        };
        let settings = asked.resolve(&described()).unwrap().settings;
        assert_eq!(settings.windows, ["weekly", "hourly"]);
        assert_eq!(settings.corrections, ["whole-weeks"]);
        let options = settings.options.iter();
        let options: Vec<_> = options
            .map(|option| (&*option.name, &*option.value))
            .collect();
        assert_eq!(options, [("first-weekday", "sunday"), ("note", "")]);
    }

    #[test]
    fn all_is_all_that_the_component_lists() {
        let asked = LogicSettings {
            corrections: Corrections::All,
            ..LogicSettings::nothing()
        };
        let resolved = asked.resolve(&described()).unwrap();
        assert_eq!(resolved.settings.corrections, ["event-time", "whole-weeks"]);
        // A component that does not list the correction does not escape the maximum by that.
        assert_eq!(resolved.max_shard_count, Some(32));
    }

    #[test]
    fn the_maximum_of_shards_is_the_operators() {
        for (named, options, expected) in [
            (
                &["shard-pressure"][..],
                vec![given(MAX_SHARD_COUNT, "8", None)],
                Some(8),
            ),
            (&["shard-pressure"], vec![], Some(32)),
            (&[], vec![given(MAX_SHARD_COUNT, "8", None)], None),
        ] {
            let asked = LogicSettings {
                corrections: Corrections::Named(texts(named)),
                options,
                ..LogicSettings::nothing()
            };
            assert_eq!(asked.max_shard_count(), expected);
        }
    }

    #[test]
    fn the_hosts_defaults_are_for_components_that_have_such_an_option() {
        let asked = LogicSettings {
            options: vec![
                given(CEILING, "capacity", None),
                given(MAX_SHARD_COUNT, "32", None),
            ],
            ..LogicSettings::nothing()
        };
        let settings = asked.resolve(&described()).unwrap().settings;
        assert_eq!(settings.options.len(), 1);
        assert_eq!(settings.options[0].name, MAX_SHARD_COUNT);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name_and_those_that_are_known_are_listed() {
        let nothing = LogicSettings::nothing;
        for (asked, problem) in [
            (
                LogicSettings {
                    windows: texts(&["hourly", "daily"]),
                    ..nothing()
                },
                "it has no window `daily`, which SNAPSHOT_WINDOWS (--snapshot-windows) names; it has hourly, weekly",
            ),
            (
                LogicSettings {
                    corrections: Corrections::Named(texts(&["idle-batches"])),
                    ..nothing()
                },
                "it has no correction `idle-batches`, which CORRECTIONS (--corrections) names; it has event-time, whole-weeks",
            ),
            (
                LogicSettings {
                    options: vec![given("x", "1", Some("LOGIC_OPTIONS"))],
                    ..nothing()
                },
                "it has no option `x`, which LOGIC_OPTIONS (--logic-options) names; it has first-weekday, max-shard-count, note",
            ),
            (
                LogicSettings {
                    options: vec![given(MAX_SHARD_COUNT, "65", Some("MAX_SHARD_COUNT"))],
                    ..nothing()
                },
                "its option `max-shard-count` does not take `65`, which MAX_SHARD_COUNT (--max-shard-count) asks for; allowed: a whole number from 1 to 64",
            ),
            (
                LogicSettings {
                    options: vec![given("first-weekday", "friday", Some("LOGIC_OPTIONS"))],
                    ..nothing()
                },
                "its option `first-weekday` does not take `friday`, which LOGIC_OPTIONS (--logic-options) asks for; allowed: monday, sunday",
            ),
        ] {
            let mismatch = asked.resolve(&described()).unwrap_err();
            assert_eq!(mismatch.to_string(), problem);
            let (resolved, left_out) = asked.resolve_known(&described());
            assert_eq!(left_out, [mismatch]);
            assert!(!resolved.settings.windows.contains(&"daily".to_string()));
            assert!(
                resolved.settings.corrections.is_empty() && resolved.settings.options.is_empty()
            );
        }
    }

    #[test]
    fn whole_numbers_are_plain_digits() {
        let allowed = Allowed::WholeNumber(Bounds { least: 0, most: 9 });
        for (value, expected) in [
            ("0", true),
            ("9", true),
            ("+1", false),
            ("-1", false),
            ("10", false),
            ("", false),
            ("1 ", false),
        ] {
            assert_eq!(allows(&allowed, value), expected, "{value}");
        }
    }
}
