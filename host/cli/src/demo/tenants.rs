//! Who calls the gateway, what for, and within which limits.

use rand::Rng;
use rand::rngs::SmallRng;

/// How many tenants share the table. Each has its own entities, under the same ids as the others'.
const NAMESPACES: usize = 4;

/// The length of a namespace id in characters: eight random bytes in URL-safe base64.
const NAMESPACE_LENGTH: usize = 11;

/// URL-safe base64. A namespace id never starts with the last of them.
const NAMESPACE_ALPHABET: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// What the entities of a tenant are called after.
const TEAMS: [&str; 8] = [
    "chat", "search", "support", "coding", "research", "billing", "mobile", "batch",
];

/// A limit, by its name in attributes and snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitName {
    /// Requests per minute.
    Rpm,
    /// Model tokens per minute.
    Tpm,
    /// Model tokens per day.
    Tpd,
}

impl LimitName {
    /// The name as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Tpm => "tpm",
            Self::Tpd => "tpd",
        }
    }
}

/// The parameters of a token bucket. Amounts are whole tokens; the table holds thousandths of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which limit.
    pub name: LimitName,
    /// What the bucket holds at most.
    pub capacity: i64,
    /// What it gains in each period, spread evenly.
    pub refill_amount: i64,
    /// The period, in seconds.
    pub refill_period_seconds: i64,
}

impl Limit {
    const fn new(name: LimitName, capacity: i64, refill_amount: i64, period_seconds: i64) -> Self {
        Self {
            name,
            capacity,
            refill_amount,
            refill_period_seconds: period_seconds,
        }
    }
}

/// A model behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A chat model. The only one with a daily limit.
    Gpt4o,
    /// Another chat model.
    ClaudeSonnet,
    /// Small requests, no answer to speak of.
    Embeddings,
}

impl Resource {
    /// The resource's name in keys and attributes. Two of them hold a slash, as real ones do.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpt4o => "openai/gpt-4o",
            Self::ClaudeSonnet => "anthropic/claude-sonnet",
            Self::Embeddings => "embeddings",
        }
    }

    /// Draws the resource of a request: half of them go to the first, a fifth to the last.
    pub fn draw(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..10_u32) {
            0..5 => Self::Gpt4o,
            5..8 => Self::ClaudeSonnet,
            _ => Self::Embeddings,
        }
    }

    /// Draws how many model tokens a request is expected to cost.
    pub fn draw_estimate(self, rng: &mut SmallRng) -> i64 {
        match self {
            Self::Gpt4o => rng.random_range(200..2_200),
            Self::ClaudeSonnet => rng.random_range(300..1_800),
            Self::Embeddings => rng.random_range(20..600),
        }
    }
}

/// What an entity has subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Little, and seldom used up.
    Starter,
    /// Ample.
    Team,
    /// A high rate with a small capacity: its buckets are drained and refilled all the time.
    Scale,
    /// More than it can use up, but its bucket is written to faster than one item bears.
    Batch,
}

impl Plan {
    /// The limits on a resource.
    pub fn limits(self, resource: Resource) -> Vec<Limit> {
        use LimitName::{Rpm, Tpm};
        let (rpm, tpm) = match self {
            Self::Starter => (
                Limit::new(Rpm, 60, 60, 60),
                Limit::new(Tpm, 40_000, 40_000, 60),
            ),
            Self::Team => (
                Limit::new(Rpm, 600, 600, 60),
                Limit::new(Tpm, 400_000, 400_000, 60),
            ),
            Self::Scale => (
                Limit::new(Rpm, 20, 1_200, 60),
                Limit::new(Tpm, 5_000, 720_000, 60),
            ),
            Self::Batch => (
                Limit::new(Rpm, 6_000, 6_000, 60),
                Limit::new(Tpm, 6_000_000, 6_000_000, 60),
            ),
        };
        let daily = (resource == Resource::Gpt4o).then(|| self.daily_limit());
        [rpm, tpm].into_iter().chain(daily).collect()
    }

    /// The daily limit, where there is one.
    pub fn daily_limit(self) -> Limit {
        let tokens = match self {
            Self::Starter => 1_000_000,
            Self::Team => 10_000_000,
            Self::Scale => 100_000_000,
            Self::Batch => 10_000_000_000,
        };
        Limit::new(LimitName::Tpd, tokens, tokens, 86_400)
    }

    /// How many writes a second an item of its buckets bears. The bucket keeps them as a limit of their own.
    ///
    /// A partition takes 1000, more than the demo has to offer: the hot bucket is created as if an item bore 6.
    pub fn writes_per_second(self) -> i64 {
        match self {
            Self::Starter | Self::Team | Self::Scale => 1_000,
            Self::Batch => 6,
        }
    }
}

/// A caller of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Whose it is.
    pub namespace: String,
    /// Its id, unique in its namespace only.
    pub id: String,
    /// Its plan.
    pub plan: Plan,
}

impl Entity {
    /// What the hot entity asks for.
    pub const HOT_RESOURCE: Resource = Resource::Gpt4o;

    /// The hot entity, of whose bucket one item does not bear all writes.
    pub fn hot(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: "team:batch-jobs".to_owned(),
            plan: Plan::Batch,
        }
    }

    /// Makes `count` entities, at least one, over four namespaces. The first is the busiest.
    pub fn draw_all(rng: &mut SmallRng, count: u32) -> Vec<Self> {
        let namespaces: Vec<String> = (0..NAMESPACES).map(|_| draw_namespace(rng)).collect();
        let count = count.max(1) as usize;
        namespaces
            .iter()
            .cycle()
            .take(count)
            .enumerate()
            .map(|(index, namespace)| {
                let number = index / NAMESPACES;
                let team = TEAMS[number % TEAMS.len()];
                Self {
                    namespace: namespace.clone(),
                    id: format!("team:{team}-{number:02}"),
                    plan: if index <= count / 6 {
                        Plan::Scale
                    } else if index <= count / 2 {
                        Plan::Team
                    } else {
                        Plan::Starter
                    },
                }
            })
            .collect()
    }
}

fn draw_namespace(rng: &mut SmallRng) -> String {
    let last = NAMESPACE_ALPHABET.len() - 1;
    (0..NAMESPACE_LENGTH)
        .map(|position| {
            let choices = if position == 0 { last } else { last + 1 };
            char::from(NAMESPACE_ALPHABET[rng.random_range(0..choices)])
        })
        .collect()
}

/// Which bucket: one for each entity and resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketId {
    /// Whose.
    pub namespace: String,
    /// The entity's id.
    pub entity: String,
    /// The resource.
    pub resource: Resource,
}
