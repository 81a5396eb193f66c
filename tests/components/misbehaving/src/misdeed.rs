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
    /// Writes a shard whose item has a second key, an entity's.
    KeyTwice = 1020,
    /// Logs a line with a thousand fields of one name.
    CrowdedLine = 1021,
    /// Accounts for a record twice in one write.
    RecordTwice = 1022,
    /// Counts usage under a key of 50 KB.
    LongKey = 1023,
    /// Plans a hundred writes for three records.
    CountlessWrites = 1024,
    /// Moves a watermark back.
    WatermarkBack = 1025,
    /// Moves a watermark behind all that will ever come.
    EndlessWatermark = 1026,
    /// Logs a line that CloudWatch takes for a metric.
    MetricLine = 1027,
    /// Asks to see an item twice.
    ReadTwice = 1028,
    /// Asks to see a hundred items for three records.
    CountlessReads = 1029,
    /// Stores an object that a reader of its key may look for above the archive.
    ObjectAbove = 1030,
    /// Writes to the host's quarantine.
    WriteToQuarantine = 1031,
    /// Lets a snapshot expire at once.
    ShortLife = 1032,
    /// Counts usage under one entity's key and another's name.
    ForeignSnapshot = 1033,
    /// Adds half a token to a counter.
    PartOfAToken = 1034,
    /// Refills a bucket as of the year 318857.
    RefillInTheFuture = 1035,
    /// Brings a bucket from one shard to a thousand million.
    LeapingBump = 1036,
    /// Writes a shard that its bucket's count has no room for.
    ShardBeyondCount = 1037,
    /// Names a window in 3 KiB.
    HugeText = 1038,
    /// Stores an object of a type that no header can have.
    UnsendableType = 1039,
    /// Says that one write stands for 4,294,967,295 updates.
    CountlessUpdates = 1040,
    /// Says that it found 4,294,967,295 deltas.
    CountlessDeltas = 1041,
    /// Logs a thousand lines for three records.
    CountlessLines = 1042,
    /// Logs a line of 300 KiB.
    HugeLine = 1043,
    /// Counts usage of an entity without a name.
    NamelessEntity = 1044,
}

impl Misdeed {
    /// Every misdeed.
    pub const ALL: [Self; 44] = [
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
        Self::KeyTwice,
        Self::CrowdedLine,
        Self::RecordTwice,
        Self::LongKey,
        Self::CountlessWrites,
        Self::WatermarkBack,
        Self::EndlessWatermark,
        Self::MetricLine,
        Self::ReadTwice,
        Self::CountlessReads,
        Self::ObjectAbove,
        Self::WriteToQuarantine,
        Self::ShortLife,
        Self::ForeignSnapshot,
        Self::PartOfAToken,
        Self::RefillInTheFuture,
        Self::LeapingBump,
        Self::ShardBeyondCount,
        Self::HugeText,
        Self::UnsendableType,
        Self::CountlessUpdates,
        Self::CountlessDeltas,
        Self::CountlessLines,
        Self::HugeLine,
        Self::NamelessEntity,
    ];

    /// The misdeed of that number.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|misdeed| *misdeed as u32 == number)
    }
}
