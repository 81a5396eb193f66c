//! The five fields of a cron line, and the grammar of their text.

use super::bit_set::BitSet;

/// A field of a cron line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronField {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or a name.
    Month,
    /// 0 to 7, or a name. Sunday is 0 and 7.
    DayOfWeek,
}

/// Why a field's text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks the grammar.
    Bad,
    /// It is one of cron's extensions `L`, `LW` and `#`, which would never match.
    Extended,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl CronField {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        }
    }

    /// Its least and its greatest number.
    fn bounds(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// All numbers that a parsed field can have: without 0 for Sunday, which becomes 7.
    pub fn all(self) -> BitSet {
        let (least, greatest) = self.bounds();
        match self {
            Self::DayOfWeek => BitSet::range(1, greatest),
            _ => BitSet::range(least, greatest),
        }
    }

    /// Reads a field: `*`, `9-17`, `*/15`, `1,15`, `FRI`.
    pub fn parse(self, text: &str) -> Result<BitSet, Refusal> {
        let numbers = self.terms(text)?;
        if self == Self::DayOfWeek && numbers.has(0) {
            let sunday = BitSet::range(7, 7);
            return Ok(numbers.or(sunday).and(self.all()));
        }
        Ok(numbers)
    }

    /// The grammar, with Sunday as it is written.
    fn terms(self, text: &str) -> Result<BitSet, Refusal> {
        let (least, greatest) = self.bounds();
        if text == "*" {
            return Ok(BitSet::range(least, greatest));
        }
        if text.contains(',') {
            let mut terms = text.split(',').map(|term| self.terms(term));
            return terms.try_fold(BitSet::default(), |all, term| Ok(all.or(term?)));
        }
        if self.is_extended(text) {
            return Err(Refusal::Extended);
        }
        if let Some((term, step)) = text.split_once('/') {
            let numbers = self.terms(term)?;
            let step = usize::try_from(digits(step)?).unwrap_or(usize::MAX);
            if step == 0 {
                return Err(Refusal::Bad);
            }
            let mut members = numbers.members();
            return Ok(match (members.next(), members.next()) {
                // A single number goes on to the greatest.
                (Some(first), None) => (first..=greatest).step_by(step).collect(),
                _ => numbers.members().step_by(step).collect(),
            });
        }
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (self.number(first)?, self.number(last)?);
            let numbers = BitSet::range(first, last);
            return if first <= last {
                Ok(numbers)
            } else {
                Err(Refusal::Bad)
            };
        }
        let number = self.number(text)?;
        Ok(BitSet::range(number, number))
    }

    /// One number within the bounds, or a name.
    fn number(self, text: &str) -> Result<u32, Refusal> {
        let (names, base): (&[&str], u32) = match self {
            Self::Month => (&MONTHS, 1),
            Self::DayOfWeek => (&WEEKDAYS, 0),
            _ => (&[], 0),
        };
        let named = names
            .iter()
            .zip(base..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, number)) = named {
            return Ok(number);
        }
        let (least, greatest) = self.bounds();
        let number = digits(text)?;
        if (least..=greatest).contains(&number) {
            Ok(number)
        } else {
            Err(Refusal::Bad)
        }
    }

    /// Whether a term is the last day of the month (`L`, `LW`), the last such weekday (`5L`) or the n-th (`5#2`).
    fn is_extended(self, text: &str) -> bool {
        match self {
            Self::DayOfMonth => text.eq_ignore_ascii_case("L") || text.eq_ignore_ascii_case("LW"),
            Self::DayOfWeek => {
                let last = text.strip_suffix(['L', 'l']);
                last.is_some_and(|day| digits(day).is_ok()) || text.contains('#')
            }
            _ => false,
        }
    }
}

/// A number of ASCII digits; one too large for the type is the type's largest, which no field has.
fn digits(text: &str) -> Result<u32, Refusal> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Bad);
    }
    Ok(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn numbers(field: CronField, text: &str) -> Vec<u32> {
        let set = field
            .parse(text)
            .unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        set.members().collect()
    }

    #[test]
    fn every_form_gives_its_numbers() {
        use CronField::*;
        for (field, text, expected) in [
            (Minute, "*/15", &[0, 15, 30, 45][..]),
            (Minute, "*/7", &[0, 7, 14, 21, 28, 35, 42, 49, 56]),
            (Minute, "*/100", &[0]),
            (Minute, "*/99999999999999999999", &[0]),
            (Minute, "50/3", &[50, 53, 56, 59]),
            (Hour, "007", &[7]),
            (Hour, "9-17/2", &[9, 11, 13, 15, 17]),
            (Hour, "10-10", &[10]),
            (Hour, "1,3-5,22/1", &[1, 3, 4, 5, 22, 23]),
            (DayOfMonth, "1,2/9", &[1, 2, 11, 20, 29]),
            (Month, "jan-MAR,Dec", &[1, 2, 3, 12]),
            (DayOfWeek, "0", &[7]),
            (DayOfWeek, "7", &[7]),
            (DayOfWeek, "0/3", &[3, 6, 7]),
            (DayOfWeek, "5/2", &[5, 7]),
            (DayOfWeek, "7/2", &[7]),
            (DayOfWeek, "*/2", &[2, 4, 6, 7]),
            (DayOfWeek, "SUN-2", &[1, 2, 7]),
            (DayOfWeek, "Fri-7", &[5, 6, 7]),
            (DayOfWeek, "*", &[1, 2, 3, 4, 5, 6, 7]),
            (DayOfWeek, "0-6", &[1, 2, 3, 4, 5, 6, 7]),
        ] {
            assert_eq!(numbers(field, text), expected, "{text}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_bad() {
        for text in [
            "", "60", "*-5", "1-5-7", "1/2/3", "9-8", ",9", "9,", "1,,2", "9/0", "9/", "/9", "-9",
            "9-", "1--5", "+9", "1_0", "٣", "**", "1-*", "?", "L", "JAN", " 9",
        ] {
            assert_eq!(CronField::Minute.parse(text), Err(Refusal::Bad), "{text}");
        }
        for (field, text) in [
            (CronField::Hour, "24"),
            (CronField::DayOfMonth, "0"),
            (CronField::DayOfMonth, "32"),
            (CronField::DayOfMonth, "5W"),
            (CronField::DayOfMonth, "1-L"),
            (CronField::Month, "0"),
            (CronField::Month, "13"),
            (CronField::Month, "SUN"),
            (CronField::Month, "*/FEB"),
            (CronField::DayOfWeek, "8"),
            (CronField::DayOfWeek, "5-SUN"),
            (CronField::DayOfWeek, "L"),
        ] {
            assert_eq!(field.parse(text), Err(Refusal::Bad), "{text}");
        }
    }

    #[test]
    fn extensions_of_cron_are_refused_as_such() {
        for text in ["L", "l", "LW", "5,L", "L/2"] {
            assert_eq!(
                CronField::DayOfMonth.parse(text),
                Err(Refusal::Extended),
                "{text}"
            );
        }
        for text in ["5L", "5#2", "FRI#2", "1,5L"] {
            assert_eq!(
                CronField::DayOfWeek.parse(text),
                Err(Refusal::Extended),
                "{text}"
            );
        }
    }
}
