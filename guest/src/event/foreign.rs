//! Events of other services, told from those of a table's stream.

use alloc::{borrow::Cow, format, string::String};
use core::fmt;

/// The `eventSource` of a table's stream.
const STREAM: &str = "aws:dynamodb";

/// Most characters of an event's own text in a message.
const MAX_QUOTED_CHARS: usize = 64;

/// A service whose events are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// A member that its records have and a stream's records do not.
    mark: &'static str,
    /// Its `eventSource`.
    source: &'static str,
    /// What its records are, for people.
    records: &'static str,
    /// What to know about it, if anything.
    remark: &'static str,
}

/// Services that deliver `Records`.
const SERVICES: [Service; 7] = [
    Service {
        mark: "kinesis",
        source: "aws:kinesis",
        records: "records of a Kinesis data stream",
        remark: ". Kinesis Data Streams for DynamoDB is not supported: it may deliver the changes of an item twice and out of order. Use the table's own stream (DynamoDB Streams, view type NEW_AND_OLD_IMAGES) as the event source",
    },
    Service {
        mark: "messageId",
        source: "aws:sqs",
        records: "messages of a queue",
        remark: ". A queue behind an event source mapping holds reports of failed batches, without their records",
    },
    Service {
        mark: "Sns",
        source: "aws:sns",
        records: "messages of an SNS topic",
        remark: USE_THE_STREAM,
    },
    Service {
        mark: "s3",
        source: "aws:s3",
        records: "notifications of an S3 bucket",
        remark: USE_THE_STREAM,
    },
    Service {
        mark: "ses",
        source: "aws:ses",
        records: "messages of SES",
        remark: USE_THE_STREAM,
    },
    Service {
        mark: "codecommit",
        source: "aws:codecommit",
        records: "events of CodeCommit",
        remark: USE_THE_STREAM,
    },
    Service {
        mark: "cf",
        source: "aws:cloudfront",
        records: "requests of CloudFront",
        remark: USE_THE_STREAM,
    },
];

const USE_THE_STREAM: &str = ". Use the table's own stream (DynamoDB Streams, view type NEW_AND_OLD_IMAGES) as the event source";

/// Members of events that hold no `Records`, and whose events they are.
const OTHER_EVENTS: [(&str, &str); 8] = [
    ("detail-type", "an event of EventBridge"),
    ("awslogs", "log lines of CloudWatch Logs"),
    ("deliveryStreamArn", "records of Data Firehose"),
    ("eventSourceArn", "records of another event source"),
    ("bootstrapServers", "records of Kafka"),
    ("httpMethod", "a request of API Gateway or a load balancer"),
    ("rawPath", "a request of API Gateway or a function URL"),
    (
        "dynamodb",
        "a record by itself, without the array `Records` around it",
    ),
];

/// The service that a record comes from, if that is not a table's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign<'a> {
    /// A service whose events are known.
    Known(&'static Service),
    /// Another one: its `eventSource`.
    Other(Cow<'a, str>),
}

impl<'a> Foreign<'a> {
    /// The service of an `eventSource`; none for a table's stream.
    pub fn by_source(source: Cow<'a, str>) -> Option<Self> {
        let known = SERVICES.iter().find(|service| service.source == source);
        match known {
            Some(service) => Some(Self::Known(service)),
            None => (source != STREAM).then_some(Self::Other(source)),
        }
    }

    /// The service whose records have a member of this name.
    pub fn by_member(name: &str) -> Option<Self> {
        let known = SERVICES.iter().find(|service| service.mark == name);
        known.map(Self::Known)
    }
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, source, remark) = match self {
            Self::Known(service) => (service.records, service.source, service.remark),
            Self::Other(source) => ("events of another service", quoted(source), USE_THE_STREAM),
        };
        write!(
            f,
            "these are {records} (eventSource {source}), not records of a table's stream{remark}"
        )
    }
}

/// As much of an event's own text as a message should quote.
pub fn quoted(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_QUOTED_CHARS).map(|(at, _)| at);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// What an event without `Records` is, if the name of this member tells.
pub fn other_event(member: &str) -> Option<String> {
    let (_, what) = OTHER_EVENTS.iter().find(|(name, _)| *name == member)?;
    Some(format!("this is {what}, not a batch of a table's stream"))
}
