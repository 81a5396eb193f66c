#![expect(clippy::too_many_lines, reason = "a test is a table of its cases")]

use super::*;
use alloc::{format, string::ToString};

/// An instant in UTC; seconds may be left out.
fn utc(text: &str) -> EpochMs {
    let text = if text.len() == 16 {
        format!("{text}:00")
    } else {
        text.to_string()
    };
    let time = chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S").unwrap();
    EpochMs(time.and_utc().timestamp_millis().into())
}

const BASE: Parameters = Parameters {
    capacity: MilliTokens(10_000_000),
    amount: MilliTokens(10_000_000),
    period: 60_000,
};

/// Capacity, amount and period at an instant, and the next boundary.
fn evaluate(text: &str, zone: &str, now: &str) -> ((i128, i128, i128), EpochMs) {
    let schedule = decode(text, zone).unwrap();
    let now = utc(now);
    let found = schedule.at(BASE, now);
    let boundary = boundary(Some(&schedule), Some(&Resets::default()), now).unwrap();
    ((found.capacity.0, found.amount.0, found.period), boundary)
}

#[test]
fn the_first_entry_that_matches_is_in_force() {
    let scaled = |thousandths: i128| (10_000 * thousandths, 10_000 * thousandths, 60_000);
    let absolute = (2_000_000, 100_000, 30_000);
    for (text, zone, now, expected, boundary) in [
        (
            "1h9-17w1-5s500",
            "UTC",
            "2024-01-05T17:59:59",
            scaled(500),
            "2024-01-05T18:00",
        ),
        (
            "1h9-17w1-5s500",
            "UTC",
            "2024-01-05T18:00",
            scaled(1000),
            "2024-01-08T09:00",
        ),
        (
            "1h9-17w1-5s500",
            "America/New_York",
            "2024-03-08T22:30",
            scaled(500),
            "2024-03-08T23:00",
        ),
        (
            "1h9-17s500;h10c2000a100p30",
            "UTC",
            "2024-05-15T10:30",
            scaled(500),
            "2024-05-15T18:00",
        ),
        (
            "1h10c2000a100p30;h9-17s500",
            "UTC",
            "2024-05-15T10:30",
            absolute,
            "2024-05-15T11:00",
        ),
        (
            "1m0-29h10s500;m30-59h10s250",
            "UTC",
            "2024-05-15T10:15",
            scaled(500),
            "2024-05-15T10:30",
        ),
        (
            "1h22-23s500;h0-6s250",
            "UTC",
            "2024-05-15T23:30",
            scaled(500),
            "2024-05-16T00:00",
        ),
        (
            "1D13w5s500",
            "UTC",
            "2024-05-13T10:00",
            scaled(500),
            "2024-05-14T00:00",
        ),
        (
            "1D13w5s500",
            "UTC",
            "2024-05-17T10:00",
            scaled(500),
            "2024-05-18T00:00",
        ),
        (
            "1D*/2w5s500",
            "UTC",
            "2024-05-17T10:00",
            scaled(500),
            "2024-05-18T00:00",
        ),
        (
            "1D*/2w5s500",
            "UTC",
            "2024-05-24T10:00",
            scaled(1000),
            "2024-05-31T00:00",
        ),
        (
            "1s500",
            "UTC",
            "2024-05-15T12:00",
            scaled(500),
            "2025-05-16T12:00",
        ),
        // Entries of equal effect still change.
        (
            "1h9s500;h10s500",
            "UTC",
            "2024-05-15T09:30",
            scaled(500),
            "2024-05-15T10:00",
        ),
    ] {
        let found = evaluate(text, zone, now);
        assert_eq!(found, (expected, utc(boundary)), "{text} {zone} {now}");
    }
}

#[test]
fn skipped_local_times_never_match_and_repeated_ones_match_twice() {
    let scaled = |thousandths: i128| (10_000 * thousandths, 10_000 * thousandths, 60_000);
    for (text, zone, now, expected, boundary) in [
        // There is no hour 2 on this day.
        (
            "1h2s250",
            "America/New_York",
            "2024-03-10T06:59",
            scaled(1000),
            "2024-03-11T06:00",
        ),
        // Hour 1 comes twice.
        (
            "1h1s250",
            "America/New_York",
            "2024-11-03T05:30",
            scaled(250),
            "2024-11-03T07:00",
        ),
        (
            "1h1s250",
            "America/New_York",
            "2024-11-03T06:30",
            scaled(250),
            "2024-11-03T07:00",
        ),
        // Clocks go forward by half an hour: from 02:30 on the hour exists.
        (
            "1h2s250",
            "Australia/Lord_Howe",
            "2024-10-05T15:10",
            scaled(1000),
            "2024-10-05T15:30",
        ),
        (
            "1w7s500",
            "Europe/Berlin",
            "2024-10-26T22:30",
            scaled(500),
            "2024-10-27T23:00",
        ),
    ] {
        let found = evaluate(text, zone, now);
        assert_eq!(found, (expected, utc(boundary)), "{text} {zone} {now}");
    }
}

