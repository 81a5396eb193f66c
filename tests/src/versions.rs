//! Versions of a component, good and bad, as they come to a host that exchanges them.

#[path = "../components/faulty/src/fault.rs"]
mod fault;

use crate::built;
use std::{fs, path::Path};

pub use fault::Fault;

/// The real component.
pub fn real() -> Vec<u8> {
    read(&built::component("weir_logic"))
}

/// The real component's decisions, with this fault, under another name.
pub fn faulty(fault: Fault) -> Vec<u8> {
    let mut bytes = read(&built::component("weir_faulty"));
    let place = bytes
        .windows(fault::PLACE.len())
        .position(|window| window == fault::PLACE)
        .expect("the component has a place for the fault");
    bytes[place + fault::HEAD..place + fault::PLACE.len()].copy_from_slice(fault.name());
    bytes
}

/// The same component with a note in it, so that it has another digest: a custom section of the binary format.
pub fn noted(mut component: Vec<u8>, note: u8) -> Vec<u8> {
    // Section 0, of 6 bytes: the length of its name, the name, the note.
    component.extend([0, 6, 4, b'n', b'o', b't', b'e', note]);
    component
}

/// A component that exports nothing.
pub fn of_another_world() -> Vec<u8> {
    b"\0asm\x0d\0\x01\0".to_vec()
}

/// The real component, as it would be if it spoke another version of the contract.
pub fn of_another_version() -> Vec<u8> {
    let (ours, other) = (
        b"weir:aggregator/logic@0.1.0",
        b"weir:aggregator/logic@0.9.0",
    );
    let mut bytes = real();
    let places: Vec<usize> = bytes
        .windows(ours.len())
        .enumerate()
        .filter(|(_, window)| window == ours)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the component names its contract");
    for at in places {
        bytes[at..at + other.len()].copy_from_slice(other);
    }
    bytes
}

/// Half of the real component, as a file is while it is being copied.
pub fn torn() -> Vec<u8> {
    let mut bytes = real();
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).expect("the component can be read")
}
