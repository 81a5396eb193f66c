//! A table as zae-limiter creates it.

use crate::error::LocalError;
use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
        TimeToLiveSpecification,
    },
};
use weir::aws;

/// The attribute by which items of a zae-limiter table expire (rules: "Keys").
const TTL_ATTRIBUTE: &str = "ttl";

/// Creates a table as zae-limiter does (rules: "Keys"): `PK` and `SK`, the indexes `GSI1` to `GSI4`, a stream
/// of new and old images, expiry by `ttl`, paid per request. Returns the stream's ARN.
///
/// For servers whose tables are there at once, as those of local ones are.
///
/// # Errors
/// [`LocalError::CreateTable`], also where the table exists.
pub async fn create_table(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
) -> Result<String, LocalError> {
    let failed = |reason: String| LocalError::CreateTable {
        table: table.to_owned(),
        reason,
    };
    let malformed = |error: BuildError| failed(error.to_string());

    let indexes = [
        ("GSI1", ProjectionType::All),
        ("GSI2", ProjectionType::All),
        ("GSI3", ProjectionType::KeysOnly),
        ("GSI4", ProjectionType::KeysOnly),
    ];
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()
        .map_err(malformed)?;
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream)
        .attribute_definitions(string_attribute("PK").map_err(malformed)?)
        .attribute_definitions(string_attribute("SK").map_err(malformed)?)
        .set_key_schema(Some(key_schema("PK", "SK").map_err(malformed)?));
    for (name, projection) in indexes {
        let (partition, sort) = (format!("{name}PK"), format!("{name}SK"));
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(key_schema(&partition, &sort).map_err(malformed)?))
            .projection(Projection::builder().projection_type(projection).build())
            .build()
            .map_err(malformed)?;
        request = request
            .attribute_definitions(string_attribute(&partition).map_err(malformed)?)
            .attribute_definitions(string_attribute(&sort).map_err(malformed)?)
            .global_secondary_indexes(index);
    }
    let created = request
        .send()
        .await
        .map_err(|error| failed(aws::reason(&error)))?;

    let expiry = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(TTL_ATTRIBUTE)
        .build()
        .map_err(malformed)?;
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await
        .map_err(|error| failed(aws::reason(&error)))?;

    created
        .table_description()
        .and_then(|description| description.latest_stream_arn())
        .map(str::to_owned)
        .ok_or_else(|| failed("the server made no stream for it".to_owned()))
}

fn string_attribute(name: &str) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
}

fn key_schema(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>, BuildError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .into_iter()
        .map(|(name, key_type)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(key_type)
                .build()
        })
        .collect()
}
