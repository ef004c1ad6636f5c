//! From our registered proofs to upstream's configurations and tree shapes.

use filecoin_proofs::{
    PoRepConfig, PoStConfig, PoStType, SectorUpdateConfig, UnpaddedBytesAmount, WINDOW_POST_CHALLENGE_COUNT,
    WINNING_POST_CHALLENGE_COUNT, WINNING_POST_SECTOR_COUNT,
};
use sp_types::{PieceInfo, PostProof, PostType, ProverId, RegisteredSealProof, RegisteredUpdateProof, SealFeature};
use storage_proofs_core::api_version::{ApiFeature, ApiVersion};

/// Which sector is sealed, under which proof and for whom: what enters the replica id besides ticket and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectorContext {
    /// Registered seal proof: size and variant.
    pub proof: RegisteredSealProof,
    /// Prover id of the miner.
    pub prover_id: ProverId,
    /// Sector number.
    pub number: u64,
}

/// Calls `$f::<Tree>(args)` with upstream's tree shape of a sector size. Upstream's own `with_shape!` would also build
/// the shape of the unpublished sizes, a quarter more code that nobody calls.
macro_rules! with_tree {
    ($size:expr, $f:ident($($arg:expr),* $(,)?)) => {
        match $size {
            sp_types::SectorSize::KiB2 | sp_types::SectorSize::MiB8 | sp_types::SectorSize::MiB512 => {
                $f::<filecoin_proofs::SectorShapeBase>($($arg),*)
            }
            sp_types::SectorSize::GiB32 => $f::<filecoin_proofs::SectorShape32GiB>($($arg),*),
            sp_types::SectorSize::GiB64 => $f::<filecoin_proofs::SectorShape64GiB>($($arg),*),
        }
    };
}
pub(super) use with_tree;

/// Upstream's configuration of a registered seal proof.
pub(super) fn porep_config(proof: RegisteredSealProof) -> anyhow::Result<PoRepConfig> {
    let (version, features) = match proof.feature {
        SealFeature::V1_1 => (ApiVersion::V1_1_0, vec![]),
        SealFeature::Synthetic => (ApiVersion::V1_2_0, vec![ApiFeature::SyntheticPoRep]),
        SealFeature::NonInteractive => (ApiVersion::V1_2_0, vec![ApiFeature::NonInteractivePoRep]),
    };
    PoRepConfig::new_groth16_with_features(proof.size.bytes(), proof.porep_id(), version, features)
}

/// Upstream's configuration of a registered PoSt proof. Window is V1_2 (API 1.2.0), winning V1 (API 1.0.0).
pub(super) fn post_config(proof: PostProof) -> PoStConfig {
    let (challenge_count, sector_count, typ, api_version) = match proof.post_type {
        PostType::Window => {
            let sectors = proof.size.sectors_per_partition();
            (WINDOW_POST_CHALLENGE_COUNT, sectors, PoStType::Window, ApiVersion::V1_2_0)
        }
        PostType::Winning => {
            (WINNING_POST_CHALLENGE_COUNT, WINNING_POST_SECTOR_COUNT, PoStType::Winning, ApiVersion::V1_0_0)
        }
    };
    let sector_size = proof.size.bytes().into();
    PoStConfig { sector_size, challenge_count, sector_count, typ, priority: true, api_version }
}

/// Upstream's configuration of a registered update proof, as its own registry has it: V1_1, whatever seal proof the
/// sector has. Of its fields only the size counts.
pub(super) fn update_porep_config(proof: RegisteredUpdateProof) -> PoRepConfig {
    let seal = RegisteredSealProof::v1_1(proof.size);
    PoRepConfig::new_groth16(proof.size.bytes(), seal.porep_id(), ApiVersion::V1_1_0)
}

/// What the vanilla part of an update needs of it.
pub(super) fn update_config(proof: RegisteredUpdateProof) -> SectorUpdateConfig {
    SectorUpdateConfig::from_porep_config(&update_porep_config(proof))
}

/// The pieces in upstream's words.
pub(super) fn upstream_pieces(pieces: &[PieceInfo]) -> Vec<filecoin_proofs::PieceInfo> {
    let convert = |piece: &PieceInfo| filecoin_proofs::PieceInfo {
        commitment: piece.commitment.0,
        size: UnpaddedBytesAmount(piece.unpadded_bytes()),
    };
    pieces.iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use sp_types::SectorSize;

    use super::*;

    /// Values of upstream's registry (`filecoin-proofs-api` 19.1.0, `RegisteredSealProof::as_v1_config`).
    #[test]
    fn configurations_are_upstreams() {
        for proof in RegisteredSealProof::all() {
            let config = porep_config(proof).unwrap();
            let big = matches!(proof.size, SectorSize::GiB32 | SectorSize::GiB64);
            let partitions = match (proof.feature, big) {
                (SealFeature::NonInteractive, false) => 13,
                (SealFeature::NonInteractive, true) => 126,
                (_, false) => 1,
                (_, true) => 10,
            };
            assert_eq!(usize::from(config.partitions), partitions, "{proof}");
            assert_eq!(u64::from(config.sector_size), proof.size.bytes());
        }
        for size in SectorSize::ALL {
            let window = post_config(PostProof { size, post_type: PostType::Window });
            let known = filecoin_proofs::WINDOW_POST_SECTOR_COUNT.read().unwrap()[&size.bytes()];
            assert_eq!((window.sector_count, window.challenge_count), (known, 10));
            let winning = post_config(PostProof { size, post_type: PostType::Winning });
            assert_eq!((winning.sector_count, winning.challenge_count), (1, 66));
            let update = update_config(RegisteredUpdateProof { size });
            let partitions = match size {
                SectorSize::KiB2 => 1,
                SectorSize::MiB8 => 4,
                _ => 16,
            };
            assert_eq!((update.nodes_count as u64, update.update_partitions.0), (size.bytes() / 32, partitions));
        }
    }
}
