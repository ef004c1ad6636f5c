//! WNP: which sector a winning PoSt proves, and its SNARK.

use filecoin_proofs::{
    FallbackPoStSectorProof, MerkleTreeTrait, generate_winning_post_sector_challenge,
    generate_winning_post_with_vanilla,
};
use sp_types::{PostProof, PostType, ProverId, Randomness};

use super::StageError;
use super::challenge::read_vanilla;
use super::config::{post_config, with_tree};
use super::error::guard;
use super::fields::post_prover_id;
use super::parameters::require_post_parameters;

const STAGE: &str = "WNP";

/// The index, within the miner's `sector_count` sectors in rising order, of the sector that must be proven.
pub fn winning_post_sector(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    sector_count: u64,
) -> Result<u64, StageError> {
    require_winning(proof)?;
    if sector_count == 0 {
        return Err(StageError::bad_input(STAGE, "there is no sector to choose from"));
    }
    let prover_id = post_prover_id(STAGE, prover_id)?;
    guard(STAGE, || with_tree!(proof.size, choose(proof, prover_id, randomness, sector_count)))
}

/// Proves a winning PoSt, 192 bytes. `vanilla` holds exactly the vanilla proof of the challenged sector.
pub fn winning_post(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    vanilla: &[Vec<u8>],
) -> Result<Vec<u8>, StageError> {
    require_winning(proof)?;
    if vanilla.len() != 1 {
        let message = format!("a winning PoSt takes the vanilla proof of one sector, not {}", vanilla.len());
        return Err(StageError::bad_input(STAGE, message));
    }
    let prover_id = post_prover_id(STAGE, prover_id)?;
    require_post_parameters(proof)?;
    with_tree!(proof.size, prove(proof, prover_id, randomness, vanilla))
}

fn require_winning(proof: PostProof) -> Result<(), StageError> {
    match proof.post_type {
        PostType::Winning => Ok(()),
        PostType::Window => Err(StageError::bad_input(STAGE, format!("{proof} is no winning PoSt"))),
    }
}

fn choose<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    sector_count: u64,
) -> anyhow::Result<u64> {
    let config = post_config(proof);
    let chosen = generate_winning_post_sector_challenge::<Tree>(&config, &randomness.bytes(), sector_count, prover_id)?;
    chosen.first().copied().ok_or_else(|| anyhow::anyhow!("upstream chose no sector"))
}

fn prove<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    vanilla: &[Vec<u8>],
) -> Result<Vec<u8>, StageError> {
    let proofs: Vec<FallbackPoStSectorProof<Tree>> =
        read_vanilla(vanilla).map_err(|message| StageError::bad_input(STAGE, message))?;
    guard(STAGE, || generate_winning_post_with_vanilla(&post_config(proof), &randomness.bytes(), prover_id, proofs))
}
