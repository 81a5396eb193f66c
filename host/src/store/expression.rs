//! Assignments and conditions → DynamoDB's expressions.
//!
//! Every name and every value goes through an alias made of its position, so no attribute or limit name can
//! break an expression or inject into one.

use super::{Failure, item};
use crate::contract::{Assignment, AttributeValue, Change, Condition, Test};
use aws_sdk_dynamodb::types::AttributeValue as SdkValue;
use std::collections::HashMap;

/// The texts of a request's expressions, and the aliases in them. None where there is nothing to say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expression {
    pub(super) update: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<HashMap<String, SdkValue>>,
}

#[derive(Default)]
struct Aliases {
    names: HashMap<String, String>,
    values: HashMap<String, SdkValue>,
}

impl Aliases {
    fn name(&mut self, attribute: &str) -> String {
        let alias = format!("#n{}", self.names.len());
        self.names.insert(alias.clone(), attribute.into());
        alias
    }

    fn value(&mut self, value: &AttributeValue) -> Result<String, Failure> {
        let alias = format!(":v{}", self.values.len());
        self.values.insert(alias.clone(), item::value(value)?);
        Ok(alias)
    }
}

impl Expression {
    /// Renders the changes of an item and the conditions they depend on.
    ///
    /// # Errors
    /// A value that is not well-formed.
    pub(super) fn new(
        assignments: &[Assignment],
        conditions: &[Condition],
    ) -> Result<Self, Failure> {
        let mut aliases = Aliases::default();
        let mut clauses: [(&str, Vec<String>); 3] = [
            ("SET", Vec::new()),
            ("ADD", Vec::new()),
            ("REMOVE", Vec::new()),
        ];
        for Assignment { attribute, change } in assignments {
            let name = aliases.name(attribute);
            let (clause, text) = match change {
                Change::Set(value) => (0, format!("{name} = {}", aliases.value(value)?)),
                Change::SetIfAbsent(value) => (
                    0,
                    format!("{name} = if_not_exists({name}, {})", aliases.value(value)?),
                ),
                Change::Add(number) => (
                    1,
                    format!(
                        "{name} {}",
                        aliases.value(&AttributeValue::Number(number.clone()))?
                    ),
                ),
                Change::Remove => (2, name),
            };
            clauses[clause].1.push(text);
        }
        let clauses = clauses
            .iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(verb, parts)| format!("{verb} {}", parts.join(", ")));
        let update = clauses.collect::<Vec<_>>().join(" ");
        let mut tests = Vec::with_capacity(conditions.len());
        for Condition { attribute, test } in conditions {
            let name = aliases.name(attribute);
            tests.push(match test {
                Test::Absent => format!("attribute_not_exists({name})"),
                Test::Present => format!("attribute_exists({name})"),
                Test::Equals(value) => format!("{name} = {}", aliases.value(value)?),
                Test::LessThan(value) => format!("{name} < {}", aliases.value(value)?),
                Test::AtMost(value) => format!("{name} <= {}", aliases.value(value)?),
                Test::AbsentOrLessThan(value) => format!(
                    "(attribute_not_exists({name}) OR {name} < {})",
                    aliases.value(value)?
                ),
            });
        }
        Ok(Self {
            update: Some(update).filter(|text| !text.is_empty()),
            condition: Some(tests.join(" AND ")).filter(|text| !text.is_empty()),
            names: Some(aliases.names).filter(|names| !names.is_empty()),
            values: Some(aliases.values).filter(|values| !values.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> AttributeValue {
        AttributeValue::Text(value.into())
    }

    #[test]
    fn every_name_and_value_is_aliased_by_position() {
        let assign = |attribute: &str, change| Assignment {
            attribute: attribute.into(),
            change,
        };
        let expression = Expression::new(
            &[
                assign("a = :x, b", Change::Set(text("1"))),
                assign("#n0", Change::SetIfAbsent(text("2"))),
                assign("rate-limit.v2", Change::Add("-3".into())),
                assign("old", Change::Remove),
            ],
            &[
                Condition {
                    attribute: "_applied_0".into(),
                    test: Test::AbsentOrLessThan(text("m")),
                },
                Condition {
                    attribute: "rf".into(),
                    test: Test::Equals(AttributeValue::Number("5".into())),
                },
            ],
        )
        .unwrap();
        assert_eq!(
            expression.update.unwrap(),
            "SET #n0 = :v0, #n1 = if_not_exists(#n1, :v1) ADD #n2 :v2 REMOVE #n3"
        );
        assert_eq!(
            expression.condition.unwrap(),
            "(attribute_not_exists(#n4) OR #n4 < :v3) AND #n5 = :v4"
        );
        assert_eq!(expression.names.unwrap()["#n0"], "a = :x, b");
        assert_eq!(expression.values.unwrap()[":v2"], SdkValue::N("-3".into()));
    }

    #[test]
    fn every_test_has_its_expression() {
        for (test, rendered) in [
            (Test::Absent, "attribute_not_exists(#n0)"),
            (Test::Present, "attribute_exists(#n0)"),
            (Test::Equals(text("x")), "#n0 = :v0"),
            (Test::LessThan(text("x")), "#n0 < :v0"),
            (Test::AtMost(text("x")), "#n0 <= :v0"),
            (
                Test::AbsentOrLessThan(text("x")),
                "(attribute_not_exists(#n0) OR #n0 < :v0)",
            ),
        ] {
            let expression = Expression::new(
                &[],
                &[Condition {
                    attribute: "a".into(),
                    test,
                }],
            )
            .unwrap();
            assert_eq!(
                (expression.update, expression.condition.as_deref()),
                (None, Some(rendered))
            );
        }
    }

    #[test]
    fn nothing_to_say_gives_no_expression() {
        assert_eq!(Expression::new(&[], &[]).unwrap(), Expression::default());
    }
}
