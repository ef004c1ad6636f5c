//! Upstream's verifier, and nothing else: what decides whether a proof is valid.
//!
//! A proof that cannot even be read is invalid. An error means that nothing was decided: parameters are missing, or
//! upstream failed on something that is not the proof.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use bellperson::groth16::Proof;
use bellperson::groth16::aggregate::AggregateProof;
use blstrs::Bls12;
use filecoin_proofs::{
    MerkleTreeTrait, PublicReplicaInfo, SINGLE_PARTITION_PROOF_LEN, TreeRHasher, verify_empty_sector_update_proof,
};
use sp_types::{Commitment, PostProof, PostType, ProverId, Randomness, RegisteredUpdateProof, SealFeature};

use super::config::{porep_config, post_config, update_config, update_porep_config, with_tree};
use super::error::guard;
use super::fields::{is_commitment, post_prover_id};
use super::parameters::{require_post_verifying_key, require_seal_verifying_key, require_update_verifying_key};
use super::{PostSector, SectorContext, StageError, UpdateCommitments};

const STAGE: &str = "verify";

/// Whether `proof` is a valid seal proof of the sector in `ctx` with these commitments, ticket and seed.
pub fn verify_seal(
    ctx: &SectorContext,
    comm_r: &Commitment,
    comm_d: &Commitment,
    ticket: [u8; 32],
    seed: [u8; 32],
    proof: &[u8],
) -> Result<bool, StageError> {
    require_seal_verifying_key(STAGE, ctx.proof)?;
    let partitions = guard(STAGE, || Ok(usize::from(porep_config(ctx.proof)?.partitions)))?;
    let readable = match ctx.proof.feature {
        SealFeature::NonInteractive => is_aggregate_of(proof, partitions),
        SealFeature::V1_1 | SealFeature::Synthetic => are_snarks(proof, partitions),
    };
    if !readable || !is_commitment(&comm_r.0) || !is_commitment(&comm_d.0) {
        return Ok(false);
    }
    guard(STAGE, || with_tree!(ctx.proof.size, seal(ctx, comm_r, comm_d, ticket, seed, proof)))
}

/// Whether `proof_bytes` is a valid window PoSt proof of one partition on its own: `sectors` are the partition's, less
/// the skipped ones, in any order. Under V1_2 the number of the partition has no effect; it is named in errors only.
pub fn verify_window_post(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    partition: u32,
    sectors: &[PostSector],
    proof_bytes: &[u8],
) -> Result<bool, StageError> {
    if proof.post_type != PostType::Window {
        let message = format!("partition {partition}: {proof} is no window PoSt");
        return Err(StageError::bad_input(STAGE, message));
    }
    require_post_verifying_key(STAGE, proof)?;
    let prover_id = post_prover_id(STAGE, prover_id)?;
    let numbers: BTreeSet<u64> = sectors.iter().map(|sector| sector.number).collect();
    let fits = !sectors.is_empty() && sectors.len() <= proof.size.sectors_per_partition();
    let well_formed = fits && numbers.len() == sectors.len() && sectors.iter().all(|s| is_commitment(&s.comm_r.0));
    if !well_formed || !are_snarks(proof_bytes, 1) {
        return Ok(false);
    }
    guard(STAGE, || with_tree!(proof.size, window(proof, prover_id, randomness, sectors, proof_bytes)))
}

/// Whether `proof_bytes` is a valid winning PoSt proof of `sector`. That `sector` is the one the randomness chose is for
/// the caller to check, with [`winning_post_sector`](super::winning_post_sector).
pub fn verify_winning_post(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    sector: &PostSector,
    proof_bytes: &[u8],
) -> Result<bool, StageError> {
    if proof.post_type != PostType::Winning {
        return Err(StageError::bad_input(STAGE, format!("{proof} is no winning PoSt")));
    }
    require_post_verifying_key(STAGE, proof)?;
    let prover_id = post_prover_id(STAGE, prover_id)?;
    if !is_commitment(&sector.comm_r.0) || !are_snarks(proof_bytes, 1) {
        return Ok(false);
    }
    guard(STAGE, || with_tree!(proof.size, winning(proof, prover_id, randomness, sector, proof_bytes)))
}

