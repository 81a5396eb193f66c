//! What a zae-limiter client stores: the items of the sharded schema, by `docs/rules.md`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::tenants::{BucketId, Limit, LimitName};
use super::traffic::{Amount, AuditAction, AuditEvent};

/// Thousandths of a token, in which the table counts, to a token.
pub const MILLI: i64 = 1000;

/// The sort key of every bucket.
pub const BUCKET_SK: &str = "#STATE";

/// An item, as it is stored.
pub type Item = HashMap<String, AttributeValue>;

/// A new bucket of one shard, from which something is already consumed. Its items bear `writes_per_second`
/// each; `now_ms` is in epoch milliseconds.
pub fn bucket_item(
    bucket: &BucketId,
    limits: &[Limit],
    consumed: &[Amount],
    writes_per_second: i64,
    now_ms: i64,
) -> Item {
    let BucketId {
        namespace,
        entity,
        resource,
    } = bucket;
    let resource = resource.as_str();
    let writes = number(writes_per_second * MILLI);
    let mut item = HashMap::from([
        ("PK".to_owned(), text(bucket_pk(bucket, 0))),
        ("SK".to_owned(), text(BUCKET_SK)),
        ("entity_id".to_owned(), text(entity)),
        ("resource".to_owned(), text(resource)),
        ("rf".to_owned(), number(now_ms)),
        ("shard_count".to_owned(), number(1)),
        ("cascade".to_owned(), AttributeValue::Bool(false)),
        (
            "GSI2PK".to_owned(),
            text(format!("{namespace}/RESOURCE#{resource}")),
        ),
        ("GSI2SK".to_owned(), text(format!("BUCKET#{entity}#0"))),
        (
            "GSI3PK".to_owned(),
            text(format!("{namespace}/ENTITY#{entity}")),
        ),
        ("GSI3SK".to_owned(), text(format!("BUCKET#{resource}#0"))),
        ("GSI4PK".to_owned(), text(namespace)),
        (
            "GSI4SK".to_owned(),
            text(format!("BUCKET#{entity}#{resource}#0")),
        ),
        ("b_wcu_tk".to_owned(), writes.clone()),
        ("b_wcu_cp".to_owned(), writes.clone()),
        ("b_wcu_ra".to_owned(), writes),
        ("b_wcu_rp".to_owned(), number(1000)),
        ("b_wcu_tc".to_owned(), number(0)),
    ]);
    for limit in limits {
        let used = consumed
            .iter()
            .find(|amount| amount.limit == limit.name)
            .map_or(0, |amount| amount.tokens);
        let left = limit.capacity - used;
        item.insert(attribute(limit.name, "tk"), number(left * MILLI));
        item.insert(attribute(limit.name, "tc"), number(used * MILLI));
        for (name, value) in parameters(limit) {
            item.insert(name, number(value));
        }
    }
    item
}

/// The partition key of a bucket's shard.
pub fn bucket_pk(bucket: &BucketId, shard: u32) -> String {
    let BucketId {
        namespace,
        entity,
        resource,
    } = bucket;
    format!("{namespace}/BUCKET#{entity}#{}#{shard}", resource.as_str())
}

/// The attribute of one field of a limit.
pub fn attribute(limit: LimitName, field: &str) -> String {
    format!("b_{}_{field}", limit.as_str())
}

/// The attributes that hold a limit's parameters, and their values.
pub fn parameters(limit: &Limit) -> [(String, i64); 3] {
    [
        (attribute(limit.name, "cp"), limit.capacity * MILLI),
        (attribute(limit.name, "ra"), limit.refill_amount * MILLI),
        (
            attribute(limit.name, "rp"),
            limit.refill_period_seconds * 1000,
        ),
    ]
}

/// An audit record.
pub fn audit_item(event: &AuditEvent) -> Item {
    let pk = format!("{}/AUDIT#{}", event.namespace, event.subject);
    let (action, details) = match &event.action {
        AuditAction::EntityCreated => (
            "entity_created",
            HashMap::from([
                ("name".to_owned(), text(&event.subject)),
                ("parent_id".to_owned(), AttributeValue::Null(true)),
                ("cascade".to_owned(), AttributeValue::Bool(false)),
                ("metadata".to_owned(), AttributeValue::M(HashMap::new())),
            ]),
        ),
        AuditAction::LimitsSet(limits) => {
            let limits = limits.iter().map(limit_value).collect();
            (
                "limits_set",
                HashMap::from([("limits".to_owned(), AttributeValue::L(limits))]),
            )
        }
        AuditAction::LimitsDeleted => ("limits_deleted", HashMap::new()),
    };
    let resource = event
        .resource
        .map_or(AttributeValue::Null(true), |resource| {
            text(resource.as_str())
        });
    HashMap::from([
        ("PK".to_owned(), text(&pk)),
        ("SK".to_owned(), text(format!("#AUDIT#{}", event.event_id))),
        ("entity_id".to_owned(), text(&event.subject)),
        ("event_id".to_owned(), text(&event.event_id)),
        ("timestamp".to_owned(), text(&event.timestamp)),
        ("action".to_owned(), text(action)),
        (
            "principal".to_owned(),
            text("arn:aws:iam::000000000000:user/operator"),
        ),
        ("resource".to_owned(), resource),
        ("details".to_owned(), AttributeValue::M(details)),
        ("ttl".to_owned(), number(event.ttl)),
        ("GSI4PK".to_owned(), text(&event.namespace)),
        ("GSI4SK".to_owned(), text(pk)),
    ])
}

fn limit_value(limit: &Limit) -> AttributeValue {
    AttributeValue::M(HashMap::from([
        ("name".to_owned(), text(limit.name.as_str())),
        ("capacity".to_owned(), number(limit.capacity)),
        ("refill_amount".to_owned(), number(limit.refill_amount)),
        (
            "refill_period_seconds".to_owned(),
            number(limit.refill_period_seconds),
        ),
    ]))
}

/// A string value.
pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number value.
pub fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// How many shards an item of a bucket says there are; 1 if it does not say.
pub fn stored_shard_count(item: &Item) -> u32 {
    stored_number(item, "shard_count")
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count > 0)
        .unwrap_or(1)
}

/// The whole number that an attribute holds, if it holds one.
pub fn stored_number(item: &Item, attribute: &str) -> Option<i64> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}
