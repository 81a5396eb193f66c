//! The week: a window, a correction and an option that `weir-logic` does not know.

use alloc::{format, string::String};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use weir_logic::{Allowed, Description, OptionDescription, PlanError, Settings, Term, Window};

/// The correction. Weeks as `strftime("%W")` counts them end with the year.
const WHOLE_WEEKS: &str = "whole-weeks";

/// The option.
const FIRST_WEEKDAY: &str = "first-weekday";

const MONDAY: &str = "monday";
const SUNDAY: &str = "sunday";

/// Adds what this component understands beside what `weir-logic` does.
pub fn describe(description: &mut Description) {
    description.windows.push(window(begins_on_monday).term());
    description.corrections.push(Term {
        name: WHOLE_WEEKS.into(),
        description: "A week runs on through the turn of the year, and is not cut there.".into(),
    });
    description.options.push(OptionDescription {
        name: FIRST_WEEKDAY.into(),
        description: "The day that weeks begin with.".into(),
        default: MONDAY.into(),
        allowed: Allowed::OneOf([MONDAY, SUNDAY].map(String::from).into()),
    });
}

/// Takes from the settings what `weir-logic` would not understand, and makes the window of it.
pub fn take(settings: &mut Settings) -> Result<Window, PlanError> {
    let count = settings.corrections.len();
    settings.corrections.retain(|name| name != WHOLE_WEEKS);
    let is_whole = settings.corrections.len() < count;
    let options = &mut settings.options;
    let given = options
        .iter()
        .position(|option| option.name == FIRST_WEEKDAY);
    let first = given.map(|place| options.remove(place).value);
    match (first.as_deref().unwrap_or(MONDAY), is_whole) {
        (MONDAY, false) => Ok(window(|time| cut(time, begins_on_monday))),
        (MONDAY, true) => Ok(window(begins_on_monday)),
        (SUNDAY, false) => Ok(window(|time| cut(time, begins_on_sunday))),
        (SUNDAY, true) => Ok(window(begins_on_sunday)),
        (other, _) => Err(PlanError::BadSettings(format!(
            "weeks cannot begin with `{other}`"
        ))),
    }
}

fn window(begins: fn(NaiveDateTime) -> Option<NaiveDateTime>) -> Window {
    Window {
        name: "weekly",
        description: "A week of seven days.",
        suffix: "#weekly",
        begins,
    }
}

fn begins_on_monday(time: NaiveDateTime) -> Option<NaiveDateTime> {
    first_day(time, Weekday::Mon)
}

fn begins_on_sunday(time: NaiveDateTime) -> Option<NaiveDateTime> {
    first_day(time, Weekday::Sun)
}

fn first_day(time: NaiveDateTime, weekday: Weekday) -> Option<NaiveDateTime> {
    let day = time.date().week(weekday).checked_first_day()?;
    Some(day.and_time(NaiveTime::MIN))
}

/// The week's begin, but not before the year's.
fn cut(
    time: NaiveDateTime,
    begins: fn(NaiveDateTime) -> Option<NaiveDateTime>,
) -> Option<NaiveDateTime> {
    let new_year = NaiveDate::from_ymd_opt(time.year(), 1, 1)?.and_time(NaiveTime::MIN);
    Some(begins(time)?.max(new_year))
}
