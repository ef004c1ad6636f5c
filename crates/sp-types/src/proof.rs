//! Sector sizes and registered proofs (`filecoin-proofs-api` registry; FIP-0013, FIP-0019, FIP-0059, FIP-0090).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A published sector size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SectorSize {
    /// 2 KiB, for development.
    KiB2,
    /// 8 MiB, for development.
    MiB8,
    /// 512 MiB, for development.
    MiB512,
    /// 32 GiB.
    GiB32,
    /// 64 GiB.
    GiB64,
}

/// A name or number that is no registered proof or published size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{text}`")]
pub struct UnknownProof {
    /// What was expected.
    pub what: &'static str,
    /// What was given.
    pub text: String,
}

impl SectorSize {
    /// Every published size, rising.
    pub const ALL: [Self; 5] = [Self::KiB2, Self::MiB8, Self::MiB512, Self::GiB32, Self::GiB64];

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        match self {
            Self::KiB2 => 2 << 10,
            Self::MiB8 => 8 << 20,
            Self::MiB512 => 512 << 20,
            Self::GiB32 => 32 << 30,
            Self::GiB64 => 64 << 30,
        }
    }

    /// Name as in registered proofs: `2KiB`.
    pub fn name(self) -> &'static str {
        match self {
            Self::KiB2 => "2KiB",
            Self::MiB8 => "8MiB",
            Self::MiB512 => "512MiB",
            Self::GiB32 => "32GiB",
            Self::GiB64 => "64GiB",
        }
    }

    /// Short name as in resource overrides: `2K`.
    pub fn short(self) -> &'static str {
        match self {
            Self::KiB2 => "2K",
            Self::MiB8 => "8M",
            Self::MiB512 => "512M",
            Self::GiB32 => "32G",
            Self::GiB64 => "64G",
        }
    }

    /// Sectors in one window PoSt partition.
    pub fn sectors_per_partition(self) -> usize {
        match self {
            Self::GiB32 => 2349,
            Self::GiB64 => 2300,
            _ => 2,
        }
    }

    /// SDR layers.
    pub fn layers(self) -> usize {
        match self {
            Self::GiB32 | Self::GiB64 => 11,
            _ => 2,
        }
    }

    /// The size with this many bytes.
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.bytes() == bytes)
    }

    fn index(self) -> u64 {
        self as u64
    }
}

impl fmt::Display for SectorSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SectorSize {
    type Err = UnknownProof;
    fn from_str(text: &str) -> Result<Self, UnknownProof> {
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        Self::ALL
            .into_iter()
            .find(|s| s.name().eq_ignore_ascii_case(&squeezed))
            .ok_or(UnknownProof { what: "sector size (known: 2KiB 8MiB 512MiB 32GiB 64GiB)", text: text.to_owned() })
    }
}

/// Variant of the stacked-DRG PoRep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SealFeature {
    /// Interactive, API 1.1.0.
    V1_1,
    /// Synthetic challenges (FIP-0059), API 1.2.0.
    Synthetic,
    /// Non-interactive (FIP-0090), API 1.2.0.
    NonInteractive,
}

/// A registered seal proof: a size and a variant. The legacy V1 (ids 0 to 4) is not sealed any more and not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RegisteredSealProof {
    /// Sector size.
    pub size: SectorSize,
    /// Variant.
    pub feature: SealFeature,
}

impl RegisteredSealProof {
    /// The interactive V1_1 proof of a size.
    pub fn v1_1(size: SectorSize) -> Self {
        Self { size, feature: SealFeature::V1_1 }
    }

    /// Every accepted registered seal proof.
    pub fn all() -> impl Iterator<Item = Self> {
        [SealFeature::V1_1, SealFeature::Synthetic, SealFeature::NonInteractive]
            .into_iter()
            .flat_map(|feature| SectorSize::ALL.into_iter().map(move |size| Self { size, feature }))
    }

    /// Upstream's registered number: 5..=9 V1_1, 10..=14 synthetic, 15..=19 non-interactive.
    pub fn id(self) -> u64 {
        let base = match self.feature {
            SealFeature::V1_1 => 5,
            SealFeature::Synthetic => 10,
            SealFeature::NonInteractive => 15,
        };
        base + self.size.index()
    }

    /// The proof with this registered number.
    pub fn from_id(id: u64) -> Result<Self, UnknownProof> {
        Self::all()
            .find(|p| p.id() == id)
            .ok_or_else(|| UnknownProof { what: "registered seal proof", text: id.to_string() })
    }

    /// The PoRep id that seeds graph and replica id: LE64(id), LE64(nonce 0), 16 zero bytes.
    pub fn porep_id(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.id().to_le_bytes());
        bytes
    }
}

/// Upstream's name: `StackedDrg2KiBV1_1`, `StackedDrg2KiBV1_1_Feat_SyntheticPoRep`, `StackedDrg2KiBV1_2_Feat_NonInteractivePoRep`.
impl fmt::Display for RegisteredSealProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.feature {
            SealFeature::V1_1 => "V1_1",
            SealFeature::Synthetic => "V1_1_Feat_SyntheticPoRep",
            SealFeature::NonInteractive => "V1_2_Feat_NonInteractivePoRep",
        };
        write!(f, "StackedDrg{}{suffix}", self.size)
    }
}

