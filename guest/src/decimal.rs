//! Numbers as DynamoDB writes them, and the exact integers that all decisions are made with.
//!
//! DynamoDB gives a number as decimal text of at most 38 significant digits, so `i128` holds every one that
//! is an integer below 10^38. The aggregator that Weir replaces reads plain integers only; text such as `1E+3`, which
//! is the same value, is read too (rules: "Numbers").

use core::fmt;

/// Thousandths of a token, the unit of every bucket field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MilliTokens(pub i128);

impl MilliTokens {
    /// Whole tokens, rounded toward negative infinity: 1500 → 1, −1 → −1.
    pub fn tokens(self) -> i128 {
        self.0.div_euclid(1000)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z; a bucket's `rf` may hold any integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochMs(pub i128);

/// Text that is not an integer, or one that is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAnInteger<'a> {
    /// It is not an integer at all: `1.5`, `NaN`, the empty string.
    Invalid(&'a str),
    /// It is an integer of more than 38 digits.
    OutOfRange(&'a str),
}

impl fmt::Display for NotAnInteger<'_> {
    /// The first wording is an interface: operators search their logs for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => write!(f, "invalid literal for int() with base 10: '{text}'"),
            Self::OutOfRange(text) => write!(f, "integer of more than 38 digits: '{text}'"),
        }
    }
}

/// 10^38 exceeds every DynamoDB number's precision and fits an `i128`.
pub const INTEGER_BOUND: i128 = 10_i128.pow(38);

/// Reads an integer: an optional sign, digits, an optional fraction and exponent that leave an integer.
///
/// ```text
/// "12" → 12    "-0" → 0    "1E+3" → 1000    "2.50e1" → 25    "1.5" → Invalid
/// ```
pub fn integer(text: &str) -> Result<i128, NotAnInteger<'_>> {
    let invalid = || NotAnInteger::Invalid(text);
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| invalid())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_point = mantissa.contains('.');
    if whole.is_empty() || (has_point && fraction.is_empty()) {
        return Err(invalid());
    }
    let fraction = fraction.trim_end_matches('0');
    let digits = whole.bytes().chain(fraction.bytes());
    if digits.clone().any(|digit| !digit.is_ascii_digit()) {
        return Err(invalid());
    }
    if digits.clone().all(|digit| digit == b'0') {
        return Ok(0);
    }
    // The value is `digits` × 10^shift; a negative shift must only cut zeros.
    let places = i32::try_from(fraction.len()).map_err(|_| NotAnInteger::OutOfRange(text))?;
    let shift = exponent.checked_sub(places).ok_or_else(invalid)?;
    let cut = usize::try_from(shift.min(0).unsigned_abs()).map_err(|_| invalid())?;
    let count = whole.len().saturating_add(fraction.len());
    let kept = count.saturating_sub(cut);
    if digits.clone().skip(kept).any(|digit| digit != b'0') {
        return Err(invalid());
    }
    let zeros = usize::try_from(shift.max(0)).map_err(|_| invalid())?;
    let mut value: i128 = 0;
    for digit in digits.take(kept).chain(core::iter::repeat_n(b'0', zeros)) {
        value = match value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i128::from(digit.saturating_sub(b'0'))))
        {
            Some(value) if value < INTEGER_BOUND => value,
            _ => return Err(NotAnInteger::OutOfRange(text)),
        };
    }
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn integers_are_read_in_every_form_dynamodb_may_give() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("007", 7),
            ("12", 12),
            ("-1500", -1500),
            ("1E+3", 1000),
            ("1e3", 1000),
            ("2.50e1", 25),
            ("1.0", 1),
            ("1500e-2", 15),
            ("0e999999", 0),
            ("99999999999999999999999999999999999999", INTEGER_BOUND - 1),
            ("-99999999999999999999999999999999999999", 1 - INTEGER_BOUND),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_integer_is_refused_with_the_wording_operators_search_for() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "1.",
            ".5",
            "1.5",
            "1e",
            "1e-1",
            "NaN",
            "Infinity",
            " 5",
            "1_0",
            "٣",
            "0x10",
            "1e99999999999",
        ] {
            assert_eq!(integer(text), Err(NotAnInteger::Invalid(text)), "{text}");
        }
        assert_eq!(
            integer("1.5").unwrap_err().to_string(),
            "invalid literal for int() with base 10: '1.5'"
        );
    }

    #[test]
    fn integers_beyond_38_digits_are_refused() {
        for text in [
            "1E+38",
            "100000000000000000000000000000000000000",
            "1E+125",
            "-1E+2000000000",
        ] {
            assert_eq!(integer(text), Err(NotAnInteger::OutOfRange(text)), "{text}");
        }
    }

    #[test]
    fn milli_tokens_become_tokens_toward_negative_infinity() {
        for (milli, tokens) in [
            (1500, 1),
            (999, 0),
            (0, 0),
            (-1, -1),
            (-999, -1),
            (-1000, -1),
            (-1500, -2),
        ] {
            assert_eq!(MilliTokens(milli).tokens(), tokens, "{milli}");
        }
    }
}
