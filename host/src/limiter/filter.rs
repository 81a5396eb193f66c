//! Lambda's event filtering patterns, over the JSON of one stream record.
//!
//! A pattern has the shape of the record. Its leaves are arrays of what is allowed there; one match is enough.
//! All fields of a pattern must match. Of several filters one must match.
//!
//! Source of the rules: AWS Lambda developer guide, "Control which events Lambda sends to your function".

use std::slice;

use serde_json::Value;

/// Characters of a pattern in Lambda.
pub const MAX_PATTERN_CHARS: usize = 4096;

/// The patterns that deliver what the aggregator works on, and nothing else: new and changed buckets of all schema
/// generations, and expired audit events, which all generations recognise by the sort key.
pub const DEFAULT_PATTERNS: [&str; 2] = [
    r##"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"SK":{"S":["#STATE",{"prefix":"#BUCKET#"}]}}}}"##,
    r##"{"eventName":["REMOVE"],"dynamodb":{"OldImage":{"SK":{"S":[{"prefix":"#AUDIT#"}]}}}}"##,
];

/// The filters of [`DEFAULT_PATTERNS`].
pub fn default_filters() -> Vec<Filter> {
    // They parse, as a test shows. If they did not, no filter would deliver every record, so nothing would be lost.
    DEFAULT_PATTERNS
        .iter()
        .map(|pattern| Filter::parse(pattern))
        .collect::<Result<_, _>>()
        .unwrap_or_default()
}

/// Why a text is not a filter pattern.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is longer than Lambda allows.
    #[error(
        "the filter pattern has {length} characters; at most {MAX_PATTERN_CHARS} are allowed: split it into several"
    )]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// It is not JSON.
    #[error("the filter pattern is not JSON ({reason}): {pattern}")]
    NotJson {
        /// The pattern.
        pattern: String,
        /// What the parser says.
        reason: serde_json::Error,
    },
    /// It is JSON, and a part of it has no meaning.
    #[error("the filter pattern must have {allowed} at {at}, and has {found}")]
    Misfit {
        /// Where, as a path that starts with `$`.
        at: String,
        /// What is allowed there.
        allowed: &'static str,
        /// What is there, as JSON.
        found: String,
    },
}

/// A filter pattern, ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    clauses: Vec<Clause>,
}

/// One condition of an object of the pattern.
#[derive(Clone, Debug, PartialEq)]
enum Clause {
    /// A field that must be as expected.
    Field(String, Expected),
    /// Alternatives for the object they stand in (`$or`).
    Or(Vec<Vec<Clause>>),
}

/// What a field must be.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    /// An object that satisfies these conditions.
    Object(Vec<Clause>),
    /// A leaf that passes one of these tests.
    Leaf(Vec<Test>),
}

/// A test of a leaf.
#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// Whether there is a leaf. An object is not one, and neither is an empty array.
    Exists(Presence),
    /// Whether it matches.
    Is(Match),
    /// Whether there is a leaf that matches none of these.
    AnythingBut(Vec<Match>),
}

/// A set of values.
#[derive(Clone, Debug, PartialEq)]
enum Match {
    /// This scalar. Numbers are compared by value.
    Equals(Value),
    /// This string in upper or lower case.
    IgnoringCase(String),
    /// Strings that start like this.
    Prefix(String),
    /// Strings that end like this.
    Suffix(String),
    /// Numbers for which all of these hold. DynamoDB's own numbers are strings in the record and never match.
    Numeric(Vec<(Comparison, f64)>),
}

/// Whether a leaf must be there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Presence {
    Present,
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Filter {
    /// Reads a pattern: exact values, `prefix`, `suffix`, `equals-ignore-case`, `numeric`, `exists`,
    /// `anything-but` (of a value, of a list of values, of one of the operators before `exists`), and `$or`.
    ///
    /// # Errors
    /// [`FilterError`] names the place that has no meaning.
    pub fn parse(pattern: &str) -> Result<Self, FilterError> {
        let length = pattern.chars().count();
        if length > MAX_PATTERN_CHARS {
            return Err(FilterError::TooLong { length });
        }
        let value = serde_json::from_str(pattern).map_err(|reason| FilterError::NotJson {
            pattern: pattern.to_owned(),
            reason,
        })?;
        Ok(Self {
            clauses: parse_object(&value, "$")?,
        })
    }

    /// Whether a record, as it is in the Lambda event, is delivered.
    pub fn matches(&self, record: &Value) -> bool {
        all_hold(&self.clauses, Some(record))
    }
}

