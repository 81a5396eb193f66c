//! A batch that every component can plan.

use crate::contract::Batch;

/// One consumption of 1 token from a sharded bucket, and one expired audit event.
const EVENT: &str = r##"{"Records":[
{"eventID":"1","eventName":"MODIFY","eventSource":"aws:dynamodb","eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:table/probe/stream/2024-01-01T00:00:00.000",
 "dynamodb":{"ApproximateCreationDateTime":1704110455,"SequenceNumber":"100000000000000000001","StreamViewType":"NEW_AND_OLD_IMAGES",
  "NewImage":{"PK":{"S":"default/BUCKET#probe#probe#0"},"SK":{"S":"#STATE"},"entity_id":{"S":"probe"},"resource":{"S":"probe"},"rf":{"N":"1704110440000"},"shard_count":{"N":"1"},
   "b_rpm_tk":{"N":"99000"},"b_rpm_cp":{"N":"100000"},"b_rpm_ra":{"N":"100000"},"b_rpm_rp":{"N":"60000"},"b_rpm_tc":{"N":"1000"}},
  "OldImage":{"PK":{"S":"default/BUCKET#probe#probe#0"},"SK":{"S":"#STATE"},"entity_id":{"S":"probe"},"resource":{"S":"probe"},"rf":{"N":"1704110440000"},"shard_count":{"N":"1"},
   "b_rpm_tk":{"N":"100000"},"b_rpm_cp":{"N":"100000"},"b_rpm_ra":{"N":"100000"},"b_rpm_rp":{"N":"60000"},"b_rpm_tc":{"N":"0"}}}},
{"eventID":"2","eventName":"REMOVE","eventSource":"aws:dynamodb","eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:table/probe/stream/2024-01-01T00:00:00.000",
 "dynamodb":{"ApproximateCreationDateTime":1704110455,"SequenceNumber":"100000000000000000002","StreamViewType":"NEW_AND_OLD_IMAGES",
  "OldImage":{"PK":{"S":"default/AUDIT#probe"},"SK":{"S":"#AUDIT#1"},"entity_id":{"S":"probe"},"event_id":{"S":"1"},"timestamp":{"S":"2024-01-01T12:00:00Z"},"action":{"S":"limits_set"},"details":{"M":{}}}}}
]}"##;

/// The batch, ten minutes after its records were written.
pub fn batch() -> Batch {
    Batch {
        event: EVENT.into(),
        now: 1_704_111_055_000,
        request_id: "probe".into(),
        known: Vec::new(),
    }
}
