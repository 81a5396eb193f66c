//! Reading JSON of any shape, borrowing from it.
//!
//! Nothing here fails because a value is of another shape than expected: the caller tells what is of the wrong
//! shape from what is absent.

pub mod ascii;
pub mod surrogate;

use alloc::{borrow::Cow, collections::BTreeMap, string::String, vec::Vec};
use core::{fmt, marker::PhantomData};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A JSON value of which only some shapes matter. No shape makes it fail.
pub enum Loose<'a, T> {
    /// A string.
    Text(Cow<'a, str>),
    /// An object or array that a `T` could be read from.
    Compound(T),
    /// Anything else.
    Other,
}

impl<'a, T> Loose<'a, T> {
    /// The text, if it is one.
    pub fn text(self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }
}

/// Something that is read from a JSON object or from an array; none where the value is the other of the two.
pub trait Compound<'a>: Sized {
    /// Reads it from an object.
    ///
    /// # Errors
    /// The text is not JSON.
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// Reads it from an array.
    ///
    /// # Errors
    /// The text is not JSON.
    fn from_elements<A: SeqAccess<'a>>(mut elements: A) -> Result<Option<Self>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Nothing: for values of which only text matters.
pub enum Skipped {}

impl Compound<'_> for Skipped {}

impl<'a, T: Compound<'a>> Deserialize<'a> for Loose<'a, T> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'a, T: Compound<'a>> Visitor<'a> for Any<T> {
            type Value = Loose<'a, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Owned(text.into())))
            }
            fn visit_map<A: MapAccess<'a>>(self, members: A) -> Result<Self::Value, A::Error> {
                Ok(T::from_members(members)?.map_or(Loose::Other, Loose::Compound))
            }
            fn visit_seq<A: SeqAccess<'a>>(self, elements: A) -> Result<Self::Value, A::Error> {
                Ok(T::from_elements(elements)?.map_or(Loose::Other, Loose::Compound))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any(PhantomData))
    }
}

/// A value in DynamoDB's typed form, such as `{"N":"1"}`.
#[derive(Default)]
pub struct Typed<'a> {
    /// The text of one of type S.
    pub string: Option<Cow<'a, str>>,
    /// The decimal text of one of type N.
    pub number: Option<Cow<'a, str>>,
}

impl<'a> Compound<'a> for Typed<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut typed = Self::default();
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                "S" => typed.string = members.next_value::<Loose<'_, Skipped>>()?.text(),
                "N" => typed.number = members.next_value::<Loose<'_, Skipped>>()?.text(),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(typed))
    }
}

/// The text of a typed value of type S.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str(raw.get()) {
        Ok(Loose::Compound(Typed {
            string: Some(text), ..
        })) => Some(text),
        _ => None,
    }
}

/// The decimal text of a typed value of type N.
pub fn number(raw: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str(raw.get()) {
        Ok(Loose::Compound(Typed {
            number: Some(text), ..
        })) => Some(text),
        _ => None,
    }
}

/// The members of a JSON object in their order. A name that is given twice keeps its first place and its last value.
pub fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members: Self::Value = Vec::new();
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                match places.get(&name).and_then(|at| members.get_mut(*at)) {
                    Some(member) => member.1 = value,
                    None => {
                        places.insert(name.clone(), members.len());
                        members.push((name, value));
                    }
                }
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(raw.get())
        .deserialize_map(Members)
        .ok()
}
