//! C2: the SNARK over the vanilla proofs of a sealing.

use filecoin_proofs::{MerkleTreeTrait, SealCommitPhase1Output, seal_commit_phase2};

use super::c1::split;
use super::config::{porep_config, with_tree};
use super::error::guard;
use super::{SectorContext, StageError, require_seal_parameters};

const STAGE: &str = "C2";

/// Returns the seal proof: 192 bytes per partition, or for the non-interactive proof one aggregate. `vanilla` is what
/// [`c1`](super::c1) returned. Upstream verifies the proof before it returns it, against the sector in `ctx`.
pub fn c2(ctx: &SectorContext, vanilla: &[u8]) -> Result<Vec<u8>, StageError> {
    let (proof, body) =
        split(vanilla).ok_or_else(|| StageError::bad_input(STAGE, "these bytes are no output of C1; run C1 again"))?;
    if proof != ctx.proof {
        return Err(StageError::bad_input(STAGE, format!("the output of C1 is of {proof}, not of {}", ctx.proof)));
    }
    require_seal_parameters(ctx.proof)?;
    guard(STAGE, || with_tree!(ctx.proof.size, prove(ctx, body)))
}

fn prove<Tree: 'static + MerkleTreeTrait>(ctx: &SectorContext, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let output: SealCommitPhase1Output<Tree> = bincode::deserialize(body)?;
    let sealed = seal_commit_phase2(&porep_config(ctx.proof)?, output, ctx.prover_id.0, ctx.number.into())?;
    Ok(sealed.proof)
}
