//! The clients of one bucket: many requests a second, spread over the shards there are.
//!
//! Each request wants one token of the limit and takes one token of `wcu` with it. A client reads the shard count
//! and chooses a shard at random; where there is no such shard yet it takes shard 0. It takes the token on the
//! assumption that there is one. Where there is none it goes the slow path: it refills the shard by the time since
//! `rf`, up to the shard's share of the capacity, moves `rf`, and gives no write tokens. Where that does not do either,
//! the request is turned away and writes nothing.

use super::{
    LIMIT, Scenario, shard,
    table::{Item, Key, Table, add, number, set},
};

/// A token, in the unit of the table.
const TOKEN: i128 = 1_000;

/// All clients together.
pub(super) struct Clients {
    /// Requests in a tick.
    requests: u32,
    /// Length of a tick, in milliseconds.
    tick: u64,
    slow_path_every: Option<u64>,
    random: Random,
    /// Thousandths of a token that they were granted.
    pub(super) granted: i128,
}

impl Clients {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let requests = u64::from(scenario.requests_per_second) * scenario.tick;
        assert_eq!(requests % 1000, 0, "a tick has whole requests");
        Self {
            requests: u32::try_from(requests / 1000).expect("a tick is short"),
            tick: scenario.tick,
            slow_path_every: scenario.slow_path_every,
            random: Random(1),
            granted: 0,
        }
    }

    /// Makes the requests of the tick that ends now.
    pub(super) fn tick(&mut self, table: &mut Table) {
        let count = number(&table.items()[&shard(0)], "shard_count");
        let count = u32::try_from(count).expect("a shard count");
        let mut wishes = vec![0; count as usize];
        for _ in 0..self.requests {
            wishes[self.random.below(count) as usize] += 1;
        }
        // Shard 0 comes last, because it gets what was meant for shards that are not there.
        for place in (0..count).rev() {
            let wished = wishes[place as usize];
            if table.items().contains_key(&shard(place)) {
                self.request(table, &shard(place), wished);
            } else {
                wishes[0] += wished;
            }
        }
    }

    fn request(&mut self, table: &mut Table, at: &Key, wished: u32) {
        let is_on_slow_path = self
            .slow_path_every
            .is_some_and(|every| table.clock() % every < self.tick);
        let mut left = wished;
        if is_on_slow_path {
            left -= self.refill(table, at, left.min(1));
        }
        left -= self.take(table, at, left);
        self.refill(table, at, left);
    }

    /// Takes tokens that are there. Returns for how many requests they did.
    fn take(&mut self, table: &mut Table, at: &Key, wished: u32) -> u32 {
        let tokens = number(&table.items()[at], &field("tk"));
        self.grant(table, at, (wished, tokens), |_| {})
    }

    /// Takes tokens that have accrued. Returns for how many requests they did.
    fn refill(&mut self, table: &mut Table, at: &Key, wished: u32) -> u32 {
        let now = i128::from(table.clock());
        let item = &table.items()[at];
        let [shards, last, tokens] =
            ["shard_count", "rf", &field("tk")].map(|name| number(item, name));
        let [capacity, amount, period] = ["cp", "ra", "rp"].map(|name| number(item, &field(name)));
        let elapsed = now - last;
        if elapsed <= 0 {
            return 0;
        }
        let accrued = elapsed * amount.div_euclid(shards) / period;
        let gain = accrued.min(capacity.div_euclid(shards) - tokens).max(0);
        self.grant(table, at, (wished, tokens + gain), |item| {
            set(item, "rf", now);
            add(item, &field("tk"), gain);
        })
    }

    /// Writes what as many requests take as there are tokens for, together with another change.
    fn grant(
        &mut self,
        table: &mut Table,
        at: &Key,
        (wished, tokens): (u32, i128),
        change: impl FnOnce(&mut Item),
    ) -> u32 {
        let granted = i128::from(wished).min(tokens.max(0) / TOKEN);
        let requests = u32::try_from(granted).expect("no more than were wished");
        if requests > 0 {
            let amount = granted * TOKEN;
            self.granted += amount;
            table.change(at, requests, |item| {
                change(item);
                for limit in [LIMIT, "wcu"] {
                    add(item, &format!("b_{limit}_tk"), -amount);
                    add(item, &format!("b_{limit}_tc"), amount);
                }
            });
        }
        requests
    }
}

fn field(name: &str) -> String {
    format!("b_{LIMIT}_{name}")
}

/// Numbers that look random and are the same every time (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((mixed >> 32) * u64::from(bound)) >> 32) as u32
    }
}