#[test]
fn a_scale_is_computed_in_doubles() {
    for (scale, capacity, expected) in [
        (290, 100_000, 28_999),
        (333, 10_000_000, 3_330_000),
        (290, 333, 96),
        (1, 1, 1),
        (500, 0, 1),
        (1_000_000_000, 10_i128.pow(37), i128::MAX),
    ] {
        let base = Parameters {
            capacity: MilliTokens(capacity),
            amount: MilliTokens(0),
            ..BASE
        };
        let scaled = decode(&format!("1s{scale}"), "UTC")
            .unwrap()
            .at(base, utc("2024-05-15T12:00"));
        assert_eq!(
            (scaled.capacity.0, scaled.amount.0),
            (expected, 0),
            "{scale} of {capacity}"
        );
    }
}

#[test]
fn a_reset_is_where_a_run_of_matching_minutes_begins() {
    for (text, zone, now, next, last) in [
        (
            "1m0h0",
            "Asia/Kolkata",
            "2024-05-15T18:29:59",
            "2024-05-15T18:30",
            Some("2024-05-14T18:30"),
        ),
        (
            "1m0h0",
            "Asia/Kolkata",
            "2024-05-15T18:30",
            "2024-05-16T18:30",
            Some("2024-05-15T18:30"),
        ),
        (
            "1m0h0;m0h12",
            "UTC",
            "2024-05-15T13:00",
            "2024-05-16T00:00",
            Some("2024-05-15T12:00"),
        ),
        (
            "1m0h0w1",
            "UTC",
            "2024-05-15T12:07",
            "2024-05-20T00:00",
            Some("2024-05-13T00:00"),
        ),
        (
            "1m0h0D1M1,4,7,10",
            "UTC",
            "2024-05-15T00:00",
            "2024-07-01T00:00",
            Some("2024-04-01T00:00"),
        ),
        (
            "1h9-17",
            "UTC",
            "2024-05-15T12:00",
            "2024-05-16T09:00",
            Some("2024-05-15T09:00"),
        ),
        (
            "1m*/15",
            "UTC",
            "2024-05-15T12:07",
            "2024-05-15T12:15",
            Some("2024-05-15T12:00"),
        ),
        // Always matching: there is no edge, and the boundary is the horizon.
        ("1m*", "UTC", "2024-05-15T12:00", "2025-05-16T12:00", None),
        // Skipped on the 10th.
        (
            "1m30h2",
            "America/New_York",
            "2024-03-10T12:00",
            "2024-03-11T06:30",
            Some("2024-03-09T07:30"),
        ),
        (
            "1m0h0",
            "America/Havana",
            "2024-03-10T12:00",
            "2024-03-11T04:00",
            Some("2024-03-09T05:00"),
        ),
        // Twice on the 3rd.
        (
            "1m30h1",
            "America/New_York",
            "2024-11-03T05:45",
            "2024-11-03T06:30",
            Some("2024-11-03T05:30"),
        ),
        (
            "1m30h1",
            "America/New_York",
            "2024-11-03T06:45",
            "2024-11-04T06:30",
            Some("2024-11-03T06:30"),
        ),
        // The horizon of 366 days leaves out the last minute of a leap year.
        (
            "1m0h0D1M1",
            "UTC",
            "2024-12-31T23:59",
            "2025-01-01T00:00",
            Some("2024-01-01T00:00"),
        ),
        (
            "1m0h0D1M1",
            "UTC",
            "2024-12-31T23:59:30",
            "2025-01-01T00:00",
            None,
        ),
    ] {
        let resets = decode_resets(text, zone).unwrap();
        let now = utc(now);
        let found = (
            boundary(Some(&Schedule::default()), Some(&resets), now),
            resets.last_edge(now),
        );
        assert_eq!(
            found,
            (Some(utc(next)), last.map(utc)),
            "{text} {zone} {now:?}"
        );
    }
}

#[test]
fn the_nearer_of_change_and_reset_is_the_boundary() {
    let (zone, now) = ("Asia/Tokyo", utc("2024-05-15T10:00"));
    let schedule = decode("1h9-17w1-5s500", zone).unwrap();
    let resets = decode_resets("1m0h0", zone).unwrap();
    assert_eq!(
        boundary(Some(&schedule), Some(&resets), now),
        Some(utc("2024-05-15T15:00"))
    );
    assert_eq!(
        boundary(Some(&Schedule::default()), Some(&Resets::default()), now),
        None
    );
}

#[test]
fn a_text_is_read_as_clients_read_it() {
    for text in [
        "1h9s500",
        "01h9s500",
        "1s1",
        "1D29M2s5",
        "1D31M2w1s500",
        "1wTUEs500",
        "1wtues500",
        "1MJUNs500",
        "1m0 5h D1s500",
        "1h007s500",
        "1w5s500h9M2",
        "1s+500",
        "1s 5_00 ",
        "1c1a1p1",
    ] {
        assert!(decode(text, "UTC").is_ok(), "{text}");
    }
    for text in ["1;", "1m0h0;", "1;;", "1h9-17"] {
        assert!(decode_resets(text, "UTC").is_ok(), "{text}");
    }
}

