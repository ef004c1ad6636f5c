//! PC2: builds tree-c and tree-r-last and encodes the replica in place.

use std::path::Path;

use filecoin_proofs::{
    MerkleTreeTrait, SealPreCommitOutput, SealPreCommitPhase1Output, UnpaddedBytesAmount, generate_synth_proofs,
    seal_pre_commit_phase2, validate_cache_for_precommit_phase2,
};
use sp_types::{Commitment, SealFeature};

use super::config::{porep_config, with_tree};
use super::error::guard;
use super::files::{check_sector_file, same_start};
use super::pc1::Phase1;
use super::{SectorContext, StageError};

const STAGE: &str = "PC2";

/// Upstream's name of the tree over the data.
const TREE_D: &str = "sc-02-data-tree-d.dat";

/// The commitments of a sealed sector, or of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealCommitments {
    /// Commitment of the replica.
    pub comm_r: Commitment,
    /// Commitment of the data.
    pub comm_d: Commitment,
}

impl SealCommitments {
    pub(super) fn to_upstream(self) -> SealPreCommitOutput {
        SealPreCommitOutput { comm_r: self.comm_r.0, comm_d: self.comm_d.0 }
    }
}

/// Encodes `sealed` in place and writes tree-c, tree-r-last, `p_aux` and `t_aux` into `cache`; under the synthetic proof
/// its vanilla proofs too.
///
/// Not idempotent: what a crash leaves in `sealed` is half encoded. A re-run starts from PC1's own files, and a `sealed`
/// that is not PC1's copy of the data any more is refused.
pub fn pc2(ctx: &SectorContext, phase1: &[u8], cache: &Path, sealed: &Path) -> Result<SealCommitments, StageError> {
    let phase1: Phase1 = serde_json::from_slice(phase1)
        .map_err(|e| StageError::bad_input(STAGE, format!("the output of PC1 cannot be read ({e}); run PC1 again")))?;
    if phase1.proof != ctx.proof.to_string() {
        let message = format!("the output of PC1 is of {}, not of {}", phase1.proof, ctx.proof);
        return Err(StageError::bad_input(STAGE, message));
    }
    check_sector_file(STAGE, sealed, ctx.proof.size)?;
    // The leaves of tree-d come first in its file, and they are the data.
    if !same_start(STAGE, sealed, &cache.join(TREE_D), ctx.proof.size.bytes())? {
        let message = "the sealed file is not the data any more (encoded already, or damaged); start from PC1's files";
        return Err(StageError::corrupt(STAGE, message));
    }
    guard(STAGE, || with_tree!(ctx.proof.size, encode(ctx, &phase1, cache, sealed)))
}

fn encode<Tree: 'static + MerkleTreeTrait>(
    ctx: &SectorContext,
    phase1: &Phase1,
    cache: &Path,
    sealed: &Path,
) -> anyhow::Result<SealCommitments> {
    let config = porep_config(ctx.proof)?;
    let output: SealPreCommitPhase1Output<Tree> = serde_json::from_value(phase1.output.clone())?;
    validate_cache_for_precommit_phase2(cache, sealed, &output)?;
    let sealing = seal_pre_commit_phase2(&config, output, cache, sealed)?;
    let comms = SealCommitments { comm_r: Commitment(sealing.comm_r), comm_d: Commitment(sealing.comm_d) };
    if ctx.proof.feature == SealFeature::Synthetic {
        // Upstream wants pieces only to compare their root with comm_d; one piece of the whole sector says the same.
        let size = UnpaddedBytesAmount(ctx.proof.size.bytes() / 128 * 127);
        let whole = filecoin_proofs::PieceInfo::new(sealing.comm_d, size)?;
        let (prover_id, number) = (ctx.prover_id.0, ctx.number.into());
        generate_synth_proofs::<_, Tree>(&config, cache, sealed, prover_id, number, phase1.ticket, sealing, &[whole])?;
    }
    Ok(comms)
}
