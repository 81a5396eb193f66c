//! One setting: its text, and what it may be.

use std::str::FromStr;
use weir::printable::printable;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArgument {
    /// The value is none of those that are allowed.
    #[error("{variable} ({flag}) is `{value}`; allowed: {allowed}")]
    NotAllowed {
        /// The variable that may have named it.
        variable: &'static str,
        /// The flag that may have named it.
        flag: String,
        /// What it is, as far as it can be shown.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// There is an archive and no bucket for it.
    #[error(
        "ENABLE_ARCHIVAL (--enable-archival) is true, and there is no bucket to archive to; name one with ARCHIVE_BUCKET_NAME (--archive-bucket-name), or set ENABLE_ARCHIVAL to false"
    )]
    NoBucket,
}

/// The text of a setting; a blank one has none.
pub(super) fn given(value: &Option<String>) -> Option<&str> {
    let text = value.as_deref()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Reads a setting, if it is given.
pub(super) fn read<T>(
    value: &Option<String>,
    variable: &'static str,
    allowed: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, BadArgument> {
    let Some(text) = given(value) else {
        return Ok(None);
    };
    let flag = match variable {
        "LOGIC_COMPONENT" => "--component".into(),
        _ => format!("--{}", variable.to_lowercase().replace('_', "-")),
    };
    parse(text)
        .map(Some)
        .ok_or_else(|| BadArgument::NotAllowed {
            variable,
            flag,
            value: printable(text),
            allowed,
        })
}

/// Parses a whole number between two others, both included.
pub(super) fn within(min: u32, max: u32) -> impl Fn(&str) -> Option<u32> {
    move |text| {
        let number = u32::from_str(text).ok()?;
        (min..=max).contains(&number).then_some(number)
    }
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
