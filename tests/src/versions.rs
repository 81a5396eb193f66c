//! Versions of a component, good and bad, as they come to a host that exchanges them.

#[path = "../components/faulty/src/fault.rs"]
mod fault;

use crate::built;
use std::fs;

pub use fault::Fault;

/// The real component.
pub fn real() -> Vec<u8> {
    read("weir_logic")
}

/// The component of that crate, with `_` for `-`.
pub fn read(name: &str) -> Vec<u8> {
    fs::read(built::component(name)).expect("the component can be read")
}

/// The real component's decisions, with this fault, under another name.
pub fn faulty(fault: Fault) -> Vec<u8> {
    let mut bytes = read("weir_faulty");
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
    speaking("0.9.0")
}

/// The real component, as it would be if it spoke that version of the contract, of as many characters as ours.
pub fn speaking(version: &str) -> Vec<u8> {
    let ours = weir::component::CONTRACT;
    let (contract, _) = ours.split_once('@').expect("the contract has a version");
    let other = format!("{contract}@{version}");
    assert_eq!(other.len(), ours.len(), "a name of the same length");
    let mut bytes = real();
    let places: Vec<usize> = bytes
        .windows(ours.len())
        .enumerate()
        .filter(|(_, window)| *window == ours.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the component names its contract");
    for at in places {
        bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
    }
    bytes
}

/// The real component under that name, of as many characters as its own.
pub fn named(name: &str) -> Vec<u8> {
    let ours = "weir-logic";
    assert_eq!(name.len(), ours.len(), "a name of the same length");
    let mut bytes = real();
    let mut found = false;
    for at in 0..=bytes.len() - ours.len() {
        if bytes[at..].starts_with(ours.as_bytes()) {
            bytes[at..at + ours.len()].copy_from_slice(name.as_bytes());
            found = true;
        }
    }
    assert!(found, "the component has its name in its data");
    bytes
}

/// A component with further memories, each of so many pages of 64 KiB: core modules that have nothing else, and
/// instances of them.
pub fn with_memories(mut component: Vec<u8>, count: u8, pages: u8) -> Vec<u8> {
    // A header of 8 bytes, and section 5: one memory, without a bound, of so many pages.
    let module = [0, b'a', b's', b'm', 1, 0, 0, 0, 5, 3, 1, 0, pages];
    assert!(pages < 128, "a number of one byte");
    let first = core_modules(&component);
    for index in first..first + count {
        assert!(index < 128, "a number of one byte");
        component.extend([1, 13]);
        component.extend(module);
        // Section 2: one instance, of that module, given nothing.
        component.extend([2, 4, 1, 0, index, 0]);
    }
    component
}

/// How many core modules a component has, each in a section of its own.
fn core_modules(component: &[u8]) -> u8 {
    let mut rest = component.get(8..).expect("a header");
    let mut count = 0;
    while let [section, sized @ ..] = rest {
        count += u8::from(*section == 1);
        // A number of seven bits in each byte, the lowest first, and a last byte below 128.
        let end = sized.iter().position(|byte| *byte < 128).expect("a size");
        let (digits, content) = sized.split_at(end + 1);
        let size = digits
            .iter()
            .rev()
            .fold(0, |size, digit| size << 7 | usize::from(digit & 127));
        rest = content.get(size..).expect("as much as it says");
    }
    count
}

/// Half of the real component, as a file is while it is being copied.
pub fn torn() -> Vec<u8> {
    let mut bytes = real();
    bytes.truncate(bytes.len() / 2);
    bytes
}
