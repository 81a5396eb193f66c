//! Schedules are read and evaluated as clients do: as recorded of their release 0.17.0, and as a walk from minute to
//! minute finds that has its time zones from another library.

mod oracle;

use oracle::{Entry, Oracle, Term};
use proptest::prelude::*;
use serde::Deserialize;
use weir_logic::schedule::{
    EpochMs, MilliTokens, Parameters, Resets, Schedule, boundary, decode, decode_resets,
};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

/// One recorded evaluation, in milliseconds and thousandths of tokens.
#[derive(Deserialize)]
struct Case {
    name: String,
    sched: Option<String>,
    rsched: Option<String>,
    tz: String,
    now_ms: i64,
    base: Base,
    sched_error: Option<Failure>,
    rsched_error: Option<Failure>,
    effective: Option<Base>,
    next_boundary: Option<i64>,
    prev_reset_edge: Option<i64>,
    next_reset_edge: Option<i64>,
}

#[derive(Deserialize, Clone, Copy)]
struct Base {
    cp: i64,
    ra: i64,
    rp: i64,
}

#[derive(Deserialize)]
struct Failure {
    text: String,
}

impl From<Base> for Parameters {
    fn from(base: Base) -> Self {
        Self {
            capacity: MilliTokens(base.cp.into()),
            amount: MilliTokens(base.ra.into()),
            period: base.rp.into(),
        }
    }
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../vectors/generation-d-schedules.json");
    serde_json::from_str::<Vectors>(text)
        .expect("vectors")
        .cases
}

fn at(ms: i64) -> EpochMs {
    EpochMs(ms.into())
}

fn schedule(case: &Case) -> Result<Schedule, String> {
    let text = case.sched.as_deref().unwrap_or_default();
    decode(text, &case.tz).map_err(|error| error.to_string())
}

fn resets(case: &Case) -> Result<Resets, String> {
    let text = case.rsched.as_deref().unwrap_or_default();
    decode_resets(text, &case.tz).map_err(|error| error.to_string())
}

/// What was recorded may go on where ours ends: it explains at length.
fn assert_refused<T>(name: &str, found: Result<T, String>, recorded: &Failure) {
    let Err(reason) = found else {
        panic!("{name}: read, but recorded as: {}", recorded.text);
    };
    assert!(
        recorded.text.starts_with(&reason),
        "{name}: {reason}\n{}",
        recorded.text
    );
}

#[test]
fn every_recorded_evaluation_holds() {
    let mut evaluated = 0;
    for case in cases() {
        if case.sched_error.is_some() || case.rsched_error.is_some() {
            continue;
        }
        let name = format!("{} at {}", case.name, case.now_ms);
        let (schedule, resets) = (schedule(&case).expect(&name), resets(&case).expect(&name));
        let now = at(case.now_ms);
        if let Some(effective) = case.effective {
            assert_eq!(
                schedule.at(case.base.into(), now),
                effective.into(),
                "{name}"
            );
        }
        assert_eq!(
            boundary(Some(&schedule), Some(&resets), now),
            case.next_boundary.map(at),
            "{name}"
        );
        assert_eq!(
            resets.last_edge(now),
            case.prev_reset_edge.map(at),
            "{name}"
        );
        assert_eq!(
            resets.next_edge(now),
            case.next_reset_edge.map(at),
            "{name}"
        );
        evaluated += 1;
    }
    assert!(evaluated > 250, "{evaluated}");
}

#[test]
fn what_clients_cannot_read_is_refused_for_the_same_reason() {
    let mut refused = 0;
    for case in cases() {
        if let Some(failure) = &case.sched_error {
            assert_refused(&case.name, schedule(&case), failure);
            refused += 1;
        }
        if let Some(failure) = &case.rsched_error {
            assert_refused(&case.name, resets(&case), failure);
            refused += 1;
        }
    }
    assert!(refused > 50, "{refused}");
}

const ZONES: [&str; 13] = [
    "UTC",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
];

