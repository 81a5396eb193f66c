//! Watermarks: how far into its stream a bucket shard has been summed into a snapshot item.
//!
//! A watermark is text whose byte order is the order of (stream label, sequence number), so that DynamoDB can
//! compare it in a condition. The label comes first because a stream that is created anew starts its numbers
//! anew. Both are written as numbers in base 64 after their length, which takes 24 bytes instead of the digits' 44:
//! every write pays for a watermark (rules: "Watermarks").

use crate::decimal::EpochMs;
use alloc::string::String;
use chrono::NaiveDate;
use core::fmt;

/// The base-64 digits, in rising byte order.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Most decimal digits of a number; DynamoDB's sequence numbers have 21 to 40.
const MAX_DIGITS: usize = 60;

/// How many decimal digits the low part of a long number has, and how many base-64 digits hold it.
const LOW: (usize, u32) = (30, 17);

/// One more than the greatest low part.
const BOUND: u128 = 10_u128.pow(30);

/// One more than the greatest label that is a date and time.
const LABELS: u128 = 10_u128.pow(17);

/// The place of a record in its stream, as order-preserving text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark(String);

impl Watermark {
    /// The place of `sequence_number` in the stream of `arn`.
    ///
    /// None where the ARN names no stream, or the sequence number is not 1 to 60 decimal digits.
    pub fn new(arn: &str, sequence_number: &str) -> Option<Self> {
        let (_, label) = arn.split_once("/stream/")?;
        let mut text = String::new();
        let label = label
            .bytes()
            .filter(u8::is_ascii_digit)
            .map(char::from)
            .collect::<String>();
        push_number(&mut text, &label)?;
        push_number(&mut text, sequence_number)?;
        Some(Self(text))
    }

    /// Reads a stored watermark. None if [`Watermark::new`] would not have written it so.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = take_number(text)?;
        let (_, rest) = take_number(rest)?;
        rest.is_empty().then(|| Self(text.into()))
    }

    /// The text that is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that says which stream it is of. Its byte order is the order of stream labels.
    pub fn stream(&self) -> &str {
        let label = take_number(&self.0).and_then(|(_, rest)| self.0.strip_suffix(rest));
        label.unwrap_or_default()
    }

    /// When the stream was made, where its label is a date and time to the millisecond, as DynamoDB gives it.
    pub fn stream_made(&self) -> Option<EpochMs> {
        let ((high, label), _) = take_number(&self.0)?;
        if high != 0 || label >= LABELS {
            return None;
        }
        let mut rest = label;
        // Takes that many digits off the end.
        let mut take = |digits: u32| {
            let power = 10_u128.checked_pow(digits)?;
            let part = u32::try_from(rest.checked_rem(power)?).ok();
            rest = rest.checked_div(power)?;
            part
        };
        let (milli, second, minute, hour) = (take(3)?, take(2)?, take(2)?, take(2)?);
        let (day, month, year) = (take(2)?, take(2)?, take(4)?);
        let made = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
            .filter(|_| year >= 1000)?
            .and_hms_milli_opt(hour, minute, second, milli)?;
        Some(EpochMs(made.and_utc().timestamp_millis().into()))
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends a decimal number so that longer is greater and, at equal length, greater text is greater.
fn push_number(text: &mut String, decimal: &str) -> Option<()> {
    if decimal.is_empty()
        || decimal.len() > MAX_DIGITS
        || !decimal.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let (high, low) = decimal.split_at(decimal.len().saturating_sub(LOW.0));
    let high: u128 = if high.is_empty() {
        0
    } else {
        high.parse().ok()?
    };
    let low: u128 = low.parse().ok()?;
    let (high_length, low_length) = match high {
        0 => (0, length(low)),
        _ => (length(high), LOW.1),
    };
    push_digit(text, u128::from(high_length.checked_add(low_length)?));
    push_digits(text, high, high_length);
    push_digits(text, low, low_length);
    Some(())
}

/// Takes a number from the front of a text: its high and low part, and what follows it. None if [`push_number`]
/// would not have written it so.
fn take_number(text: &str) -> Option<((u128, u128), &str)> {
    let (count, rest) = take_digits(text, 1)?;
    let count = u32::try_from(count).ok()?;
    let high_length = count.saturating_sub(LOW.1);
    let (high, rest) = take_digits(rest, high_length)?;
    let (low, rest) = take_digits(rest, count.min(LOW.1))?;
    let is_canonical = if high_length > 0 {
        length(high) == high_length
    } else {
        length(low) == count
    };
    (is_canonical && high < BOUND && low < BOUND).then_some(((high, low), rest))
}

/// Takes `count` base-64 digits from the front of a text; at most 21 of them make a number.
fn take_digits(text: &str, count: u32) -> Option<(u128, &str)> {
    let (digits, rest) = text.split_at_checked(usize::try_from(count).ok()?)?;
    let number = digits.bytes().try_fold(0_u128, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        number
            .checked_mul(64)?
            .checked_add(u128::try_from(digit).ok()?)
    })?;
    Some((number, rest))
}

/// How many base-64 digits a number takes, without leading zeros.
fn length(number: u128) -> u32 {
    u128::BITS
        .saturating_sub(number.leading_zeros())
        .div_ceil(6)
}

/// Appends the last `count` base-64 digits of a number.
fn push_digits(text: &mut String, number: u128, count: u32) {
    for place in (0..count).rev() {
        push_digit(text, number.unbounded_shr(place.saturating_mul(6)) & 63);
    }
}