fn parse_object(pattern: &Value, at: &str) -> Result<Vec<Clause>, FilterError> {
    let Value::Object(fields) = pattern else {
        return Err(misfit(at, "an object", pattern));
    };
    fields
        .iter()
        .map(|(name, expected)| parse_clause(name, expected, &format!("{at}.{name}")))
        .collect()
}

fn parse_clause(name: &str, expected: &Value, at: &str) -> Result<Clause, FilterError> {
    match expected {
        Value::Array(patterns) if name == "$or" && !patterns.is_empty() => {
            let alternatives = patterns
                .iter()
                .map(|pattern| parse_object(pattern, at))
                .collect::<Result<_, _>>()?;
            Ok(Clause::Or(alternatives))
        }
        other if name == "$or" => Err(misfit(at, "an array of patterns", other)),
        Value::Object(_) => Ok(Clause::Field(
            name.to_owned(),
            Expected::Object(parse_object(expected, at)?),
        )),
        Value::Array(tests) if !tests.is_empty() => {
            let tests = tests
                .iter()
                .map(|test| parse_test(test, at))
                .collect::<Result<_, _>>()?;
            Ok(Clause::Field(name.to_owned(), Expected::Leaf(tests)))
        }
        other => Err(misfit(
            at,
            "an object, or an array of what is allowed",
            other,
        )),
    }
}

fn parse_test(test: &Value, at: &str) -> Result<Test, FilterError> {
    match operator(test) {
        Some(("exists", Value::Bool(true))) => Ok(Test::Exists(Presence::Present)),
        Some(("exists", Value::Bool(false))) => Ok(Test::Exists(Presence::Absent)),
        Some(("exists", other)) => Err(misfit(at, "true or false for `exists`", other)),
        Some(("anything-but", Value::Array(values))) if !values.is_empty() => {
            Ok(Test::AnythingBut(
                values
                    .iter()
                    .map(|value| parse_scalar(value, at))
                    .collect::<Result<_, _>>()?,
            ))
        }
        Some(("anything-but", value)) => Ok(Test::AnythingBut(vec![parse_match(value, at)?])),
        _ => Ok(Test::Is(parse_match(test, at)?)),
    }
}

fn parse_match(value: &Value, at: &str) -> Result<Match, FilterError> {
    match operator(value) {
        None => parse_scalar(value, at),
        Some(("prefix", Value::String(text))) => Ok(Match::Prefix(text.clone())),
        Some(("suffix", Value::String(text))) => Ok(Match::Suffix(text.clone())),
        Some(("equals-ignore-case", Value::String(text))) => {
            Ok(Match::IgnoringCase(text.to_lowercase()))
        }
        Some(("numeric", Value::Array(parts))) => {
            parse_numeric(parts).map(Match::Numeric).ok_or_else(|| {
                misfit(
                    at,
                    "one or two comparisons as in [\">\", 0, \"<=\", 9] for `numeric`",
                    value,
                )
            })
        }
        Some(("prefix" | "suffix" | "equals-ignore-case", other)) => {
            Err(misfit(at, "a string for the operator", other))
        }
        Some(_) => Err(misfit(
            at,
            "one of prefix, suffix, equals-ignore-case, numeric, exists, anything-but with what belongs to it",
            value,
        )),
    }
}

fn parse_scalar(value: &Value, at: &str) -> Result<Match, FilterError> {
    match value {
        Value::Array(_) | Value::Object(_) => Err(misfit(
            at,
            "a plain value, or an object with one operator",
            value,
        )),
        scalar => Ok(Match::Equals(scalar.clone())),
    }
}

fn parse_numeric(parts: &[Value]) -> Option<Vec<(Comparison, f64)>> {
    if !matches!(parts.len(), 2 | 4) {
        return None;
    }
    let comparison = |pair: &[Value]| match pair {
        [Value::String(symbol), Value::Number(bound)] => {
            let comparison = match symbol.as_str() {
                "=" => Comparison::Equal,
                "<" => Comparison::Less,
                "<=" => Comparison::AtMost,
                ">" => Comparison::Greater,
                ">=" => Comparison::AtLeast,
                _ => return None,
            };
            Some((comparison, bound.as_f64()?))
        }
        _ => None,
    };
    parts.chunks(2).map(comparison).collect()
}

/// The operator of an object that has exactly one.
fn operator(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields
        .iter()
        .next()
        .map(|(name, operand)| (name.as_str(), operand))
}

