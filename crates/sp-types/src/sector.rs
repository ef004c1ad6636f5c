//! Sector ids, prover ids and commitments.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A 32-byte commitment, digest, ticket or seed. Shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Commitment(pub [u8; 32]);

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A sector of a miner; the miner is the number of its id address (`t01000` is 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SectorId {
    /// Actor id of the miner.
    pub miner: u64,
    /// Sector number.
    pub number: u64,
}

/// A file name that is not `s-t0<miner>-<number>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sector name (expected `s-t0<miner>-<number>`)")]
pub struct BadSectorName(pub String);

/// Lotus's file name of the sector: `s-t01000-7`.
impl fmt::Display for SectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s-t0{}-{}", self.miner, self.number)
    }
}

impl FromStr for SectorId {
    type Err = BadSectorName;
    fn from_str(text: &str) -> Result<Self, BadSectorName> {
        let parse = || {
            let (miner, number) = text.strip_prefix("s-t0")?.split_once('-')?;
            Some(Self { miner: miner.parse().ok()?, number: number.parse().ok()? })
        };
        // Parsing accepts `+7` and leading zeros; only the canonical spelling is a name.
        parse().filter(|id| id.to_string() == text).ok_or_else(|| BadSectorName(text.to_owned()))
    }
}

/// The prover id of a miner: the payload of its id address (unsigned LEB128), zero-padded to 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProverId(pub [u8; 32]);

impl ProverId {
    /// Prover id of the miner with this actor id.
    pub fn of_miner(miner: u64) -> Self {
        let (mut bytes, mut rest, mut at) = ([0u8; 32], miner, 0);
        loop {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            bytes[at] = if rest == 0 { low } else { low | 0x80 };
            at += 1;
            if rest == 0 {
                return Self(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        let id = SectorId { miner: 1000, number: 7 };
        assert_eq!(id.to_string(), "s-t01000-7");
        assert_eq!("s-t01000-7".parse(), Ok(id));
        for bad in ["s-t01000-", "s-t0-7", "s-f01000-7", "s-t01000-07", "s-t01000-+7", "s-t01000-7.tmp", ""] {
            assert!(bad.parse::<SectorId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prover_id_is_the_leb128_payload() {
        assert_eq!(ProverId::of_miner(1000).0[..3], [0xe8, 0x07, 0]);
        assert_eq!(ProverId::of_miner(0).0, [0; 32]);
        assert_eq!(ProverId::of_miner(127).0[..2], [0x7f, 0]);
        assert_eq!(ProverId::of_miner(u64::MAX).0[..10], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }
}
