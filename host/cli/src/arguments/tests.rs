//! The settings as a whole: defaults, errors, blanks.

use super::{Arguments, BadArgument};
use weir::{
    settings::{CEILING, Corrections, MAX_SHARD_COUNT, Settings},
    telemetry::{ApplicationLevel, Format},
};

type Field = fn(&mut Arguments) -> &mut Option<String>;

fn with(field: Field, value: &str) -> Result<Settings, BadArgument> {
    let mut arguments = Arguments::default();
    *field(&mut arguments) = Some(value.into());
    arguments.settings()
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let settings = Arguments::default().settings().unwrap();
    assert_eq!(settings.table, "rate-limits");
    assert_eq!(settings.logic.windows, ["hourly", "daily"]);
    assert_eq!(settings.logic.snapshot_ttl_days, 90);
    assert_eq!(settings.logic.corrections, Corrections::All);
    let defaults = [(CEILING, "capacity", None), (MAX_SHARD_COUNT, "32", None)];
    assert_eq!(options(&settings), defaults);
    assert!(!settings.logic.archive && settings.bucket.is_none());
}

/// The options, each with the variable that names it.
fn options(settings: &Settings) -> Vec<(&str, &str, Option<&str>)> {
    let options = settings.logic.options.iter();
    options
        .map(|option| (&*option.name, &*option.value, option.variable))
        .collect()
}

#[test]
fn options_are_passed_on_whatever_they_are_and_two_have_a_setting_of_their_own() {
    let further = " first-weekday=sunday, max-shard-count = 8,note=a=b,empty=";
    let settings = with(|a| &mut a.logic.logic_options, further).unwrap();
    let by_list = Some("LOGIC_OPTIONS");
    assert_eq!(
        options(&settings),
        [
            (CEILING, "capacity", None),
            ("first-weekday", "sunday", by_list),
            (MAX_SHARD_COUNT, "8", by_list),
            ("note", "a=b", by_list),
            ("empty", "", by_list),
        ]
    );
    let settings = with(|a| &mut a.logic.max_shard_count, "16").unwrap();
    assert_eq!(
        options(&settings).last(),
        Some(&(MAX_SHARD_COUNT, "16", Some("MAX_SHARD_COUNT")))
    );
    let settings = with(|a| &mut a.logic.burst_ceiling, "TRUE").unwrap();
    assert_eq!(
        options(&settings).last(),
        Some(&(CEILING, "burst", Some("BURST_CEILING")))
    );
    let mut twice = Arguments::default();
    twice.logic.max_shard_count = Some("16".into());
    twice.logic.logic_options = Some("max-shard-count=8".into());
    let refused = twice.settings().unwrap_err().to_string();
    assert!(
        refused.starts_with("LOGIC_OPTIONS (--logic-options) is `max-shard-count=8`; allowed:")
    );
}

#[test]
fn names_that_this_host_has_never_heard_of_are_left_to_the_component() {
    let settings = with(|a| &mut a.logic.snapshot_windows, "hourly,weekly").unwrap();
    assert_eq!(settings.logic.windows, ["hourly", "weekly"]);
    for (text, expected) in [
        ("none", Corrections::Named(vec![])),
        (
            "event-time, whole-weeks",
            Corrections::Named(vec!["event-time".into(), "whole-weeks".into()]),
        ),
    ] {
        let settings = with(|a| &mut a.logic.corrections, text).unwrap();
        assert_eq!(settings.logic.corrections, expected);
    }
}