fn misfit(at: &str, allowed: &'static str, found: &Value) -> FilterError {
    FilterError::Misfit {
        at: at.to_owned(),
        allowed,
        found: found.to_string(),
    }
}

fn all_hold(clauses: &[Clause], value: Option<&Value>) -> bool {
    clauses.iter().all(|clause| match clause {
        Clause::Field(name, expected) => expected.holds(value.and_then(|value| value.get(name))),
        Clause::Or(alternatives) => alternatives.iter().any(|clauses| all_hold(clauses, value)),
    })
}

impl Expected {
    fn holds(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Object(clauses), Some(Value::Array(items))) => {
                items.iter().any(|item| all_hold(clauses, Some(item)))
            }
            (Self::Object(clauses), value) => all_hold(clauses, value),
            (Self::Leaf(tests), value) => {
                let leaves = leaves(value);
                tests.iter().any(|test| test.passes(leaves))
            }
        }
    }
}

/// An array stands for each of its items.
fn leaves(value: Option<&Value>) -> &[Value] {
    match value {
        None | Some(Value::Object(_)) => &[],
        Some(Value::Array(items)) => items,
        Some(scalar) => slice::from_ref(scalar),
    }
}

impl Test {
    fn passes(&self, leaves: &[Value]) -> bool {
        match self {
            Self::Exists(Presence::Present) => !leaves.is_empty(),
            Self::Exists(Presence::Absent) => leaves.is_empty(),
            Self::Is(set) => leaves.iter().any(|leaf| set.contains(leaf)),
            Self::AnythingBut(sets) => leaves
                .iter()
                .any(|leaf| !sets.iter().any(|set| set.contains(leaf))),
        }
    }
}

impl Match {
    fn contains(&self, leaf: &Value) -> bool {
        match (self, leaf) {
            (Self::Equals(Value::Number(expected)), Value::Number(found)) => {
                expected.as_f64() == found.as_f64()
            }
            (Self::Equals(expected), found) => expected == found,
            (Self::IgnoringCase(expected), Value::String(found)) => {
                found.to_lowercase() == *expected
            }
            (Self::Prefix(expected), Value::String(found)) => found.starts_with(expected.as_str()),
            (Self::Suffix(expected), Value::String(found)) => found.ends_with(expected.as_str()),
            (Self::Numeric(comparisons), Value::Number(found)) => {
                found.as_f64().is_some_and(|found| {
                    comparisons
                        .iter()
                        .all(|(comparison, bound)| comparison.holds(found, *bound))
                })
            }
            _ => false,
        }
    }
}