/// Appends one base-64 digit.
fn push_digit(text: &mut String, digit: u128) {
    let byte = usize::try_from(digit)
        .ok()
        .and_then(|digit| DIGITS.get(digit))
        .copied()
        .unwrap_or(b'z');
    text.push(char::from(byte));
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString, vec::Vec};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    const ARN: &str =
        "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/2024-01-01T00:00:00.000";

    fn mark(arn: &str, sequence: &str) -> Watermark {
        Watermark::new(arn, sequence).unwrap()
    }

    #[test]
    fn order_of_text_is_order_of_sequence_numbers() {
        let mut numbers: Vec<u128> = Vec::new();
        for power in 0..36 {
            let step = 10_u128.pow(power);
            numbers.extend([step - 1, step, step + 1, step * 3, 64 * step - 1, 64 * step]);
        }
        numbers.sort_unstable();
        numbers.dedup();
        for pair in numbers.windows(2) {
            let (low, high) = (pair[0].to_string(), pair[1].to_string());
            assert!(mark(ARN, &low) < mark(ARN, &high), "{low} < {high}");
        }
        let forty = "9".repeat(40);
        assert!(mark(ARN, &u128::MAX.to_string()) < mark(ARN, &forty));
    }

    #[test]
    fn a_younger_stream_comes_after_an_older_one_whatever_the_numbers() {
        let younger = ARN.replace("2024-01-01", "2024-02-01");
        assert!(mark(ARN, "999999999999999999999") < mark(&younger, "1"));
    }

    #[test]
    fn leading_zeros_do_not_matter() {
        assert_eq!(mark(ARN, "000000000000000000042"), mark(ARN, "42"));
    }

    /// A stream with this label.
    fn stream(label: &str) -> String {
        format!("arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/{label}")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(label in "[0-9]{1,60}", sequence in "[0-9]{1,60}") {
            let written = mark(&stream(&label), &sequence);
            prop_assert_eq!(Watermark::parse(&written.0), Some(written.clone()));
            let digits = |(high, low): (u128, u128)| format!("{high}{low:030}");
            let (first, rest) = take_number(&written.0).unwrap();
            let (second, _) = take_number(rest).unwrap();
            let plain = |text: &str| text.trim_start_matches('0').to_string();
            prop_assert_eq!(plain(&digits(first)), plain(&label));
            prop_assert_eq!(plain(&digits(second)), plain(&sequence));
        }

        #[test]
        fn what_is_read_would_be_written_so(text in "([-0-3][-0-9A-Z_a-z]{0,3}){1,2}") {
            if let Some(read) = Watermark::parse(&text) {
                let digits = |(high, low): (u128, u128)| format!("{high}{low:030}");
                let (label, rest) = take_number(&read.0).unwrap();
                let (sequence, _) = take_number(rest).unwrap();
                let plain = |text: &str| format!("{:0>1}", text.trim_start_matches('0'));
                let (label, sequence) = (plain(&digits(label)), plain(&digits(sequence)));
                prop_assert_eq!(mark(&stream(&label), &sequence), read);
            }
        }

        #[test]
        fn a_changed_byte_gives_another_place_or_none(at in 0_usize..24, by in any::<char>()) {
            let written = mark(ARN, "100000000000000000001");
            let (before, rest) = written.0.split_at(at);
            let changed = format!("{before}{by}{}", &rest[1..]);
            let read = Watermark::parse(&changed);
            prop_assert_eq!(read.as_ref() == Some(&written), changed == written.0);
        }
    }

    #[test]
    fn what_is_not_written_so_is_not_read() {
        let good = mark(ARN, "100000000000000000001").to_string();
        assert!(Watermark::parse(&good).is_some());
        for text in [
            "",
            "-",
            "0",
            "9",
            "x",
            "42",
            "906u3DyJf7",
            "906u3DyJf7-",
            // A zero in front, a space, and more behind.
            "906u3DyJf7-1-0",
            " 906u3DyJf7-00",
            "906u3DyJf7-00 ",
            "906u3DyJf7-00-",
            "20240101000000000#100000000000000000001",
            "é06u3DyJf7-00",
            // More than 30 digits in the low part, and more than 60 in all.
            "906u3DyJf7-Gzzzzzzzzzzzzzzzzz",
            "906u3DyJf7-Xzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(Watermark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_label_tells_the_stream_and_when_it_was_made() {
        let of = |label: &str| mark(&stream(label), "7");
        let (first, second) = (of("2024-01-01T00:00:00.000"), of("2024-02-01T00:00:00.000"));
        assert_eq!(first.stream(), mark(ARN, "8").stream());
        assert!(first.stream() < second.stream());
        for (label, made) in [
            ("2024-01-01T00:00:00.000", Some(1_704_067_200_000)),
            ("2024-01-01T12:01:00.123", Some(1_704_110_460_123)),
            ("2024-13-01T00:00:00.000", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T00:00:00.000000", None),
            ("1", None),
            (&"9".repeat(60), None),
        ] {
            assert_eq!(of(label).stream_made(), made.map(EpochMs), "{label}");
        }
    }

    #[test]
    fn a_usual_watermark_is_24_bytes() {
        assert_eq!(mark(ARN, "100000000000000000001").0.len(), 24);
    }

    #[test]
    fn without_a_stream_or_a_decimal_number_there_is_none() {
        for (arn, sequence) in [
            ("arn:aws:dynamodb:us-east-1:123456789012:table/limiter", "1"),
            (
                "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/",
                "1",
            ),
            (ARN, ""),
            (ARN, "12a"),
            (ARN, "-1"),
        ] {
            assert_eq!(Watermark::new(arn, sequence), None, "{arn} {sequence}");
        }
    }
}
