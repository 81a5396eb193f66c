//! Items that the host has shown in an earlier round.

use crate::contract::{Attribute, Batch, Key, StoredItem};
use alloc::collections::BTreeMap;

/// What the host has shown, by key.
pub struct Known<'a>(BTreeMap<(&'a str, &'a str), &'a StoredItem>);

/// What the table holds under a key, as far as the host has shown it.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    /// The host has not looked.
    Nothing,
    /// There is no such item.
    NoItem,
    /// The item's attributes.
    Item(&'a [Attribute]),
}

impl<'a> Known<'a> {
    /// What the host has shown with this batch.
    pub fn new(batch: &'a Batch) -> Self {
        let by_key = |stored: &'a StoredItem| {
            let key = (stored.key.pk.as_str(), stored.key.sk.as_str());
            (key, stored)
        };
        Self(batch.known.iter().map(by_key).collect())
    }

    /// What the host has shown of that key.
    pub fn get(&self, key: &Key) -> Shown<'a> {
        match self.0.get(&(key.pk.as_str(), key.sk.as_str())) {
            None => Shown::Nothing,
            Some(StoredItem { item: None, .. }) => Shown::NoItem,
            Some(StoredItem {
                item: Some(item), ..
            }) => Shown::Item(item),
        }
    }
}

impl<'a> Shown<'a> {
    /// An attribute of the item, where both are there.
    pub fn attribute(self, name: &str) -> Option<&'a Attribute> {
        match self {
            Self::Item(item) => item.iter().find(|attribute| attribute.name == name),
            Self::Nothing | Self::NoItem => None,
        }
    }
}
