//! Whether a batch comes from a table's stream with both images. Any other is refused as a whole.
//!
//! Another source, or a stream without both images, is a mistake in the set-up. Rejecting its records one by one would
//! acknowledge everything until somebody notices (rules: "Records").

use super::{Element, EventName, Record, StreamRecord, foreign::quoted};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// The view type that usage is computed from.
const BOTH_IMAGES: &str = "NEW_AND_OLD_IMAGES";

/// Why none of these records may be used, if there is a reason.
pub fn refusal(elements: &[Element<'_>]) -> Option<String> {
    let records = || elements.iter().filter_map(Element::record);
    if let Some(foreign) = records().find_map(|record| record.foreign.as_ref()) {
        return Some(foreign.to_string());
    }
    let view = records().find_map(|record| record.dynamodb.view.as_deref().filter(is_partial));
    if let Some(view) = view {
        let view = quoted(view);
        return Some(format!(
            "the stream has the view type {view}, without what usage is computed from{ENABLE_ANEW}"
        ));
    }
    let modified: Vec<&Record<'_>> = records()
        .filter(|record| record.name == EventName::Modify)
        .collect();
    // One record may be damaged, but no two records of a stream with both images lack the same one.
    let all_lack = |lacks: fn(&StreamRecord<'_>) -> bool| {
        modified.len() > 1
            && modified
                .iter()
                .all(|record| record.malformed.is_none() && lacks(&record.dynamodb))
    };
    let image = if all_lack(|record| record.old.is_none()) {
        "OldImage"
    } else if all_lack(|record| record.new.is_none()) {
        "NewImage"
    } else {
        return None;
    };
    Some(format!(
        "all {} MODIFY records lack {image}, so the stream has another view type than {BOTH_IMAGES}{ENABLE_ANEW}",
        modified.len()
    ))
}

/// What to do about a stream without both images: a stream's view type cannot be changed.
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
