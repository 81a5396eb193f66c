//! Numbers as a plan may have them: integers in plain digits.

/// Digits that DynamoDB keeps of a number.
const MOST_DIGITS: usize = 38;

/// An integer of at most 38 digits, perhaps negative.
pub(super) fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = (1..=MOST_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}