#[test]
fn what_is_no_schedule_says_why() {
    use Undecodable::*;
    let kind = Kind::Parameters;
    let malformed = |entry: &str, offset| Malformed {
        kind,
        entry: entry.into(),
        offset,
    };
    for (text, expected) in [
        (
            "-",
            NoVersion {
                kind,
                text: "-".into(),
            },
        ),
        (
            "h9s5",
            NoVersion {
                kind,
                text: "h9s5".into(),
            },
        ),
        (
            "1",
            NoEntries {
                kind,
                text: "1".into(),
            },
        ),
        (
            "00h9s5",
            InvalidVersion {
                kind,
                text: "00h9s5".into(),
                version: "00".into(),
            },
        ),
        (
            "02h9s5",
            NewerVersion {
                kind,
                text: "02h9s5".into(),
                version: "2".into(),
            },
        ),
        ("1x", malformed("x", 0)),
        ("1 h9s5", malformed(" h9s5", 0)),
        ("1wMONs500", malformed("wMONs500", 0)),
        ("1h9s5;hé9m", malformed("hé9m", 3)),
        (
            "1h9m0h9s5",
            Duplicate {
                kind,
                entry: "h9m0h9s5".into(),
                tag: 'h',
            },
        ),
        ("1m hs500", malformed("m hs500", 2)),
        (
            "1m h9s500",
            FieldCount {
                line: "  9 * * *".into(),
            },
        ),
        ("1h9", NotOneEffect),
        ("1h9s500;", NotOneEffect),
        ("1h9s500c3", NotOneEffect),
        ("1s1.5", NotAnInteger { text: "1.5".into() }),
        ("1s", malformed("s", 0)),
        (
            "1s1__0",
            NotAnInteger {
                text: "1__0".into(),
            },
        ),
        (
            "1s0",
            NotPositive {
                modifier: Modifier::Scale,
                value: 0,
            },
        ),
        (
            "1c-5",
            NotPositive {
                modifier: Modifier::Capacity,
                value: -5,
            },
        ),
        (
            "1p1000000001",
            TooLarge {
                modifier: Modifier::Period,
                value: 1_000_000_001,
            },
        ),
        (
            "1h25s5",
            BadField {
                line: "* 25 * * *".into(),
                field: CronField::Hour,
            },
        ),
        (
            "1D30M2s5",
            BadField {
                line: "* * 30 2 *".into(),
                field: CronField::DayOfMonth,
            },
        ),
        (
            "1w5#2s5",
            ExtendedToken {
                field: CronField::DayOfWeek,
            },
        ),
    ] {
        assert_eq!(decode(text, "UTC").unwrap_err(), expected, "{text}");
    }
    let tags = ['a', 's'].into();
    let entry = "h9s1a2".into();
    assert_eq!(
        decode_resets("1h9s1a2", "UTC").unwrap_err(),
        ModifiersInReset { entry, tags }
    );
}

#[test]
fn a_zone_counts_only_where_there_are_entries() {
    for zone in ["", "utc", "America", "Foo/Bar", "../x"] {
        let unknown = Undecodable::UnknownZone { zone: zone.into() };
        assert_eq!(decode("1s5", zone).unwrap_err(), unknown);
        assert_eq!(decode_resets("1m0", zone).unwrap_err(), unknown);
        assert!(decode("", zone).unwrap().is_empty());
        assert!(decode_resets("", zone).unwrap().is_empty());
    }
}

#[test]
fn a_decoder_reads_each_text_once_in_each_zone() {
    let mut decoder = Decoder::default();
    let first = decoder.schedule("1m0h0s5", "UTC").unwrap();
    assert!(alloc::rc::Rc::ptr_eq(
        &first,
        &decoder.schedule("1m0h0s5", "UTC").unwrap()
    ));
    let other = decoder.schedule("1m0h0s5", "Asia/Tokyo").unwrap();
    assert!(!alloc::rc::Rc::ptr_eq(&first, &other));
    // The same text has another meaning as resets.
    assert!(decoder.resets("1m0h0s5", "UTC").is_err());
}

#[test]
fn no_instant_is_too_far() {
    let schedule = decode("1m0h0D29M2s5", "Europe/Berlin").unwrap();
    let resets = decode_resets("1m0h0D29M2", "Europe/Berlin").unwrap();
    for now in [i128::MIN, -1, 0, i128::from(u64::MAX), i128::MAX] {
        let now = EpochMs(now);
        assert_eq!(schedule.at(BASE, now), BASE);
        assert!(boundary(Some(&schedule), Some(&resets), now).is_some());
        resets.last_edge(now);
    }
}
