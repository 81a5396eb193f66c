//! Which versions of the contract this host speaks, and which a component does.
//!
//! A component names the version it was built for in the name of what it exports. Versions that fit together are those
//! that semantic versioning says do: equal majors, and before 1.0 equal minors (`wit/aggregator.wit` has the rule for
//! what may change in between).

/// The interface that a component exports, in the version that this host speaks.
pub const CONTRACT: &str = "weir:aggregator/logic@0.2.0";

/// Passes if a component speaks a version that fits this host's; else says which it speaks.
pub(super) fn check(exports: &[String]) -> Result<(), String> {
    let (contract, ours) = CONTRACT.split_once('@').unwrap_or((CONTRACT, ""));
    let mut spoken: Vec<&str> = exports
        .iter()
        .filter_map(|export| {
            let interface = export.split('#').next().unwrap_or_default();
            let version = interface.strip_prefix(contract)?;
            // Without a version, a component names one that no host speaks.
            version
                .strip_prefix('@')
                .or(version.is_empty().then_some("none"))
        })
        .collect();
    spoken.sort_unstable();
    spoken.dedup();
    if spoken.iter().any(|version| fits(version, ours)) {
        return Ok(());
    }
    if spoken.is_empty() {
        return Err(format!("it does not export {CONTRACT}"));
    }
    Err(format!(
        "it speaks version {theirs} of the contract, this host speaks {ours}; take a component built for {ours}, or a host that speaks {theirs}",
        theirs = spoken.join(", "),
    ))
}

/// Whether two versions fit together.
fn fits(theirs: &str, ours: &str) -> bool {
    series(theirs).is_some_and(|series_of_theirs| Some(series_of_theirs) == series(ours))
}

/// What versions that fit together have in common: the major, before 1.0 the minor, before 0.1 the patch too. None for
/// what is no version, and for one that is not finished (`1.0.0-rc.1`), which fits nothing.
fn series(version: &str) -> Option<[u64; 3]> {
    // What is behind a plus says how it was built, not what it is.
    let version = version.split('+').next()?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    let series = match [numbers.next()??, numbers.next()??, numbers.next()??] {
        [0, 0, patch] => [0, 0, patch],
        [0, minor, _] => [0, minor, 0],
        [major, ..] => [major, 0, 0],
    };
    numbers.next().is_none().then_some(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_as_semantic_versioning_says() {
        for (theirs, ours, fit) in [
            ("0.1.0", "0.1.0", true),
            ("0.1.7", "0.1.0", true),
            ("0.1.0", "0.1.7", true),
            ("0.1.0+build", "0.1.0", true),
            ("0.2.0", "0.1.0", false),
            ("0.0.1", "0.0.2", false),
            ("1.0.0", "0.1.0", false),
            ("1.4.2", "1.0.0", true),
            ("2.0.0", "1.0.0", false),
            ("0.1.0-rc.1", "0.1.0", false),
            ("0.1", "0.1.0", false),
            ("0.1.0.0", "0.1.0", false),
            ("none", "0.1.0", false),
            ("", "", false),
        ] {
            assert_eq!(fits(theirs, ours), fit, "{theirs} and {ours}");
        }
    }

    #[test]
    fn a_component_that_speaks_another_version_is_told_which_it_should_speak() {
        let check = |exports: &[&str]| {
            let exports: Vec<_> = exports.iter().map(ToString::to_string).collect();
            check(&exports).err().unwrap_or_default()
        };
        assert_eq!(check(&["weir:aggregator/logic@0.2.3#plan"]), "");
        // One for hosts of two versions.
        let both = [
            "weir:aggregator/logic@0.9.0#plan",
            "weir:aggregator/logic@0.2.0#plan",
        ];
        assert_eq!(check(&both), "");
        let other = check(&[
            "weir:aggregator/logic@0.9.0#plan",
            "weir:aggregator/logic@0.9.0#describe",
        ]);
        assert_eq!(
            other,
            "it speaks version 0.9.0 of the contract, this host speaks 0.2.0; take a component built for 0.2.0, or a host that speaks 0.9.0"
        );
        let none = check(&["weir:aggregator/logic#plan"]);
        assert!(none.starts_with("it speaks version none"), "{none}");
        for exports in [
            &["wasi:cli/run@0.2.0#run"][..],
            &[],
            &["weir:aggregator/logics@0.2.0#plan"],
        ] {
            assert_eq!(
                check(exports),
                "it does not export weir:aggregator/logic@0.2.0"
            );
        }
    }
}
