//! What a write consists of, as it is compared.

use crate::{
    contract::{
        Action, Assignment, Attribute, Condition, OnConflict, Operation, PutItem, PutObject,
        UpdateItem, Write,
    },
    wording,
};
use std::fmt;

/// A detail of a write, or of a reject.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// The part of a transaction that it belongs to, from 0.
    pub part: usize,
    /// What it says.
    pub content: Content,
}

/// What a detail says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// What a part of a transaction does, to which item.
    Action(String),
    /// What is stored, and how.
    Object {
        /// Content-Type.
        content_type: String,
        /// Bytes, not packed.
        size: usize,
    },
    /// A change of an attribute.
    Assignment(Assignment),
    /// An attribute of an item that is written whole.
    Attribute(Attribute),
    /// A test of an attribute.
    Condition(Condition),
    /// A line of an object's content.
    Line(String),
    /// The records that a write accounts for, and how many updates it stands for.
    Records(Vec<u32>, u32),
    /// What follows a condition that is false.
    OnConflict(OnConflict),
    /// Why a record is rejected.
    Reason(String),
}

/// Where a detail stands in a write: its part, its kind, and its name among those of the kind.
pub(super) type Place = (usize, u8, String);

impl Detail {
    /// A detail of what is no transaction, or of all of one.
    pub(super) fn of(content: Content) -> Self {
        Self { part: 0, content }
    }

    /// Details of two writes that are at the same place are compared.
    pub(super) fn place(&self) -> Place {
        let (kind, name) = match &self.content {
            Content::Action(action) => (0, action.as_str()),
            Content::Object { .. } => (1, ""),
            Content::Assignment(assignment) => (3, assignment.attribute.as_str()),
            Content::Attribute(attribute) => (4, attribute.name.as_str()),
            Content::Condition(condition) => (5, condition.attribute.as_str()),
            Content::Line(line) => (6, line.as_str()),
            Content::Records(..) => (7, ""),
            Content::OnConflict(_) => (8, ""),
            Content::Reason(_) => (9, ""),
        };
        (self.part, kind, name.to_owned())
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.content {
            Content::Action(text) | Content::Reason(text) => return f.write_str(text),
            Content::Object { content_type, size } => wording::object(content_type, *size),
            Content::Assignment(assignment) => wording::assignment(assignment),
            Content::Attribute(attribute) => wording::attribute(attribute),
            Content::Condition(condition) => wording::condition(condition),
            Content::Line(line) => format!("| {line}"),
            Content::Records(records, updates) => wording::records(records, *updates),
            Content::OnConflict(OnConflict::Skip) => "on conflict skip".into(),
            Content::OnConflict(OnConflict::RePlan) => "on conflict re-plan".into(),
        };
        f.write_str(&text)
    }
}

/// All of a write but its purpose, its target and its id, in an order that does not depend on the plan's.
pub(super) fn of(write: &Write) -> Vec<Detail> {
    let mut details = match &write.operation {
        Operation::UpdateItem(update) => parts(0, update_of(update)),
        Operation::PutItem(put) => parts(0, put_of(put)),
        Operation::PutObject(object) => parts(0, object_of(object)),
        Operation::Transaction(actions) => {
            let actions = actions.iter().enumerate();
            actions
                .flat_map(|(part, action)| parts(part, action_of(action)))
                .collect()
        }
    };
    // Lines keep their order: they are of one kind, and the sort is stable.
    details.sort_by_cached_key(|detail| match detail.content {
        Content::Line(_) => (detail.part, 6, String::new()),
        _ => detail.place(),
    });
    let records = Content::Records(write.records.clone(), write.updates);
    let whole = [records, Content::OnConflict(write.on_conflict)];
    details.extend(whole.map(Detail::of));
    details
}

fn parts(part: usize, contents: Vec<Content>) -> Vec<Detail> {
    let contents = contents.into_iter();
    contents.map(|content| Detail { part, content }).collect()
}

fn action_of(action: &Action) -> Vec<Content> {
    match action {
        Action::UpdateItem(update) => {
            let heading = Content::Action(format!("update {}", update.key));
            [vec![heading], update_of(update)].concat()
        }
        Action::PutItem(put) => put_of(put),
        Action::Check(check) => {
            let heading = Content::Action(format!("check {}", check.key));
            [vec![heading], conditions_of(&check.conditions)].concat()
        }
    }
}

fn update_of(update: &UpdateItem) -> Vec<Content> {
    let assignments = update.assignments.iter().cloned();
    let assignments = assignments.map(Content::Assignment).collect();
    [assignments, conditions_of(&update.conditions)].concat()
}

fn put_of(put: &PutItem) -> Vec<Content> {
    let attributes = put.item.iter().cloned().map(Content::Attribute).collect();
    [attributes, conditions_of(&put.conditions)].concat()
}

fn conditions_of(conditions: &[Condition]) -> Vec<Content> {
    conditions.iter().cloned().map(Content::Condition).collect()
}

fn object_of(object: &PutObject) -> Vec<Content> {
    let heading = Content::Object {
        content_type: object.content_type.clone(),
        size: object.body.len(),
    };
    let text = String::from_utf8_lossy(&object.body);
    let lines = text.lines().map(|line| Content::Line(line.to_owned()));
    [heading].into_iter().chain(lines).collect()
}
