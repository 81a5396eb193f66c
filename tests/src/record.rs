//! Stream records as DynamoDB delivers them, of every schema generation.
//!
//! A builder starts from a bucket, or an audit event, as clients write it, and gives the records of its life:
//! `bucket(C).entity("user-1").limit("tpm", |limit| limit.consumed(5_000)).modify()`. What a builder has no
//! word for is changed in the record itself: `record.with("/dynamodb/NewImage/rf", json!(5))`.
//!
//! Amounts are in thousandths of a token, as in the table.

use serde_json::{Map, Value, json};

/// When tests process their batches: 2024-01-01T12:01:00Z, in milliseconds.
pub const NOW: u64 = 1_704_110_460_000;

/// When the buckets were last refilled: 20 seconds before [`NOW`], in milliseconds.
pub const REFILLED: i64 = 1_704_110_440_000;

/// When the records were written: 5 seconds before [`NOW`], in seconds.
pub const CREATED: i64 = 1_704_110_455;

/// The tenant whose table items these are.
pub const NAMESPACE: &str = "a7x3kq2mZ_k";

/// The stream that the records come from.
pub const STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/2024-01-01T00:00:00.000";

/// A sequence number has 21 digits or more; the least.
const FIRST_NUMBER: u128 = 100_000_000_000_000_000_000;

/// A schema generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// v0.9: no namespace, with burst.
    A,
    /// Namespaced, with burst. Never released.
    B1,
    /// v0.10.0: namespaced, without burst.
    B2,
    /// v0.10.1 to v0.10.3: sharded.
    C,
    /// v0.14 and later: as C, with schedules.
    D,
}

impl Generation {
    fn is_namespaced(self) -> bool {
        self != Self::A
    }

    fn is_sharded(self) -> bool {
        matches!(self, Self::C | Self::D)
    }

    fn has_burst(self) -> bool {
        matches!(self, Self::A | Self::B1)
    }

    fn prefixed(self, rest: &str) -> String {
        if self.is_namespaced() {
            format!("{NAMESPACE}/{rest}")
        } else {
            rest.into()
        }
    }
}

/// A value of type S.
pub fn string(text: impl Into<String>) -> Value {
    let text: String = text.into();
    json!({ "S": text })
}

/// A value of type N.
pub fn number(number: impl ToString) -> Value {
    json!({ "N": number.to_string() })
}

// ----------------------------------------------------------------------------------------------- buckets

/// A bucket of that generation, of `user-1` and `gpt-4`, without limits but the one for writes that C has.
pub fn bucket(generation: Generation) -> Bucket {
    let bucket = Bucket {
        generation,
        entity: "user-1".into(),
        resource: "gpt-4".into(),
        shard: 0,
        shard_count: 1,
        refilled: REFILLED,
        limits: Vec::new(),
    };
    if generation.is_sharded() {
        bucket.limit("wcu", |limit| {
            limit.capacity(1_000_000).refill(1_000_000, 1_000)
        })
    } else {
        bucket
    }
}

/// A bucket after its last change.
#[derive(Clone, Debug)]
pub struct Bucket {
    generation: Generation,
    entity: String,
    resource: String,
    shard: u32,
    shard_count: i64,
    refilled: i64,
    limits: Vec<Limit>,
}

impl Bucket {
    /// Of this entity.
    pub fn entity(mut self, entity: &str) -> Self {
        self.entity = entity.into();
        self
    }

