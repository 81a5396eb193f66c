//! What the component can be told to do wrong. The component and the tests share this list.

/// On a batch of this request id the component behaves, whatever it was told.
pub const BEHAVE: &str = "behave";

/// Text that makes an event one on which the component does what the number behind it says (`poison-1003`), or
/// else the request id.
pub const POISON: &str = "poison";

/// Something that a host must not let a component do. Its number is how a test asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Misdeed {
    /// Runs for ever.
    Loop = 1001,
    /// Takes memory without end.
    Allocate = 1002,
    /// Stops in the middle.
    Trap = 1003,
    /// Takes an attribute away from an entity's item, as usage.
    RemoveFromEntity = 1004,
    /// Takes a counter away from a snapshot.
    RemoveCounter = 1005,
    /// Changes an entity's item, as a refill.
    ChangeEntity = 1006,
    /// Writes a whole entity item, as a new shard.
    PutEntity = 1007,
    /// Lets a snapshot live longer.
    AddToTtl = 1008,
    /// Moves a watermark without testing it.
    UntestedWatermark = 1009,
    /// Refills a bucket that may have been refilled meanwhile.
    UnlockedRefill = 1010,
    /// Takes tokens from a bucket.
    NegativeRefill = 1011,
    /// Raises what a bucket can hold.
    RaiseCapacity = 1012,
    /// Doubles a shard count that may have been doubled meanwhile.
    UnlockedBump = 1013,
    /// Writes a shard that may exist.
    OverwriteShard = 1014,
    /// Writes the first shard, which always exists.
    ReplaceFirstShard = 1015,
    /// Stores an object beside the archive.
    StrayObject = 1016,
    /// Stores an object beside the archive, by way of its parent folder.
    ClimbingObject = 1017,
    /// Stores an object of 65 MB.
    HugeObject = 1018,
    /// Makes a transaction of usage.
    UsageInTransaction = 1019,
}

impl Misdeed {
    /// Every misdeed.
    pub const ALL: [Self; 19] = [
        Self::Loop,
        Self::Allocate,
        Self::Trap,
        Self::RemoveFromEntity,
        Self::RemoveCounter,
        Self::ChangeEntity,
        Self::PutEntity,
        Self::AddToTtl,
        Self::UntestedWatermark,
        Self::UnlockedRefill,
        Self::NegativeRefill,
        Self::RaiseCapacity,
        Self::UnlockedBump,
        Self::OverwriteShard,
        Self::ReplaceFirstShard,
        Self::StrayObject,
        Self::ClimbingObject,
        Self::HugeObject,
        Self::UsageInTransaction,
    ];

    /// The misdeed of that number.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|misdeed| *misdeed as u32 == number)
    }
}
