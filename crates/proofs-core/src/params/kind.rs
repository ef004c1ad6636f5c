//! The four parameter kinds: their upstream names and their upstream circuits.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use bellperson::Circuit;
use blstrs::Scalar;
use filecoin_hashers::poseidon::PoseidonHasher;
use filecoin_proofs::constants::{
    DefaultPieceHasher, SectorShape2KiB, SectorShape32GiB, SectorShape64GiB, WINDOW_POST_CHALLENGE_COUNT,
    WINNING_POST_CHALLENGE_COUNT, WINNING_POST_SECTOR_COUNT,
};
use filecoin_proofs::parameters::{public_params, window_post_public_params, winning_post_public_params};
use filecoin_proofs::{PoRepConfig, PoStConfig, PoStType};
use sp_types::{RegisteredSealProof, SectorSize};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_core::merkle::MerkleTreeTrait;
use storage_proofs_core::parameter_cache::{CacheableParameters, VERSION};
use storage_proofs_porep::stacked::{StackedCircuit, StackedCompound, StackedDrg};
use storage_proofs_post::fallback::{FallbackPoSt, FallbackPoStCircuit, FallbackPoStCompound};
use storage_proofs_update::{
    EmptySectorUpdate, EmptySectorUpdateCircuit, EmptySectorUpdateCompound, PublicParams as UpdateParams,
};

/// The tree shape (8-0-0) that 2 KiB, 8 MiB and 512 MiB share: the sizes whose parameters can be made locally.
type BaseShape = SectorShape2KiB;

/// What a parameter set proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Sealing; V1_1, synthetic and non-interactive share one set per size.
    Porep,
    /// Window PoSt.
    Window,
    /// Winning PoSt.
    Winning,
    /// Replica update (SnapDeals).
    Update,
}

/// A text that is no parameter kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown parameter kind `{0}`; known are porep, window, winning and update")]
pub struct UnknownKind(pub String);

impl Kind {
    /// Every kind, cheapest first to generate.
    pub const ALL: [Self; 4] = [Self::Window, Self::Winning, Self::Update, Self::Porep];

