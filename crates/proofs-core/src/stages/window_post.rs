//! WDP: the SNARK of one window PoSt partition.

use filecoin_proofs::{FallbackPoStSectorProof, MerkleTreeTrait, generate_single_window_post_with_vanilla};
use sp_types::{PostProof, PostType, ProverId, Randomness};

use super::StageError;
use super::challenge::read_vanilla;
use super::config::{post_config, with_tree};
use super::error::guard;
use super::fields::post_prover_id;
use super::parameters::require_post_parameters;

const STAGE: &str = "WDP";

/// Proves one partition, 192 bytes. `vanilla` holds one vanilla proof per sector, in any order, at least one and at most
/// as many as a partition holds; a short partition is filled up by repeating the last sector, as upstream does.
///
/// The proof verifies on its own; the proofs of all partitions, joined in order, are the window PoSt of the deadline.
pub fn window_post_partition(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    partition: u32,
    vanilla: &[Vec<u8>],
) -> Result<Vec<u8>, StageError> {
    let most = proof.size.sectors_per_partition();
    if proof.post_type != PostType::Window {
        return Err(StageError::bad_input(STAGE, format!("{proof} is no window PoSt")));
    }
    if vanilla.is_empty() || vanilla.len() > most {
        let message = format!("partition {partition} has {} sectors; it must have 1 to {most}", vanilla.len());
        return Err(StageError::bad_input(STAGE, message));
    }
    let prover_id = post_prover_id(STAGE, prover_id)?;
    require_post_parameters(proof)?;
    with_tree!(proof.size, prove(proof, prover_id, randomness, partition, vanilla))
}

fn prove<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    partition: u32,
    vanilla: &[Vec<u8>],
) -> Result<Vec<u8>, StageError> {
    let sorted: Vec<FallbackPoStSectorProof<Tree>> =
        read_vanilla(vanilla).map_err(|message| StageError::bad_input(STAGE, message))?;
    let (config, randomness) = (post_config(proof), randomness.bytes());
    guard(STAGE, || {
        generate_single_window_post_with_vanilla(&config, &randomness, prover_id, sorted, partition as usize)
    })
    .map(|snark| snark.0)
}
