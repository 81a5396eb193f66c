//! Assignments and conditions → DynamoDB's expressions.
//!
//! Every name and every value goes through an alias made of its position, so no attribute name can break an expression
//! or inject into one.

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
    fn name(&mut self, attribute: String) -> String {
        let alias = format!("#n{}", self.names.len());
        self.names.insert(alias.clone(), attribute);
        alias
    }

    fn value(&mut self, value: AttributeValue) -> Result<String, Failure> {
        let alias = format!(":v{}", self.values.len());
        self.values.insert(alias.clone(), item::value(value)?);
        Ok(alias)
    }
}

/// The clauses of an update.
#[derive(Default)]
struct Clauses {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
}

impl Clauses {
    fn push(&mut self, assignment: Assignment, aliases: &mut Aliases) -> Result<(), Failure> {
        let name = aliases.name(assignment.attribute);
        match assignment.change {
            Change::Set(value) => {
                let value = aliases.value(value)?;
                self.set.push(format!("{name} = {value}"));
            }
            Change::SetIfAbsent(value) => {
                let value = aliases.value(value)?;
                self.set
                    .push(format!("{name} = if_not_exists({name}, {value})"));
            }
            Change::Add(number) => {
                let value = aliases.value(AttributeValue::Number(number))?;
                self.add.push(format!("{name} {value}"));
            }
            Change::Remove => self.remove.push(name),
        }
        Ok(())
    }

    fn text(&self) -> String {
        let clauses = [
            ("SET", &self.set),
            ("ADD", &self.add),
            ("REMOVE", &self.remove),
        ];
        let texts = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(verb, parts)| format!("{verb} {}", parts.join(", ")));
        texts.collect::<Vec<_>>().join(" ")
    }
}

impl Expression {
    /// Renders the changes of an item and the conditions they depend on.
    ///
    /// # Errors
    /// A value that is not well-formed.
    pub(super) fn new(
        assignments: Vec<Assignment>,
        conditions: Vec<Condition>,
    ) -> Result<Self, Failure> {
        let (mut aliases, mut clauses) = (Aliases::default(), Clauses::default());
        for assignment in assignments {
            clauses.push(assignment, &mut aliases)?;
        }
        let tests = conditions
            .into_iter()
            .map(|condition| test(condition, &mut aliases))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            update: Some(clauses.text()).filter(|text| !text.is_empty()),
            condition: Some(tests.join(" AND ")).filter(|text| !text.is_empty()),
            names: Some(aliases.names).filter(|names| !names.is_empty()),
            values: Some(aliases.values).filter(|values| !values.is_empty()),
        })
    }
}

fn test(condition: Condition, aliases: &mut Aliases) -> Result<String, Failure> {
    let name = aliases.name(condition.attribute);
    let mut value = |value| aliases.value(value);
    Ok(match condition.test {
        Test::Absent => format!("attribute_not_exists({name})"),
        Test::Present => format!("attribute_exists({name})"),
        Test::Equals(to) => format!("{name} = {}", value(to)?),
        Test::AtLeast(than) => format!("{name} >= {}", value(than)?),
        Test::AbsentOrEquals(to) => {
            format!("(attribute_not_exists({name}) OR {name} = {})", value(to)?)
        }
        Test::AtMost(most) => format!("{name} <= {}", value(most)?),
        Test::AbsentOrLessThan(than) => {
            format!(
                "(attribute_not_exists({name}) OR {name} < {})",
                value(than)?
            )
        }
    })
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
            vec![
                assign("a = :x, b", Change::Set(text("1"))),
                assign("#n0", Change::SetIfAbsent(text("2"))),
                assign("a-name.with#signs", Change::Add("-3".into())),
                assign("old", Change::Remove),
            ],
            vec![
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
            (Test::AtMost(text("x")), "#n0 <= :v0"),
            (Test::AtLeast(text("x")), "#n0 >= :v0"),
            (
                Test::AbsentOrEquals(text("x")),
                "(attribute_not_exists(#n0) OR #n0 = :v0)",
            ),
            (
                Test::AbsentOrLessThan(text("x")),
                "(attribute_not_exists(#n0) OR #n0 < :v0)",
            ),
        ] {
            let expression = Expression::new(
                vec![],
                vec![Condition {
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
        assert_eq!(
            Expression::new(vec![], vec![]).unwrap(),
            Expression::default()
        );
    }
}
