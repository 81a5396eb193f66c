//! Whether a batch comes from a table's stream with both images; any other is refused as a whole.
//!
//! A source that is not the table's stream, or a stream that was made without images, is a fault of the set-up:
//! rejecting record by record would acknowledge all that comes until somebody notices (rules: "Records").

use crate::event::{Action, Change, Element, Record};
use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// The `eventSource` of a table's stream.
const STREAM: &str = "aws:dynamodb";

/// The view type that usage is computed from.
const BOTH_IMAGES: &str = "NEW_AND_OLD_IMAGES";

/// Most characters of an event's own text in a message.
const QUOTED: usize = 64;

/// A service whose events are told from a stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The member that its records have and no record of a stream has.
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

/// Where a record comes from that is none of a table's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign<'a> {
    /// A service that is known.
    Known(&'static Service),
    /// Another one: its `eventSource`.
    Other(Cow<'a, str>),
}

impl<'a> Foreign<'a> {
    /// Told by the text of `eventSource`; none for a table's stream.
    pub fn by_source(source: Cow<'a, str>) -> Option<Self> {
        let known = SERVICES.iter().find(|service| service.source == source);
        match known {
            Some(service) => Some(Self::Known(service)),
            None => (source != STREAM).then_some(Self::Other(source)),
        }
    }

    /// Told by the name of one of a record's members.
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

/// As much of an event's own text as a message should have.
fn quoted(text: &str) -> &str {
    let end = text.char_indices().nth(QUOTED).map(|(at, _)| at);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// What an event is that has no `Records` but a member of this name, if that tells.
pub fn other_event(member: &str) -> Option<String> {
    let (_, what) = OTHER_EVENTS.iter().find(|(name, _)| *name == member)?;
    Some(format!("this is {what}, not a batch of a table's stream"))
}

/// Why none of these records may be used, if so.
pub fn refusal(elements: &[Element<'_>]) -> Option<String> {
    let records = || elements.iter().filter_map(Element::record);
    if let Some(foreign) = records().find_map(|record| record.foreign.as_ref()) {
        return Some(foreign.to_string());
    }
    let view = records().find_map(|record| record.change.view.as_deref().filter(is_partial));
    if let Some(view) = view {
        let view = quoted(view);
        return Some(format!(
            "the stream has the view type {view}, without what usage is computed from{ENABLE_ANEW}"
        ));
    }
    let modified: Vec<&Record<'_>> = records()
        .filter(|record| record.action == Action::Modify)
        .collect();
    // One record may be damaged; of a stream with both images no two lack the same.
    let all_lack = |lacks: fn(&Change<'_>) -> bool| {
        modified.len() > 1
            && modified
                .iter()
                .all(|record| record.malformed.is_none() && lacks(&record.change))
    };
    let image = if all_lack(|change| change.old.is_none()) {
        "OldImage"
    } else if all_lack(|change| change.new.is_none()) {
        "NewImage"
    } else {
        return None;
    };
    Some(format!(
        "all {} MODIFY records lack {image}, so the stream has another view type than {BOTH_IMAGES}{ENABLE_ANEW}",
        modified.len()
    ))
}

/// What to do about a stream without both images. Its view type cannot be changed.
const ENABLE_ANEW: &str = ". Disable the table's stream, enable it again with NEW_AND_OLD_IMAGES, and use the new stream as the event source";

fn is_partial(view: &&str) -> bool {
    *view != BOTH_IMAGES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;

    fn refused(records: &str) -> Option<String> {
        refusal(&event::parse(&format!("{{\"Records\":[{records}]}}")).unwrap())
    }

    #[test]
    fn another_source_is_told_by_its_name_and_by_the_shape_of_its_records() {
        for (record, what) in [
            (
                r#"{"eventSource":"aws:kinesis"}"#,
                "Kinesis Data Streams for DynamoDB is not supported",
            ),
            (
                r#"{"kinesis":{"data":""},"dynamodb":{}}"#,
                "records of a Kinesis data stream",
            ),
            (r#"{"eventSource":"aws:sqs"}"#, "messages of a queue"),
            (r#"{"messageId":"1","body":"{}"}"#, "messages of a queue"),
            (r#"{"EventSource":"aws:sns","Sns":{}}"#, "an SNS topic"),
            (r#"{"s3":{}}"#, "an S3 bucket"),
            (r#"{"ses":{}}"#, "SES"),
            (r#"{"codecommit":{}}"#, "CodeCommit"),
            (r#"{"cf":{}}"#, "CloudFront"),
            (r#"{"eventSource":"aws:kafka"}"#, "(eventSource aws:kafka)"),
            (
                r#"{"eventSource":"AWS:DynamoDB"}"#,
                "(eventSource AWS:DynamoDB)",
            ),
            (r#"{"eventSource":""}"#, "another service"),
        ] {
            let good = r#"{"eventSource":"aws:dynamodb","dynamodb":{}}"#;
            let text = refused(&format!("{good},{record}")).unwrap_or_default();
            assert!(
                text.contains(what) && text.contains("stream"),
                "{record}: {text}"
            );
        }
        for record in [
            "{}",
            "5",
            r#"{"eventSource":null}"#,
            r#"{"eventSource":{"S":"x"}}"#,
        ] {
            assert_eq!(refused(record), None, "{record}");
        }
    }

    #[test]
    fn an_event_source_of_any_length_is_quoted_in_part() {
        let long = "é".repeat(10_000);
        let text = refused(&format!("{{\"eventSource\":\"{long}\"}}")).unwrap();
        assert!(text.len() < 500, "{text}");
    }

    #[test]
    fn a_view_type_that_lacks_an_image_is_named_with_the_remedy() {
        for view in ["NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY", "new_and_old_images"] {
            let good = r#"{"dynamodb":{"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;
            let bad = format!(r#"{{"dynamodb":{{"StreamViewType":"{view}"}}}}"#);
            let text = refused(&format!("{good},{bad}")).unwrap();
            assert!(text.contains(&format!("the view type {view},")), "{text}");
            assert!(
                text.contains("enable it again with NEW_AND_OLD_IMAGES"),
                "{text}"
            );
        }
        for view in ["null", "5", "{}", r#""NEW_AND_OLD_IMAGES""#] {
            let record = format!(r#"{{"dynamodb":{{"StreamViewType":{view}}}}}"#);
            assert_eq!(refused(&record), None, "{view}");
        }
    }

    #[test]
    fn an_image_that_several_records_lack_and_none_has_is_lacking_in_the_stream() {
        let modify = |images: &str| format!(r#"{{"eventName":"MODIFY","dynamodb":{{{images}}}}}"#);
        let both = modify(r#""NewImage":{},"OldImage":{}"#);
        let (new, old) = (modify(r#""NewImage":{}"#), modify(r#""OldImage":{}"#));
        let (neither, damaged) = (modify(""), modify(r#""NewImage":{},"OldImage":null"#));
        let insert = r#"{"eventName":"INSERT","dynamodb":{"NewImage":{}}}"#.to_string();
        for (records, lacking) in [
            (vec![&new, &new], Some("all 2 MODIFY records lack OldImage")),
            (
                vec![&old, &old, &insert],
                Some("all 2 MODIFY records lack NewImage"),
            ),
            (vec![&neither, &old], Some("lack NewImage")),
            (vec![&neither, &new], Some("lack OldImage")),
            // Each of these is a fault of the one record.
            (vec![&new], None),
            (vec![&neither, &insert], None),
            (vec![&new, &both], None),
            (vec![&new, &old], None),
            (vec![&new, &damaged], None),
            (vec![&insert, &insert], None),
        ] {
            let records: Vec<&str> = records.into_iter().map(String::as_str).collect();
            let text = refused(&records.join(","));
            assert_eq!(
                text.as_ref()
                    .is_some_and(|text| text.contains(lacking.unwrap_or(""))),
                lacking.is_some(),
                "{records:?}: {text:?}"
            );
        }
    }

    #[test]
    fn an_event_without_records_is_told_by_its_members() {
        for (event, what) in [
            (r#"{"detail-type":"x","source":"aws.ec2"}"#, "EventBridge"),
            (r#"{"awslogs":{"data":""}}"#, "CloudWatch Logs"),
            (r#"{"deliveryStreamArn":"arn","records":[]}"#, "Firehose"),
            (
                r#"{"eventSource":"aws:kafka","eventSourceArn":"arn","records":{}}"#,
                "another event source",
            ),
            (r#"{"httpMethod":"GET"}"#, "API Gateway"),
            (r#"{"rawPath":"/"}"#, "function URL"),
            (
                r#"{"eventName":"MODIFY","dynamodb":{}}"#,
                "a record by itself",
            ),
        ] {
            let Err(event::Unreadable::NotAnEvent(text)) = event::parse(event) else {
                panic!("{event} is refused");
            };
            assert!(text.contains(what), "{event}: {text}");
        }
        assert!(event::parse(r#"{"detail-type":"x","Records":[]}"#).is_ok());
    }
}
