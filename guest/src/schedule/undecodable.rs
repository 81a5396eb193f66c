//! Why a stored schedule cannot be read.

use super::field::CronField;
use alloc::{string::String, vec::Vec};
use core::fmt;

/// Which of the two stored forms a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes parameters: `sched`.
    Parameters,
    /// Resets: `rsched`.
    Resets,
}

/// A parameter that an entry sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifier {
    /// `s`: all of them, in thousandths.
    Scale,
    /// `c`, in tokens.
    Capacity,
    /// `a`, in tokens.
    Amount,
    /// `p`, in seconds.
    Period,
}

impl Modifier {
    /// Its name in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Capacity => "capacity",
            Self::Amount => "refill_amount",
            Self::Period => "refill_period_seconds",
        }
    }

    /// The greatest value that is taken.
    pub fn maximum(self) -> i128 {
        match self {
            Self::Scale | Self::Period => 1_000_000_000,
            Self::Capacity | Self::Amount => 1_000_000_000_000_000,
        }
    }

    /// A value as messages have it: a scale is stored in thousandths and written as a decimal fraction.
    fn write(self, f: &mut fmt::Formatter<'_>, value: i128, whole: &str) -> fmt::Result {
        let Self::Scale = self else {
            return write!(f, "{value}");
        };
        let sign = if value < 0 { "-" } else { "" };
        let value = value.unsigned_abs();
        match value % 1000 {
            0 => write!(f, "{sign}{}{whole}", value / 1000),
            rest if rest % 100 == 0 => write!(f, "{sign}{}.{}", value / 1000, rest / 100),
            rest if rest % 10 == 0 => write!(f, "{sign}{}.{:02}", value / 1000, rest / 10),
            rest => write!(f, "{sign}{}.{rest:03}", value / 1000),
        }
    }
}

/// Why a stored schedule cannot be read. The wording is what operators know; it goes into a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// It begins with no digit.
    NoVersion {
        /// Which form.
        kind: Kind,
        /// All of it.
        text: String,
    },
    /// Nothing follows its version.
    NoEntries {
        /// Which form.
        kind: Kind,
        /// All of it.
        text: String,
    },
    /// Its version is 0.
    InvalidVersion {
        /// Which form.
        kind: Kind,
        /// All of it.
        text: String,
        /// The version as written.
        version: String,
    },
    /// Its version is above 1.
    NewerVersion {
        /// Which form.
        kind: Kind,
        /// All of it.
        text: String,
        /// The version without leading zeros.
        version: String,
    },
    /// An entry is not a row of tags, each with a value.
    Malformed {
        /// Which form.
        kind: Kind,
        /// The entry.
        entry: String,
        /// Characters before the first that fits nowhere.
        offset: usize,
    },
    /// An entry has a tag twice.
    Duplicate {
        /// Which form.
        kind: Kind,
        /// The entry.
        entry: String,
        /// The tag.
        tag: char,
    },
    /// Blanks in the values make more or fewer than five fields.
    FieldCount {
        /// The values in the order of a cron line.
        line: String,
    },
    /// A field breaks cron's grammar, or names a day that its months never have.
    BadField {
        /// The values in the order of a cron line.
        line: String,
        /// Which field.
        field: CronField,
    },
    /// A field uses an extension of cron's grammar.
    ExtendedToken {
        /// Which field.
        field: CronField,
    },
    /// Its time zone is none of the database's.
    UnknownZone {
        /// The name.
        zone: String,
    },
    /// An entry changes nothing, or both scales and sets.
    NotOneEffect,
    /// A parameter is no integer.
    NotAnInteger {
        /// The value.
        text: String,
    },
    /// A parameter is 0 or less.
    NotPositive {
        /// Which parameter.
        modifier: Modifier,
        /// The value.
        value: i128,
    },
    /// A parameter is greater than any that is stored.
    TooLarge {
        /// Which parameter.
        modifier: Modifier,
        /// The value.
        value: i128,
    },
    /// A reset has parameters.
    ModifiersInReset {
        /// The entry.
        entry: String,
        /// Their tags, in the order of the alphabet.
        tags: Vec<char>,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parameters => "compact schedule",
            Self::Resets => "compact reset schedule",
        })
    }
}

impl fmt::Display for Undecodable {
    #[expect(clippy::too_many_lines, reason = "a table: one arm for each reason")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion { kind, text } => write!(
                f,
                "{kind} '{text}' carries no version marker. Every stored schedule begins with its encoding version \
                 (this build writes 1); a string that does not is corrupt or was written by a build predating the \
                 marker, which never shipped."
            ),
            Self::NoEntries { kind, text } => {
                write!(
                    f,
                    "{kind} '{text}' is a version marker with no entries after it."
                )
            }
            Self::InvalidVersion {
                kind,
                text,
                version,
            } => write!(
                f,
                "{kind} '{text}' has an invalid version marker '{version}'."
            ),
            Self::NewerVersion {
                kind,
                text,
                version,
            } => write!(
                f,
                "{kind} '{text}' is encoding version {version}; this build reads up to version 1. It was written by \
                 a newer client — upgrade zae-limiter rather than repairing the stored value."
            ),
            Self::Malformed {
                kind,
                entry,
                offset,
            } => write!(
                f,
                "malformed {kind} entry '{entry}': cannot parse from offset {offset}"
            ),
            Self::Duplicate { kind, entry, tag } => {
                write!(f, "duplicate '{tag}' tag in {kind} entry '{entry}'")
            }
            Self::FieldCount { line } => write!(
                f,
                "invalid cron expression '{line}': exactly 5 fields are required (minute hour day-of-month month \
                 day-of-week)."
            ),
            Self::BadField { line, field } => {
                write!(f, "invalid cron expression '{line}': Bad {}", field.name())
            }
            Self::ExtendedToken { field } => write!(
                f,
                "cron {} field uses an extended token (L, W, or #), which is not supported.",
                field.name()
            ),
            Self::UnknownZone { zone } => write!(f, "unknown timezone '{zone}'"),
            Self::NotOneEffect => f.write_str(
                "a schedule entry must set exactly one of `scale` or the absolute fields \
                 (`capacity`/`refill_amount`/`refill_period_seconds`)",
            ),
            Self::NotAnInteger { text } => {
                write!(f, "invalid literal for int() with base 10: '{text}'")
            }
            Self::NotPositive { modifier, value } => {
                write!(f, "{} must be positive, got ", modifier.name())?;
                modifier.write(f, *value, ".0")
            }
            Self::TooLarge { modifier, value } => {
                write!(f, "{} must be at most ", modifier.name())?;
                modifier.write(f, modifier.maximum(), "")?;
                f.write_str(", got ")?;
                modifier.write(f, *value, ".0")?;
                f.write_str(".")
            }
            Self::ModifiersInReset { entry, tags } => write!(
                f,
                "reset schedule entry '{entry}' carries the modifier token(s) {tags:?}; a reset overrides no \
                 parameters"
            ),
        }
    }
}

impl core::error::Error for Undecodable {}
