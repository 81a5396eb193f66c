//! Numbers as images have them: DynamoDB's decimal text, read as an integer (rules: "Numbers").

/// Digits that DynamoDB keeps of a number.
const MOST_DIGITS: usize = 38;

/// The integer that a decimal text is, whatever its form; none where it is no integer or has more than 38 digits.
pub(crate) fn integer(text: &str) -> Option<i128> {
    // Nearly every number is short and plain.
    if text.len() <= 18
        && let Ok(number) = text.parse::<i64>()
    {
        return Some(number.into());
    }
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The value is the significant digits and so many zeros.
    let zeros = i64::from(exponent) + digits.len() as i64
        - significant.len() as i64
        - fraction.len() as i64;
    let zeros = usize::try_from(zeros).ok()?;
    if significant.len().saturating_add(zeros) > MOST_DIGITS {
        return None;
    }
    let number = format!("{significant}{}", "0".repeat(zeros));
    let number: i128 = number.parse().ok()?;
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_every_form_dynamodb_may_give() {
        let most = 10_i128.pow(38) - 1;
        for (text, value) in [
            ("12", 12),
            ("+12", 12),
            ("012", 12),
            ("12.0", 12),
            ("1.2E+1", 12),
            ("1200e-2", 12),
            ("-0", 0),
            ("0e999999", 0),
            ("-1E+3", -1000),
            ("0.00012e5", 12),
            ("00000000000000000000012", 12),
            ("99999999999999999999999999999999999999", most),
            ("-99999999999999999999999999999999999999.000", -most),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "e5",
            "1.5",
            "1e-1",
            "NaN",
            " 5",
            "1_0",
            "1E+38",
            "1e99999999999",
            "0x10",
            "100000000000000000000000000000000000000",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }
}
