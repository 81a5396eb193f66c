//! Token-bucket arithmetic, exact at any size.

use crate::decimal::MilliTokens;

/// How a limit is filled: what its key form, shard count and the corrections make of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The most tokens it can have.
    pub ceiling: i128,
    /// Tokens gained in a period.
    pub rate: i128,
    /// The period in milliseconds.
    pub period: i128,
}

/// What a limit gains in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gain {
    /// The tokens to add.
    pub added: MilliTokens,
    /// The tokens there will be.
    pub projected: MilliTokens,
}

/// A product that no DynamoDB number can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl Fill {
    /// What a limit that has `tokens` gains in `elapsed` milliseconds. None where there is nothing to add: no time
    /// or no whole milli-token has passed, or the bucket is full.
    ///
    /// # Errors
    /// A product of more than 38 digits.
    pub fn gain(self, tokens: MilliTokens, elapsed: i128) -> Result<Option<Gain>, Overflow> {
        if self.period <= 0 || self.rate <= 0 || elapsed <= 0 {
            return Ok(None);
        }
        let gained = elapsed
            .checked_mul(self.rate)
            .ok_or(Overflow)?
            .div_euclid(self.period);
        if gained == 0 {
            return Ok(None);
        }
        let projected = tokens
            .0
            .checked_add(gained)
            .ok_or(Overflow)?
            .min(self.ceiling);
        let added = projected.checked_sub(tokens.0).ok_or(Overflow)?;
        Ok((added > 0).then_some(Gain {
            added: MilliTokens(added),
            projected: MilliTokens(projected),
        }))
    }
}

/// Whether `times` × `tokens` < `capacity`, exactly.
pub fn is_below(tokens: MilliTokens, times: i128, capacity: MilliTokens) -> bool {
    tokens
        .0
        .checked_mul(times)
        .map_or(tokens.0 < 0, |product| product < capacity.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_compared_exactly_at_any_size() {
        let most = 10_i128.pow(38) - 1;
        for (tokens, capacity, expected) in [
            (199_999, 1_000_000, true),
            (200_000, 1_000_000, false),
            (-1, 1, true),
            (0, 1, true),
            (most / 5, most, true),
            (most / 5 + 1, most, false),
            (most, most, false),
            (-most, most, true),
            (most, 1, false),
        ] {
            assert_eq!(
                is_below(MilliTokens(tokens), 5, MilliTokens(capacity)),
                expected,
                "{tokens} of {capacity}"
            );
        }
    }

    #[test]
    fn a_gain_ends_at_the_ceiling_and_counts_whole_milli_tokens() {
        let fill = Fill {
            ceiling: 10_000,
            rate: 1_000,
            period: 60_000,
        };
        for (tokens, elapsed, added) in [
            (0, 60_000, Some(1_000)),
            (0, 59, None),
            (0, 60, Some(1)),
            (0, 0, None),
            (0, -60_000, None),
            (9_999, 60_000, Some(1)),
            (10_000, 60_000, None),
            (10_001, 60_000, None),
            (-500, 60_000, Some(1_000)),
        ] {
            let gain = fill.gain(MilliTokens(tokens), elapsed).unwrap();
            let expected = added.map(|added| Gain {
                added: MilliTokens(added),
                projected: MilliTokens(tokens + added),
            });
            assert_eq!(gain, expected, "{tokens} in {elapsed} ms");
        }
        let huge = Fill {
            rate: i128::MAX / 2,
            ..fill
        };
        assert_eq!(huge.gain(MilliTokens(0), 60_000), Err(Overflow));
    }
}
