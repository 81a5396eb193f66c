//! Options of the component, by their names.

use weir::settings::OptionSetting;

/// Whose rules a sharded bucket follows that carries nothing newer: `c` or `d`.
pub fn generation(rules: &str) -> OptionSetting {
    option("generation", rules)
}

/// An option with this value.
pub fn option(name: &str, value: &str) -> OptionSetting {
    OptionSetting {
        name: name.into(),
        value: value.into(),
        variable: None,
    }
}
