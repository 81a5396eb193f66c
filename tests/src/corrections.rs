//! Sets of corrected rules, by their names.

/// All that the real component lists.
pub fn all() -> Vec<String> {
    let listed = weir_logic::describe().corrections.into_iter();
    listed.map(|correction| correction.name).collect()
}

/// None: the table ends up as the Python aggregator leaves it.
pub fn none() -> Vec<String> {
    Vec::new()
}

/// This one and no other.
pub fn only(name: &str) -> Vec<String> {
    assert!(all().contains(&name.into()), "there is no `{name}`");
    vec![name.into()]
}

/// All but this one.
pub fn without(name: &str) -> Vec<String> {
    let mut others = all();
    others.retain(|other| other != name);
    assert_ne!(others, all(), "there is no `{name}`");
    others
}
