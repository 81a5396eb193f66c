//! SHA-256 digests, which name components, artifacts and stored objects.

use sha2::{Digest, Sha256};

/// The SHA-256 of these bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The first bytes of the SHA-256 of these bytes, at most 32, in hexadecimal digits: names tell contents apart by it.
pub fn beginning(bytes: &[u8], length: usize) -> String {
    let digest = sha256(bytes);
    hex(digest.get(..length).unwrap_or(&digest))
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