    /// Of this resource.
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = resource.into();
        self
    }

    /// This shard of it.
    pub fn shard(mut self, shard: u32) -> Self {
        self.shard = shard;
        self
    }

    /// Split into so many shards.
    pub fn shard_count(mut self, count: i64) -> Self {
        self.shard_count = count;
        self
    }

    /// Last refilled then, in milliseconds.
    pub fn refilled(mut self, at: i64) -> Self {
        self.refilled = at;
        self
    }

    /// With one more limit, of 10,000 tokens a minute unless `describe` says otherwise.
    pub fn limit(mut self, name: &str, describe: impl FnOnce(Limit) -> Limit) -> Self {
        let limit = Limit {
            name: name.into(),
            capacity: 10_000_000,
            burst: None,
            refill_amount: 10_000_000,
            refill_period: 60_000,
            tokens: None,
            total: 0,
            consumed: 0,
        };
        self.limits.push(describe(limit));
        self
    }

    /// Takes tokens the way a client does, a write token with them where there are such, and gives the record
    /// of it.
    pub fn consume(&mut self, limit: &str, amount: i64) -> Record {
        for held in &mut self.limits {
            held.consumed = 0;
            if held.name == limit {
                held.take(amount);
            } else if held.name == "wcu" && self.generation.is_sharded() {
                held.take(1_000);
            }
        }
        self.modify()
    }

    /// The item as it is stored.
    pub fn item(&self) -> Value {
        self.image(|limit| (limit.left(), limit.total))
    }

    /// The record of its creation.
    pub fn insert(&self) -> Record {
        Record::new("INSERT", None, Some(self.item()))
    }

    /// The record of its last change.
    pub fn modify(&self) -> Record {
        let before =
            self.image(|limit| (limit.left() + limit.consumed, limit.total - limit.consumed));
        Record::new("MODIFY", Some(before), Some(self.item()))
    }

    /// The record of its deletion.
    pub fn remove(&self) -> Record {
        Record::new("REMOVE", Some(self.item()), None)
    }

    /// The item with these tokens and totals.
    fn image(&self, counters: impl Fn(&Limit) -> (i64, i64)) -> Value {
        let Self {
            generation,
            entity,
            resource,
            shard,
            ..
        } = self;
        let mut image = Map::new();
        let mut set = |name: &str, value: Value| image.insert(name.into(), value);
        let rest = if generation.is_sharded() {
            format!("BUCKET#{entity}#{resource}#{shard}")
        } else {
            format!("ENTITY#{entity}")
        };
        let sort = if generation.is_sharded() {
            "#STATE".into()
        } else {
            format!("#BUCKET#{resource}")
        };
        set("PK", string(generation.prefixed(&rest)));
        set("SK", string(sort));
        set("entity_id", string(entity));
        set("resource", string(resource));
        set("rf", number(self.refilled));
        set("cascade", json!({ "BOOL": false }));
        set("ttl", number(1_704_540_000));
        set(
            "GSI2PK",
            string(generation.prefixed(&format!("RESOURCE#{resource}"))),
        );
        if generation.is_sharded() {
            set("GSI2SK", string(format!("BUCKET#{entity}#{shard}")));
            set(
                "GSI3PK",
                string(generation.prefixed(&format!("ENTITY#{entity}"))),
            );
            set("GSI3SK", string(format!("BUCKET#{resource}#{shard}")));
            set("GSI4SK", string(&rest));
            set("shard_count", number(self.shard_count));
        } else {
            set("GSI2SK", string(format!("BUCKET#{entity}")));
        }
        if generation.is_namespaced() {
            set("GSI4PK", string(NAMESPACE));
        }
        if generation.is_namespaced() && !generation.is_sharded() {
            set(
                "GSI4SK",
                string(generation.prefixed(&format!("ENTITY#{entity}"))),
            );
        }
        if *generation == Generation::D {
            set("sched", string("1h0s500"));
        }
        for limit in &self.limits {
            let (tokens, total) = counters(limit);
            let burst = limit.burst.unwrap_or(limit.capacity);
            let fields = [
                ("tk", tokens),
                ("cp", limit.capacity),
                ("ra", limit.refill_amount),
                ("rp", limit.refill_period),
                ("tc", total),
            ];
            let burst = generation.has_burst().then_some(("bx", burst));
            for (field, value) in fields.into_iter().chain(burst) {
                set(&format!("b_{}_{field}", limit.name), number(value));
            }
        }
        Value::Object(image)
    }
}

/// A limit of a bucket after its last change.
#[derive(Clone, Debug)]
pub struct Limit {
    name: String,
    capacity: i64,
    burst: Option<i64>,
    refill_amount: i64,
    /// In milliseconds.
    refill_period: i64,
    /// Left now; none for what the capacity leaves.
    tokens: Option<i64>,
    /// Consumed in all.
    total: i64,
    /// Consumed in the last change.
    consumed: i64,
}

impl Limit {
    /// Holds so much.
    pub fn capacity(mut self, capacity: i64) -> Self {
        self.capacity = capacity;
        self
    }