    /// Name in commands and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Porep => "porep",
            Self::Window => "window",
            Self::Winning => "winning",
            Self::Update => "update",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What the three files of a parameter set are called, less `.params`, `.vk` and `.meta`: upstream's
/// `v28-<prefix>-<sha256 of the identifier>`.
pub fn file_stem(kind: Kind, size: SectorSize) -> String {
    let id = match size {
        SectorSize::KiB2 | SectorSize::MiB8 | SectorSize::MiB512 => cache_identifier::<BaseShape>(kind, size),
        SectorSize::GiB32 => cache_identifier::<SectorShape32GiB>(kind, size),
        SectorSize::GiB64 => cache_identifier::<SectorShape64GiB>(kind, size),
    };
    format!("v{VERSION}-{}", id.expect("upstream knows every published size"))
}

/// Something to do with a circuit of any type.
pub(crate) trait WithCircuit {
    type Output;
    fn run<C: Circuit<Scalar>>(self, circuit: impl Fn() -> C + Sync) -> Self::Output;
}

/// Runs `user` with upstream's blank circuit of a kind. The size must have the base shape: 2 KiB, 8 MiB or 512 MiB.
pub(crate) fn with_circuit<U: WithCircuit>(kind: Kind, size: SectorSize, user: U) -> Result<U::Output> {
    type Post = FallbackPoStCompound<BaseShape>;
    Ok(match kind {
        Kind::Porep => {
            let params = public_params::<BaseShape>(&porep_config(size))?;
            type Compound = StackedCompound<BaseShape, DefaultPieceHasher>;
            type Scheme<'a> = StackedDrg<'a, BaseShape, DefaultPieceHasher>;
            user.run(|| <Compound as CompoundProof<'_, Scheme<'_>, _>>::blank_circuit(&params))
        }
        Kind::Window => {
            let params = window_post_public_params::<BaseShape>(&post_config(PoStType::Window, size))?;
            user.run(|| <Post as CompoundProof<'_, FallbackPoSt<'_, BaseShape>, _>>::blank_circuit(&params))
        }
        Kind::Winning => {
            let params = winning_post_public_params::<BaseShape>(&post_config(PoStType::Winning, size))?;
            user.run(|| <Post as CompoundProof<'_, FallbackPoSt<'_, BaseShape>, _>>::blank_circuit(&params))
        }
        Kind::Update => {
            let params = UpdateParams::from_sector_size(size.bytes());
            type Compound = EmptySectorUpdateCompound<BaseShape>;
            user.run(|| <Compound as CompoundProof<'_, EmptySectorUpdate<BaseShape>, _>>::blank_circuit(&params))
        }
    })
}

/// log2 of the circuit's FFT domain: how many constraints, rounded up to a power of two.
pub(crate) fn domain_log2(kind: Kind, size: SectorSize) -> u32 {
    let row = match kind {
        Kind::Porep => [22, 22, 23, 27, 27],
        Kind::Window => [15, 16, 17, 27, 27],
        Kind::Winning => [17, 18, 19, 19, 19],
        Kind::Update => [21, 24, 26, 27, 27],
    };
    row[SectorSize::ALL.iter().position(|known| *known == size).expect("every size is listed")]
}

fn cache_identifier<Tree: 'static + MerkleTreeTrait<Hasher = PoseidonHasher>>(
    kind: Kind,
    size: SectorSize,
) -> Result<String> {
    type Post<Tree> = FallbackPoStCompound<Tree>;
    Ok(match kind {
        Kind::Porep => {
            let params = public_params::<Tree>(&porep_config(size))?;
            type Circuit<Tree> = StackedCircuit<Tree, DefaultPieceHasher>;
            <StackedCompound<Tree, DefaultPieceHasher> as CacheableParameters<Circuit<Tree>, _>>::cache_identifier(
                &params,
            )
        }
        Kind::Window => {
            let params = window_post_public_params::<Tree>(&post_config(PoStType::Window, size))?;
            <Post<Tree> as CacheableParameters<FallbackPoStCircuit<Tree>, _>>::cache_identifier(&params)
        }
        Kind::Winning => {
            let params = winning_post_public_params::<Tree>(&post_config(PoStType::Winning, size))?;
            <Post<Tree> as CacheableParameters<FallbackPoStCircuit<Tree>, _>>::cache_identifier(&params)
        }
        Kind::Update => {
            let params = UpdateParams::from_sector_size(size.bytes());
            <EmptySectorUpdateCompound<Tree> as CacheableParameters<EmptySectorUpdateCircuit<Tree>, _>>::cache_identifier(&params)
        }
    })
}

fn porep_config(size: SectorSize) -> PoRepConfig {
    PoRepConfig::new_groth16(size.bytes(), RegisteredSealProof::v1_1(size).porep_id(), ApiVersion::V1_1_0)
}

fn post_config(typ: PoStType, size: SectorSize) -> PoStConfig {
    let (challenge_count, sector_count) = match typ {
        PoStType::Window => (WINDOW_POST_CHALLENGE_COUNT, size.sectors_per_partition()),
        PoStType::Winning => (WINNING_POST_CHALLENGE_COUNT, WINNING_POST_SECTOR_COUNT),
    };
    PoStConfig {
        sector_size: size.bytes().into(),
        challenge_count,
        sector_count,
        typ,
        priority: false,
        api_version: ApiVersion::V1_2_0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_proofs_core::parameter_cache::PARAMETERS;

    #[test]
    fn stems_are_those_of_the_published_files() {
        for kind in Kind::ALL {
            for size in SectorSize::ALL {
                let stem = file_stem(kind, size);
                for extension in ["params", "vk"] {
                    let published = PARAMETERS.get(&format!("{stem}.{extension}")).expect(&stem);
                    assert_eq!(published.sector_size, size.bytes(), "{stem}");
                }
            }
        }
    }

    #[test]
    fn kinds_parse_by_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("seal".parse::<Kind>().is_err());
    }
}