impl FromStr for RegisteredSealProof {
    type Err = UnknownProof;
    fn from_str(text: &str) -> Result<Self, UnknownProof> {
        Self::all()
            .find(|p| p.to_string() == text)
            .ok_or_else(|| UnknownProof { what: "registered seal proof", text: text.to_owned() })
    }
}

/// Window or winning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PostType {
    /// Every partition, every proving period; 10 challenges per sector; V1_2.
    Window,
    /// One sector, within seconds, to make a block; 66 challenges; V1.
    Winning,
}

/// A registered PoSt proof: `StackedDrgWindow2KiBV1_2` or `StackedDrgWinning2KiBV1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PostProof {
    /// Sector size.
    pub size: SectorSize,
    /// Window or winning.
    pub post_type: PostType,
}

impl fmt::Display for PostProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.post_type {
            PostType::Window => write!(f, "StackedDrgWindow{}V1_2", self.size),
            PostType::Winning => write!(f, "StackedDrgWinning{}V1", self.size),
        }
    }
}

impl FromStr for PostProof {
    type Err = UnknownProof;
    fn from_str(text: &str) -> Result<Self, UnknownProof> {
        SectorSize::ALL
            .into_iter()
            .flat_map(|size| [PostType::Window, PostType::Winning].map(|post_type| Self { size, post_type }))
            .find(|p| p.to_string() == text)
            .ok_or_else(|| UnknownProof { what: "registered PoSt proof", text: text.to_owned() })
    }
}

/// A registered update proof (FIP-0019): `StackedDrg2KiBV1`. It depends on the sector's size alone, whatever seal proof
/// the sector has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegisteredUpdateProof {
    /// Sector size.
    pub size: SectorSize,
}

impl RegisteredUpdateProof {
    /// Upstream's registered number: 0 to 4, rising with the size.
    pub fn id(self) -> u64 {
        self.size.index()
    }

    /// The proof with this registered number.
    pub fn from_id(id: u64) -> Result<Self, UnknownProof> {
        SectorSize::ALL
            .into_iter()
            .map(|size| Self { size })
            .find(|p| p.id() == id)
            .ok_or_else(|| UnknownProof { what: "registered update proof", text: id.to_string() })
    }
}

/// The update proof of sectors that are sealed under this proof.
impl From<RegisteredSealProof> for RegisteredUpdateProof {
    fn from(proof: RegisteredSealProof) -> Self {
        Self { size: proof.size }
    }
}

impl fmt::Display for RegisteredUpdateProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StackedDrg{}V1", self.size)
    }
}

impl FromStr for RegisteredUpdateProof {
    type Err = UnknownProof;
    fn from_str(text: &str) -> Result<Self, UnknownProof> {
        SectorSize::ALL
            .into_iter()
            .map(|size| Self { size })
            .find(|p| p.to_string() == text)
            .ok_or_else(|| UnknownProof { what: "registered update proof", text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_upstreams() {
        let p = RegisteredSealProof::v1_1(SectorSize::KiB2);
        assert_eq!((p.id(), p.to_string().as_str()), (5, "StackedDrg2KiBV1_1"));
        assert_eq!(
            RegisteredSealProof::from_id(19).map(|p| p.to_string()),
            Ok("StackedDrg64GiBV1_2_Feat_NonInteractivePoRep".into())
        );
        assert!(RegisteredSealProof::from_id(0).is_err());
        for p in RegisteredSealProof::all() {
            assert_eq!(p.to_string().parse(), Ok(p));
            assert_eq!(RegisteredSealProof::from_id(p.id()), Ok(p));
        }
        let w = PostProof { size: SectorSize::KiB2, post_type: PostType::Window };
        assert_eq!(w.to_string(), "StackedDrgWindow2KiBV1_2");
        assert_eq!(w.to_string().parse(), Ok(w));
    }

    #[test]
    fn update_proofs_have_upstreams_names_and_numbers() {
        for (id, name) in
            ["StackedDrg2KiBV1", "StackedDrg8MiBV1", "StackedDrg512MiBV1", "StackedDrg32GiBV1", "StackedDrg64GiBV1"]
                .into_iter()
                .enumerate()
        {
            let proof: RegisteredUpdateProof = name.parse().unwrap();
            assert_eq!((proof.id(), proof.to_string().as_str()), (id as u64, name));
            assert_eq!(RegisteredUpdateProof::from_id(id as u64), Ok(proof));
        }
        assert!(RegisteredUpdateProof::from_id(5).is_err());
        assert!("StackedDrg2KiBV1_1".parse::<RegisteredUpdateProof>().is_err());
        for seal in RegisteredSealProof::all() {
            assert_eq!(RegisteredUpdateProof::from(seal).size, seal.size);
        }
    }
}