    /// Holds so much at times. Only generations A and B1 have it.
    pub fn burst(mut self, burst: i64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Gains `amount` in each `period` of milliseconds.
    pub fn refill(mut self, amount: i64, period: i64) -> Self {
        self.refill_amount = amount;
        self.refill_period = period;
        self
    }

    /// Has so much left, after its last change.
    pub fn tokens(mut self, tokens: i64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Lost so much in its last change; a negative amount is a refund.
    pub fn consumed(mut self, amount: i64) -> Self {
        self.total += amount;
        self.consumed = amount;
        self
    }

    fn take(&mut self, amount: i64) {
        self.tokens = self.tokens.map(|tokens| tokens - amount);
        self.total += amount;
        self.consumed = amount;
    }

    /// What is left now.
    fn left(&self) -> i64 {
        self.tokens.unwrap_or(self.capacity - self.total)
    }
}

// ------------------------------------------------------------------------------------------------- audit

/// An audit event of that generation, about `user-1`.
pub fn audit(generation: Generation, event_id: &str) -> Audit {
    Audit {
        generation,
        event_id: event_id.into(),
        timestamp: "2024-01-01T11:00:00Z".into(),
        details: json!({ "M": {} }),
    }
}

/// An audit event.
#[derive(Clone, Debug)]
pub struct Audit {
    generation: Generation,
    event_id: String,
    timestamp: String,
    details: Value,
}

impl Audit {
    /// Of that time.
    pub fn at(mut self, timestamp: &str) -> Self {
        self.timestamp = timestamp.into();
        self
    }

    /// With these details, a typed value.
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// The item as it is stored.
    pub fn item(&self) -> Value {
        let pk = self.generation.prefixed("AUDIT#user-1");
        let mut image = json!({
            "PK": string(&pk),
            "SK": string(format!("#AUDIT#{}", self.event_id)),
            "entity_id": string("user-1"),
            "event_id": string(&self.event_id),
            "timestamp": string(&self.timestamp),
            "action": string("limits_set"),
            "principal": string("arn:aws:iam::123456789012:user/admin"),
            "resource": { "NULL": true },
            "details": self.details,
            "ttl": number(1_704_110_000),
        });
        if self.generation.is_namespaced() {
            image["GSI4PK"] = string(NAMESPACE);
            image["GSI4SK"] = string(pk);
        }
        image
    }

    /// The record of its expiry.
    pub fn expire(&self) -> Record {
        let service = json!({ "type": "Service", "principalId": "dynamodb.amazonaws.com" });
        Record::new("REMOVE", Some(self.item()), None).with("/userIdentity", service)
    }
}

// ----------------------------------------------------------------------------------------------- records

/// A record of a DynamoDB stream, as Lambda delivers it.
#[derive(Clone, Debug)]
pub struct Record(Value);

impl Record {
    /// The first record of its stream, with the key that its images have.
    fn new(name: &str, old: Option<Value>, new: Option<Value>) -> Self {
        let image = new.as_ref().or(old.as_ref());
        let keys = image.map(|image| json!({ "PK": image["PK"], "SK": image["SK"] }));
        let mut change = json!({
            "ApproximateCreationDateTime": CREATED,
            "Keys": keys,
            "SizeBytes": 400,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        });
        for (name, image) in [("OldImage", old), ("NewImage", new)] {
            if let Some(image) = image {
                change[name] = image;
            }
        }
        let record = json!({
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "eventSourceARN": STREAM,
            "dynamodb": change,
        });
        Self(record).numbered(1)
    }

    /// The record at this place of its stream.
    pub fn numbered(self, place: u32) -> Self {
        let sequence = FIRST_NUMBER + u128::from(place);
        self.with("/dynamodb/SequenceNumber", json!(sequence.to_string()))
            .with("/eventID", json!(format!("{place:032x}")))
    }

    /// Written at this time, in seconds.
    pub fn created(self, at: i64) -> Self {
        self.with("/dynamodb/ApproximateCreationDateTime", json!(at))
    }

    /// From this stream.
    pub fn stream(self, arn: &str) -> Self {
        self.with("/eventSourceARN", json!(arn))
    }

    /// With this value in that place, a JSON pointer. All but the last name of the place must be there.
    pub fn with(mut self, place: &str, value: Value) -> Self {
        let (members, name) = self.members(place);
        members.insert(name.into(), value);
        self
    }

    /// Without the value in that place.
    pub fn without(mut self, place: &str) -> Self {
        let (members, name) = self.members(place);
        members.remove(name);
        self
    }

    /// Every place in it, outermost first.
    pub fn places(&self) -> Vec<String> {
        let mut places = vec![String::new()];
        let mut next = 0;
        while let Some(place) = places.get(next).cloned() {
            let members = self.0.pointer(&place).and_then(Value::as_object);
            let names = members.into_iter().flat_map(Map::keys);
            places.extend(names.map(|name| format!("{place}/{name}")));
            next += 1;
        }
        // The first is the record itself.
        places.split_off(1)
    }

    fn members<'p>(&mut self, place: &'p str) -> (&mut Map<String, Value>, &'p str) {
        let (parent, name) = place.rsplit_once('/').expect("a place begins with a slash");
        let parent = self.0.pointer_mut(parent).and_then(Value::as_object_mut);
        (parent.expect("the record has such a place"), name)
    }

    /// Its JSON text.
    pub fn json(&self) -> String {
        self.0.to_string()
    }
}

/// The records, each at the next place of their stream.
pub fn numbered(records: impl IntoIterator<Item = Record>) -> Vec<Record> {
    (1..)
        .zip(records)
        .map(|(place, record)| record.numbered(place))
        .collect()
}

/// The event with these records.
pub fn event<'r>(records: impl IntoIterator<Item = &'r Record>) -> Vec<u8> {
    let records: Vec<_> = records.into_iter().map(Record::json).collect();
    format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes()
}