impl Comparison {
    fn holds(self, found: f64, bound: f64) -> bool {
        match self {
            Self::Equal => found == bound,
            Self::Less => found < bound,
            Self::AtMost => found <= bound,
            Self::Greater => found > bound,
            Self::AtLeast => found >= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pattern_matches_what_lambda_says_it_matches() {
        let record = json!({
            "eventName": "MODIFY",
            "tags": ["red", "green"],
            "size": 10,
            "gone": null,
            "none": [],
            "dynamodb": {"NewImage": {"SK": {"S": "#BUCKET#gpt-4"}}, "Keys": {"PK": {"S": "a"}}},
        });
        let cases = [
            (r#"{}"#, true),
            (r#"{"eventName":["MODIFY"]}"#, true),
            (r#"{"eventName":["INSERT","MODIFY"]}"#, true),
            (r#"{"eventName":["INSERT"]}"#, false),
            (r#"{"eventName":["modify"]}"#, false),
            (r#"{"eventName":[{"equals-ignore-case":"modify"}]}"#, true),
            (r#"{"eventName":[{"prefix":"MOD"}]}"#, true),
            (r#"{"eventName":[{"prefix":"OD"}]}"#, false),
            (r#"{"eventName":[{"suffix":"IFY"}]}"#, true),
            (r#"{"eventName":[{"suffix":"IF"}]}"#, false),
            (r#"{"eventName":[{"anything-but":"REMOVE"}]}"#, true),
            (
                r#"{"eventName":[{"anything-but":["REMOVE","MODIFY"]}]}"#,
                false,
            ),
            (
                r#"{"eventName":[{"anything-but":{"prefix":"MOD"}}]}"#,
                false,
            ),
            (r#"{"absent":[{"anything-but":"x"}]}"#, false),
            (r#"{"eventName":[{"exists":true}]}"#, true),
            (r#"{"eventName":[{"exists":false}]}"#, false),
            (r#"{"absent":[{"exists":false}]}"#, true),
            (r#"{"absent":{"deeper":[{"exists":false}]}}"#, true),
            (r#"{"dynamodb":{"Keys":[{"exists":true}]}}"#, false),
            (r#"{"none":[{"exists":true}]}"#, false),
            (r#"{"gone":[null]}"#, true),
            (r#"{"absent":[null]}"#, false),
            (r#"{"tags":["green"]}"#, true),
            (r#"{"tags":["blue"]}"#, false),
            (r#"{"size":[10.0]}"#, true),
            (r#"{"size":["10"]}"#, false),
            (r#"{"size":[{"numeric":["=",10]}]}"#, true),
            (r#"{"size":[{"numeric":[">",0,"<=",10]}]}"#, true),
            (r#"{"size":[{"numeric":[">",0,"<",10]}]}"#, false),
            (r#"{"eventName":[{"numeric":[">=",0]}]}"#, false),
            (r#"{"eventName":["MODIFY"],"size":[11]}"#, false),
            (r#"{"$or":[{"eventName":["INSERT"]},{"size":[10]}]}"#, true),
            (r#"{"$or":[{"eventName":["INSERT"]},{"size":[11]}]}"#, false),
            (
                r##"{"dynamodb":{"$or":[{"Keys":{"PK":{"S":["b"]}}},{"NewImage":{"SK":{"S":[{"prefix":"#"}]}}}]}}"##,
                true,
            ),
        ];
        for (pattern, expected) in cases {
            assert_eq!(
                Filter::parse(pattern).unwrap().matches(&record),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_place() {
        let cases = [
            ("", "is not JSON"),
            ("[]", "an object at $,"),
            (r#"{"a":"x"}"#, "$.a"),
            (r#"{"a":[]}"#, "$.a"),
            (r#"{"a":{"b":[["x"]]}}"#, "$.a.b"),
            (r#"{"a":[{"prefix":1}]}"#, "a string for the operator"),
            (r#"{"a":[{"wildcard":"*"}]}"#, "one of prefix"),
            (r#"{"a":[{"prefix":"x","suffix":"y"}]}"#, "one operator"),
            (r#"{"a":[{"exists":"yes"}]}"#, "true or false"),
            (r#"{"a":[{"numeric":[">"]}]}"#, "comparisons"),
            (r#"{"a":[{"numeric":["!",1]}]}"#, "comparisons"),
            (r#"{"a":[{"anything-but":[]}]}"#, "$.a"),
            (
                r#"{"a":[{"anything-but":[{"prefix":"x"}]}]}"#,
                "a plain value",
            ),
            (r#"{"$or":{}}"#, "an array of patterns"),
        ];
        for (pattern, expected) in cases {
            let message = Filter::parse(pattern).unwrap_err().to_string();
            assert!(message.contains(expected), "{pattern}: {message}");
        }
        let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(MAX_PATTERN_CHARS));
        assert!(matches!(
            Filter::parse(&long),
            Err(FilterError::TooLong { length: 4106 })
        ));
    }

    #[test]
    fn the_default_filters_pass_buckets_and_expired_audit_events_only() {
        let filters = default_filters();
        assert_eq!(filters.len(), DEFAULT_PATTERNS.len());
        let cases = [
            ("MODIFY", "NewImage", "#STATE", true),
            ("INSERT", "NewImage", "#STATE", true),
            ("MODIFY", "NewImage", "#BUCKET#gpt-4", true),
            ("INSERT", "NewImage", "#BUCKET#gpt-4", true),
            ("REMOVE", "OldImage", "#AUDIT#01H", true),
            ("REMOVE", "OldImage", "#STATE", false),
            ("INSERT", "NewImage", "#AUDIT#01H", false),
            ("MODIFY", "NewImage", "#STATE#", false),
            (
                "MODIFY",
                "NewImage",
                "#USAGE#gpt-4#2024-01-01T00:00:00Z",
                false,
            ),
            ("MODIFY", "OldImage", "#STATE", false),
        ];
        for (event, image, sort_key, expected) in cases {
            let record = json!({"eventName": event, "dynamodb": {image: {"SK": {"S": sort_key}}}});
            let passes = filters.iter().any(|filter| filter.matches(&record));
            assert_eq!(passes, expected, "{event} {image} {sort_key}");
        }
    }
}
