//! Watermarks: how far into its stream a bucket shard has been summed into a snapshot item.
//!
//! A watermark is text whose byte order is the order of (stream label, sequence number), so that DynamoDB can
//! compare it in a condition. The label comes first because a stream that is created anew starts its numbers
//! anew. Both are written as numbers in base 64 behind their length, which makes 24 bytes of the 44 that the
//! digits would take: a watermark is paid for with every write (rules: "Watermarks").

use alloc::string::String;
use core::fmt;

/// The base-64 digits, in rising byte order.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Most decimal digits of a number; DynamoDB's sequence numbers have 21 to 40.
const LONGEST: usize = 60;

/// How many decimal digits the low part of a long number has, and how many base-64 digits hold it.
const LOW: (usize, u32) = (30, 17);

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

    /// The text as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
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
        || decimal.len() > LONGEST
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
    use alloc::{string::ToString, vec::Vec};

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

    #[test]
    fn a_usual_watermark_is_24_bytes() {
        assert_eq!(mark(ARN, "100000000000000000001").as_str().len(), 24);
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
