//! One line of metrics for each batch, in CloudWatch's embedded metric format: CloudWatch takes the figures
//! out of the log by itself, so that no call is made and no permission needed.
//!
//! The format is a JSON object that names its own metrics; the libraries for it go through a recorder shared by
//! the whole process, and this program keeps no global state.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use crate::{
    contract::Description,
    counters::{Counter, Counters, Unit},
};
use serde_json::{Map, Value, json};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Weir";

/// A metric: its name, its unit and its value.
type Metric = (String, Unit, Value);

/// The metrics of a batch, as a line. They have the function's name for a dimension; the component's version
/// goes along as a property, to be searched for.
pub fn line(counters: &Counters, function: &str, component: &Description, now: u64) -> String {
    let metrics = metrics(counters);
    let definitions: Vec<_> = metrics
        .iter()
        .map(|(name, unit, _)| json!({ "Name": name, "Unit": format!("{unit:?}") }))
        .collect();
    let mut line = Map::new();
    let directive =
        json!({ "Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": definitions });
    line.insert(
        "_aws".into(),
        json!({ "Timestamp": now, "CloudWatchMetrics": [directive] }),
    );
    line.insert("FunctionName".into(), json!(function));
    line.insert(
        "ComponentVersion".into(),
        json!(format!("{} {}", component.name, component.version)),
    );
    line.extend(metrics.into_iter().map(|(name, _, value)| (name, value)));
    Value::Object(line).to_string()
}

/// Those of the table, and two that are made of its counts.
fn metrics(counters: &Counters) -> Vec<Metric> {
    let published = |counter: &Counter| {
        let (name, unit) = counter.metric()?;
        let count = counter.of(counters);
        let value = match unit {
            Unit::Count => json!(count),
            Unit::Milliseconds => json!(count as f64 / 1000.0),
        };
        Some((name.into(), unit, value))
    };
    let mut metrics: Vec<Metric> = Counter::ALL.iter().filter_map(published).collect();
    let saved = counters
        .snapshot_updates
        .saturating_sub(counters.snapshot_writes);
    metrics.push(("WritesSaved".into(), Unit::Count, json!(saved)));
    for (purpose, count) in &counters.failures_by_purpose {
        metrics.push((format!("Failures-{purpose}"), Unit::Count, json!(count)));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_that_is_defined_has_its_value_at_the_top() {
        let mut counters = Counters {
            records: 7,
            plan_micros: 1500,
            ..Counters::default()
        };
        counters.failures_by_purpose.insert("usage".into(), 2);
        let component = Description {
            name: "logic".into(),
            version: "1".into(),
            generations: Vec::new(),
            windows: Vec::new(),
            corrections: Vec::new(),
            options: Vec::new(),
        };
        let line: Value =
            serde_json::from_str(&super::line(&counters, "f", &component, 5)).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(
                line[metric["Name"].as_str().unwrap()].is_number(),
                "{metric}"
            );
        }
        assert_eq!(
            (&line["Records"], &line["PlanTime"], &line["Failures-usage"]),
            (&json!(7), &json!(1.5), &json!(2))
        );
        assert_eq!(line[directive["Dimensions"][0][0].as_str().unwrap()], "f");
    }
}
