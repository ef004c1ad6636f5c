//! Epochs, deadlines and randomness of the chain.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A chain epoch (height). Negative only in lookbacks before genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ChainEpoch(pub i64);

impl fmt::Display for ChainEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One of the 48 deadlines of a proving period, 0 to 47.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadlineIndex(pub u32);

impl DeadlineIndex {
    /// Deadlines in a proving period.
    pub const COUNT: u32 = 48;
}

impl fmt::Display for DeadlineIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A partition within a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionIndex(pub u32);

impl fmt::Display for PartitionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// PoSt randomness: 32 bytes that are a valid field element, the two top bits of byte 31 cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "[u8; 32]")]
pub struct Randomness([u8; 32]);

impl Randomness {
    /// Clears the two top bits, as every Filecoin implementation does before proving and verifying.
    pub fn new(mut bytes: [u8; 32]) -> Self {
        bytes[31] &= 0x3f;
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl From<[u8; 32]> for Randomness {
    fn from(bytes: [u8; 32]) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Display for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
