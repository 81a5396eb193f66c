//! Where a record stands in its stream, and how that is written in a watermark (rules: "Watermarks").

use std::{borrow::Cow, sync::Arc};

/// Most digits of a label and of a sequence number that make a position.
const MOST_DIGITS: usize = 60;

/// The base-64 digits, in rising byte order.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// How many decimal digits the low part of a number has, and how many base-64 digits hold it.
const LOW: (usize, u32) = (30, 17);

/// A position: which stream, and which record of it. Their order is the order of watermarks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position<'e> {
    label: Decimal<Arc<str>>,
    sequence: Decimal<Cow<'e, str>>,
}

/// Decimal digits without leading zeros; fewer are a lesser number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decimal<T> {
    length: usize,
    digits: T,
}

/// The labels of streams. All records of a batch but of odd ones are of one stream.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// The last ARN that was asked for, and its label.
    last: Option<(String, Option<Decimal<Arc<str>>>)>,
}

impl Labels {
    fn of(&mut self, arn: &str) -> Option<Decimal<Arc<str>>> {
        match &self.last {
            Some((last, label)) if last == arn => label.clone(),
            _ => {
                let label = label(arn);
                self.last = Some((arn.into(), label.clone()));
                label
            }
        }
    }
}

fn label(arn: &str) -> Option<Decimal<Arc<str>>> {
    let (_, label) = arn.split_once("/stream/")?;
    let digits: String = label.chars().filter(char::is_ascii_digit).collect();
    let digits = significant(&digits)?;
    Some(Decimal {
        length: digits.len(),
        digits: digits.into(),
    })
}

/// A number without its leading zeros; none where it is no number that makes a position.
fn significant(digits: &str) -> Option<&str> {
    let is_number = (1..=MOST_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.trim_start_matches('0'))
}

impl<'e> Position<'e> {
    /// The position of a record with that ARN and sequence number; none where they tell none.
    pub(super) fn of(labels: &mut Labels, arn: &str, sequence: &Cow<'e, str>) -> Option<Self> {
        let digits = match sequence {
            Cow::Borrowed(text) => Cow::Borrowed(significant(text)?),
            Cow::Owned(text) => Cow::Owned(significant(text)?.into()),
        };
        Some(Self {
            label: labels.of(arn)?,
            sequence: Decimal {
                length: digits.len(),
                digits,
            },
        })
    }

    /// It as a watermark.
    pub fn watermark(&self) -> String {
        let mut text = String::with_capacity(24);
        push_number(&mut text, &self.label.digits);
        push_number(&mut text, &self.sequence.digits);
        text
    }
}

/// Appends a number as its length and base-64 digits.
fn push_number(text: &mut String, decimal: &str) {
    let (high, low) = decimal.split_at(decimal.len().saturating_sub(LOW.0));
    // Up to 30 digits each, which 128 bits hold.
    let (high, low) = (high.parse().unwrap_or(0), low.parse().unwrap_or(0));
    let (high_length, low_length) = match high {
        0 => (0, length(low)),
        _ => (length(high), LOW.1),
    };
    push_digits(text, u128::from(high_length + low_length), 1);
    push_digits(text, high, high_length);
    push_digits(text, low, low_length);
}

/// How many base-64 digits a number takes.
fn length(number: u128) -> u32 {
    (u128::BITS - number.leading_zeros()).div_ceil(6)
}

/// Appends the last `count` base-64 digits of a number.
fn push_digits(text: &mut String, number: u128, count: u32) {
    for place in (0..count).rev() {
        let digit = number.unbounded_shr(6 * place) & 63;
        text.push(char::from(DIGITS[digit as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/2024-01-01T00:00:00.000";

    fn position(arn: &str, sequence: &'static str) -> Option<Position<'static>> {
        Position::of(&mut Labels::default(), arn, &Cow::Borrowed(sequence))
    }

    #[test]
    fn watermarks_are_written_as_the_rules_have_them() {
        for (sequence, watermark) in [
            ("0", "906u3DyJf7--"),
            ("1", "906u3DyJf7-00"),
            ("0000001", "906u3DyJf7-00"),
            ("63", "906u3DyJf7-0z"),
            ("64", "906u3DyJf7-10-"),
            ("100000000000000000001", "906u3DyJf7-B0Lj6MXpY3--0"),
            (
                "999999999999999999999999999999",
                "906u3DyJf7-GBbmmRo3OovTczzzzz",
            ),
            (
                "1000000000000000000000000000000",
                "906u3DyJf7-H0-----------------",
            ),
        ] {
            let written = position(ARN, sequence).map(|position| position.watermark());
            assert_eq!(written.as_deref(), Some(watermark), "{sequence}");
        }
    }

    #[test]
    fn the_order_of_positions_is_that_of_their_watermarks() {
        let younger = ARN.replace("2024-01-01", "2024-02-01");
        let rising: Vec<_> = ["0", "9", "10", "99", "1000000000000000000000000000000"]
            .into_iter()
            .map(|sequence| position(ARN, sequence))
            .chain([position(&younger, "1")])
            .map(|position| position.expect("a position"))
            .collect();
        assert!(rising.is_sorted_by(|one, next| one < next));
        assert!(rising.is_sorted_by(|one, next| one.watermark() < next.watermark()));
    }

    #[test]
    fn what_tells_no_position_has_none() {
        for (arn, sequence) in [
            ("arn:aws:dynamodb:us-east-1:1:table/limiter", "1"),
            ("arn:aws:dynamodb:us-east-1:1:table/limiter/stream/", "1"),
            (ARN, ""),
            (ARN, "1a"),
            (ARN, "-1"),
            (
                ARN,
                "0000000000000000000000000000000000000000000000000000000000001",
            ),
        ] {
            assert_eq!(position(arn, sequence), None, "{arn} {sequence}");
        }
    }
}
