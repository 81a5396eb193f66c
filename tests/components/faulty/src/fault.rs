//! How a component of this crate can fail. The component and the tests share this list.

/// What stands in the component's data where a test writes the fault's name.
pub const PLACE: [u8; 24] = *b"weir-faulty: faultless..";

/// How many bytes of [`PLACE`] stay as they are.
pub const HEAD: usize = 13;

/// How a component fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not at all: it plans as the real one does, under another name.
    None,
    /// It traps when it is asked what it is, as it is loaded.
    Describe,
    /// It traps on the host's probe, and on every batch.
    Probe,
    /// It traps on some batches, the probe not among them.
    Some,
    /// It never ends, on real batches.
    Loop,
    /// It takes all memory, on real batches.
    Memory,
    /// It plans to write what it may not, on real batches.
    Breach,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Describe,
        Self::Probe,
        Self::Some,
        Self::Loop,
        Self::Memory,
        Self::Breach,
    ];

    /// Its name, as it stands in the component's data.
    pub const fn name(self) -> &'static [u8; PLACE.len() - HEAD] {
        match self {
            Self::None => b"faultless..",
            Self::Describe => b"describe...",
            Self::Probe => b"probe......",
            Self::Some => b"some.......",
            Self::Loop => b"loop.......",
            Self::Memory => b"memory.....",
            Self::Breach => b"breach.....",
        }
    }
}