/// A field that is `*` more often than not, within its bounds.
fn field(least: i64, greatest: i64) -> impl Strategy<Value = Vec<Term>> {
    let number = least..=greatest;
    let range = (number.clone(), number.clone()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let term = prop_oneof![
        4 => number.clone().prop_map(Term::Number),
        2 => range.clone().prop_map(|(first, last)| Term::Range(first, last)),
        1 => (1..20_i64).prop_map(Term::Every),
        1 => (range, 1..9_i64).prop_map(|((first, last), step)| Term::RangeBy(first, last, step)),
        1 => (number, 1..9_i64).prop_map(|(first, step)| Term::From(first, step)),
    ];
    prop_oneof![
        3 => Just(vec![Term::Star]),
        4 => prop::collection::vec(term, 1..4),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let fields = (
        field(0, 59),
        field(0, 23),
        field(1, 31),
        field(1, 12),
        field(0, 7),
    );
    fields
        .prop_map(|(minute, hour, day, month, weekday)| Entry {
            minute,
            hour,
            day,
            month,
            weekday,
        })
        .prop_filter("a date that no year has", Entry::has_a_date)
}

/// A zone and an instant in 2008 to 2090: every other one close to a change of its clocks.
fn moment() -> impl Strategy<Value = (&'static str, i64)> {
    let year = 365 * 86_400_000_i64;
    let near = prop::option::of(-129_600_000..129_600_000_i64);
    (
        prop::sample::select(&ZONES[..]),
        38 * year..120 * year,
        near,
    )
        .prop_map(|(zone, now, near)| {
            let change = near.zip(oracle::next_change_of_clocks(zone, now));
            (zone, change.map_or(now, |(near, change)| change + near))
        })
}

/// Entries as they are stored, each with a scale of its own where it is given.
fn stored(entries: &[Entry], scales: bool) -> String {
    let text = |(at, entry): (usize, &Entry)| match scales {
        true => format!("{entry}s{}", at + 1),
        false => entry.to_string(),
    };
    let entries: Vec<String> = entries.iter().enumerate().map(text).collect();
    format!("1{}", entries.join(";"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn parameters_change_when_a_walk_by_minutes_says(
        entries in prop::collection::vec(entry(), 1..4),
        (zone, now) in moment(),
    ) {
        let schedule = decode(&stored(&entries, true), zone).expect("a schedule");
        let base = Parameters { capacity: MilliTokens(1_000_000), amount: MilliTokens(0), period: 1 };
        let oracle = Oracle::new(&entries, zone, now);
        let scale = oracle.in_force().map_or(1_000, |entry| entry as i128 + 1);
        prop_assert_eq!(schedule.at(base, at(now)).capacity, MilliTokens(scale * 1_000));
        prop_assert_eq!(schedule.next_change(at(now)), Some(at(oracle.next_change())));
    }

    #[test]
    fn resets_are_where_a_walk_by_minutes_finds_them(
        entries in prop::collection::vec(entry(), 1..4),
        (zone, now) in moment(),
    ) {
        let resets = decode_resets(&stored(&entries, false), zone).expect("resets");
        let oracle = Oracle::new(&entries, zone, now);
        prop_assert_eq!(resets.last_edge(at(now)), oracle.last_edge().map(at));
        prop_assert_eq!(resets.next_edge(at(now)), oracle.next_edge().map(at));
        prop_assert_eq!(resets.next_boundary(at(now)), Some(at(oracle.next_boundary())));
    }

    #[test]
    fn no_text_is_too_odd_to_be_read_or_refused(text in "1?[mhDMwscap0-9*,/;L# é-]{0,24}") {
        // Neither panics; what is read can be evaluated.
        let now = at(1_717_417_800_000);
        let schedule = decode(&text, "America/New_York");
        let resets = decode_resets(&text, "America/New_York");
        if let (Ok(schedule), Ok(resets)) = (schedule, resets) {
            prop_assert!(text.is_empty() || boundary(Some(&schedule), Some(&resets), now).is_some());
        }
    }
}