/// Whether `proof_bytes` is a valid update proof: the replica with `comm_r_old` became that with `comm_r_new` by the data
/// with `comm_d_new`. Neither sector nor prover enter it.
pub fn verify_update(
    proof: RegisteredUpdateProof,
    comms: &UpdateCommitments,
    proof_bytes: &[u8],
) -> Result<bool, StageError> {
    require_update_verifying_key(STAGE, proof)?;
    let partitions = guard(STAGE, || Ok(usize::from(update_config(proof).update_partitions)))?;
    let well_formed = [comms.comm_r_old, comms.comm_r_new, comms.comm_d_new].iter().all(|c| is_commitment(&c.0));
    if !well_formed || !are_snarks(proof_bytes, partitions) {
        return Ok(false);
    }
    guard(STAGE, || with_tree!(proof.size, update(proof, comms, proof_bytes)))
}

/// Whether these bytes are `count` Groth16 proofs: of the right length, and points of the curve's groups.
fn are_snarks(bytes: &[u8], count: usize) -> bool {
    bytes.len() == count * SINGLE_PARTITION_PROOF_LEN && Proof::<Bls12>::read_many(bytes, count).is_ok()
}

/// Whether these bytes are a SnarkPack aggregate of so many proofs (filled up to a power of two), and nothing besides.
fn is_aggregate_of(bytes: &[u8], partitions: usize) -> bool {
    let mut reader = Cursor::new(bytes);
    // Upstream's reader may panic on lengths that it does not expect.
    let read = guard(STAGE, || Ok(AggregateProof::<Bls12>::read(&mut reader)?));
    let count = read.map(|aggregate| aggregate.tmipp.gipa.nproofs as usize);
    matches!(count, Ok(n) if n == partitions.next_power_of_two()) && reader.position() == bytes.len() as u64
}

fn seal<Tree: 'static + MerkleTreeTrait>(
    ctx: &SectorContext,
    comm_r: &Commitment,
    comm_d: &Commitment,
    ticket: [u8; 32],
    seed: [u8; 32],
    proof: &[u8],
) -> anyhow::Result<bool> {
    let (config, number) = (porep_config(ctx.proof)?, ctx.number.into());
    filecoin_proofs::verify_seal::<Tree>(&config, comm_r.0, comm_d.0, ctx.prover_id.0, number, ticket, seed, proof)
}

fn window<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    sectors: &[PostSector],
    proof_bytes: &[u8],
) -> anyhow::Result<bool> {
    let replica = |s: &PostSector| Ok((s.number.into(), PublicReplicaInfo::new(s.comm_r.0)?));
    let replicas: BTreeMap<_, _> = sectors.iter().map(replica).collect::<anyhow::Result<_>>()?;
    let config = post_config(proof);
    filecoin_proofs::verify_window_post::<Tree>(&config, &randomness.bytes(), &replicas, prover_id, proof_bytes)
}

fn winning<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    sector: &PostSector,
    proof_bytes: &[u8],
) -> anyhow::Result<bool> {
    let replicas = [(sector.number.into(), PublicReplicaInfo::new(sector.comm_r.0)?)];
    let config = post_config(proof);
    filecoin_proofs::verify_winning_post::<Tree>(&config, &randomness.bytes(), &replicas, prover_id, proof_bytes)
}

fn update<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    proof: RegisteredUpdateProof,
    comms: &UpdateCommitments,
    proof_bytes: &[u8],
) -> anyhow::Result<bool> {
    let UpdateCommitments { comm_r_old, comm_r_new, comm_d_new } = comms;
    let config = update_porep_config(proof);
    verify_empty_sector_update_proof::<Tree>(&config, proof_bytes, comm_r_old.0, comm_r_new.0, comm_d_new.0)
}