#[test]
fn a_bad_value_names_the_variable_the_value_and_what_is_allowed() {
    let cases: [(Field, &str, &str); 22] = [
        (
            |a| &mut a.component.logic_component,
            "s3://bucket",
            "LOGIC_COMPONENT",
        ),
        (
            |a| &mut a.component.logic_shadow,
            "s3:///key",
            "LOGIC_SHADOW",
        ),
        (|a| &mut a.capture.capture_every, "0", "CAPTURE_EVERY"),
        (|a| &mut a.capture.capture_names, "secret", "CAPTURE_NAMES"),
        (
            |a| &mut a.logic.snapshot_windows,
            "hourly,,daily",
            "SNAPSHOT_WINDOWS",
        ),
        (
            |a| &mut a.place.archive_bucket_name,
            "s3://archive",
            "ARCHIVE_BUCKET_NAME",
        ),
        (
            |a| &mut a.place.archive_bucket_name,
            "archive/audit",
            "ARCHIVE_BUCKET_NAME",
        ),
        (|a| &mut a.logic.snapshot_ttl_days, "0", "SNAPSHOT_TTL_DAYS"),
        (
            |a| &mut a.logic.snapshot_ttl_days,
            "ninety",
            "SNAPSHOT_TTL_DAYS",
        ),
        (|a| &mut a.logic.enable_archival, "yes", "ENABLE_ARCHIVAL"),
        (|a| &mut a.logic.corrections, "all,none", "CORRECTIONS"),
        (|a| &mut a.logic.logic_options, "monday", "LOGIC_OPTIONS"),
        (|a| &mut a.logic.logic_options, "a=1,a=2", "LOGIC_OPTIONS"),
        (|a| &mut a.logic.burst_ceiling, "1", "BURST_CEILING"),
        (|a| &mut a.logic.max_shard_count, "0", "MAX_SHARD_COUNT"),
        (
            |a| &mut a.place.write_concurrency,
            "-1",
            "WRITE_CONCURRENCY",
        ),
        (|a| &mut a.component.policy, "none", "POLICY"),
        (|a| &mut a.log.log_level, "loud", "LOG_LEVEL"),
        (|a| &mut a.log.metrics, "statsd", "METRICS"),
        (|a| &mut a.component.logic_sha256, "abc", "LOGIC_SHA256"),
        (
            |a| &mut a.component.logic_timeout_ms,
            "1",
            "LOGIC_TIMEOUT_MS",
        ),
        (
            |a| &mut a.component.logic_memory_mib,
            "1e3",
            "LOGIC_MEMORY_MIB",
        ),
    ];
    for (field, value, variable) in cases {
        let said = with(field, value).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{variable} (--")), "{said}");
        assert!(said.contains(&format!("is `{value}`; allowed: ")), "{said}");
    }
}

#[test]
fn windows_are_trimmed_and_taken_once() {
    let settings = with(|a| &mut a.logic.snapshot_windows, "daily, hourly,daily").unwrap();
    assert_eq!(settings.logic.windows, ["daily", "hourly"]);
}

#[test]
fn a_location_is_trimmed_and_a_blank_one_is_none() {
    for (text, expected) in [
        (" s3://logic/new.wasm ", Some("s3://logic/new.wasm")),
        ("new.wasm", Some("new.wasm")),
        (" ", None),
    ] {
        let settings = with(|a| &mut a.component.logic_shadow, text).unwrap();
        let shadow = settings.component.shadow.map(|origin| origin.to_string());
        assert_eq!(shadow.as_deref(), expected, "{text}");
    }
}

#[test]
fn archival_without_a_bucket_is_refused() {
    let mut arguments = Arguments::default();
    arguments.logic.enable_archival = Some("TRUE".into());
    for blank in [None, Some(""), Some(" ")] {
        arguments.place.archive_bucket_name = blank.map(str::to_owned);
        assert_eq!(arguments.settings().unwrap_err(), BadArgument::NoBucket);
    }
    arguments.place.archive_bucket_name = Some("archive".into());
    assert!(arguments.settings().unwrap().logic.archive);
}

#[test]
fn names_of_table_and_bucket_are_trimmed() {
    let settings = with(|a| &mut a.place.table_name, " limits\r\n").unwrap();
    assert_eq!(settings.table, "limits");
    let settings = with(|a| &mut a.place.archive_bucket_name, "\tarchive ").unwrap();
    assert_eq!(settings.bucket.as_deref(), Some("archive"));
    let point = "arn:aws:s3:us-east-1:123456789012:accesspoint/archive";
    let settings = with(|a| &mut a.place.archive_bucket_name, point).unwrap();
    assert_eq!(settings.bucket.as_deref(), Some(point));
}

#[test]
fn the_level_is_the_stricter_one_of_the_operators_and_lambdas() {
    use weir::contract::Level::{Debug, Error, Info, Warning};
    for (own, lambda, expected) in [
        (None, None, Info),
        (Some("debug"), None, Debug),
        (None, Some("TRACE"), Debug),
        (None, Some("DEBUG"), Debug),
        (None, Some("WARN"), Warning),
        (None, Some("FATAL"), Error),
        (Some("debug"), Some("INFO"), Info),
        (Some("error"), Some("INFO"), Error),
        (Some("info"), Some("ERROR"), Error),
        (Some("warning"), Some("DEBUG"), Warning),
        (Some("warning"), Some("one of tomorrow"), Warning),
    ] {
        let mut arguments = Arguments::default();
        arguments.log.log_level = own.map(str::to_owned);
        arguments.log.aws_lambda_log_level = lambda.map(str::to_owned);
        let settings = arguments.settings().unwrap();
        assert_eq!(settings.logic.level, expected, "{own:?} {lambda:?}");
    }
}

#[test]
fn the_format_of_lines_is_lambdas() {
    let format = |format: Option<&str>, level: Option<&str>| {
        let mut arguments = Arguments::default();
        arguments.log.aws_lambda_log_format = format.map(str::to_owned);
        arguments.log.aws_lambda_log_level = level.map(str::to_owned);
        arguments.log.format()
    };
    for text in [None, Some("Text"), Some(""), Some("one of tomorrow")] {
        assert_eq!(format(text, Some("ERROR")), Format::Text, "{text:?}");
    }
    let json = Some("JSON");
    assert_eq!(format(json, None), Format::Json(ApplicationLevel::Info));
    assert_eq!(
        format(json, Some("FATAL")),
        Format::Json(ApplicationLevel::Fatal)
    );
}

#[test]
fn a_blank_value_is_none_for_every_setting() {
    let names: Vec<_> = <Arguments as clap::Args>::augment_args(clap::Command::new("weir"))
        .get_arguments()
        .map(|argument| argument.get_long().unwrap().to_owned())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }
    let settings = |flags: &[String]| {
        let all = ["weir".to_owned()].into_iter().chain(flags.to_vec());
        let program = <Program as clap::Parser>::try_parse_from(all).unwrap();
        format!("{:?}", program.arguments.settings().unwrap())
    };
    for name in names {
        for blank in ["", " ", "\t\n"] {
            assert_eq!(
                settings(&[format!("--{name}={blank}")]),
                settings(&[]),
                "{name}"
            );
        }
    }
}
