//! PoSt challenges of one sector and its vanilla proof: the part of a PoSt that reads the sector's files.

use std::path::Path;

use filecoin_proofs::{
    FallbackPoStSectorProof, MerkleTreeTrait, PrivateReplicaInfo, as_safe_commitment,
    generate_fallback_sector_challenges, generate_single_vanilla_proof,
};
use sp_types::{Commitment, PostProof, PostType, ProverId, Randomness};
use storage_proofs_core::merkle::MerkleProofTrait;
use storage_proofs_core::proof::ProofScheme;
use storage_proofs_core::sector::SectorId;
use storage_proofs_post::fallback::{FallbackPoSt, PublicInputs, PublicParams, PublicSector};

use super::StageError;
use super::config::{post_config, with_tree};
use super::error::guard;
use super::fields::{check_commitment, post_prover_id};
use super::files::check_sector_file;
use super::p_aux::check_comm_r;

/// A sector as a PoSt names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostSector {
    /// Sector number.
    pub number: u64,
    /// Commitment of the replica.
    pub comm_r: Commitment,
}

pub(super) fn stage_name(proof: PostProof) -> &'static str {
    match proof.post_type {
        PostType::Window => "WDP",
        PostType::Winning => "WNP",
    }
}

/// The challenged leaves of one sector: 10 for window, 66 for winning. They depend on neither the other sectors nor the
/// partition, so whoever holds the sector's files can answer alone.
pub fn challenges(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    number: u64,
) -> Result<Vec<u64>, StageError> {
    let stage = stage_name(proof);
    let prover_id = post_prover_id(stage, prover_id)?;
    guard(stage, || with_tree!(proof.size, leaves(proof, prover_id, randomness, number)))
}

/// The vanilla proof of one sector: bincode of upstream's `FallbackPoStSectorProof`, as Filecoin's tools exchange it.
/// `sealed` and `cache` hold the replica with `sector.comm_r`: of an updated sector they are its update and update-cache.
///
/// It is verified against `sector.comm_r` before it is returned: a missing file is [`StageError::Io`], a damaged one
/// [`StageError::Corrupt`] or [`StageError::Upstream`], as far as the challenged parts show it. About 40 KiB at 32 GiB.
pub fn vanilla_proof(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    sector: &PostSector,
    sealed: &Path,
    cache: &Path,
) -> Result<Vec<u8>, StageError> {
    let stage = stage_name(proof);
    check_commitment(stage, "comm_r", &sector.comm_r)?;
    let prover_id = post_prover_id(stage, prover_id)?;
    check_sector_file(stage, sealed, proof.size)?;
    // Of a snapped sector both replicas may be here: the wrong one is told by 64 bytes, before anything large is read.
    check_comm_r(stage, "comm_r", cache, &sector.comm_r)?;
    let bytes = guard(stage, || with_tree!(proof.size, open(proof, prover_id, randomness, sector, sealed, cache)))?;
    bytes.ok_or_else(|| {
        let message =
            format!("sector {}: {} is not the replica with comm_r {}", sector.number, sealed.display(), sector.comm_r);
        StageError::corrupt(stage, message)
    })
}

/// Whether `vanilla` is a vanilla proof of `sector` for this challenge. For a prover that got it from another machine: one
/// bad proof would spoil its whole partition, so the sector is skipped instead. Bytes that cannot be read are a no.
pub fn verify_vanilla_proof(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
    sector: &PostSector,
    vanilla: &[u8],
) -> Result<bool, StageError> {
    let stage = stage_name(proof);
    check_commitment(stage, "comm_r", &sector.comm_r)?;
    let prover_id = post_prover_id(stage, prover_id)?;
    // Upstream indexes into what it was given; whatever makes it panic is not a proof.
    let opens = guard(stage, || with_tree!(proof.size, answers(proof, prover_id, randomness, sector, vanilla)));
    Ok(opens.unwrap_or(false))
}

pub(super) fn leaves<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    number: u64,
) -> anyhow::Result<Vec<u64>> {
    let sector = SectorId::from(number);
    let randomness = randomness.bytes();
    let mut all = generate_fallback_sector_challenges::<Tree>(&post_config(proof), &randomness, &[sector], prover_id)?;
    all.remove(&sector).ok_or_else(|| anyhow::anyhow!("upstream gave no challenges for sector {number}"))
}

/// None when the files do not belong to `sector.comm_r`.
fn open<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    sector: &PostSector,
    sealed: &Path,
    cache: &Path,
) -> anyhow::Result<Option<Vec<u8>>> {
    let config = post_config(proof);
    let leaves = leaves::<Tree>(proof, prover_id, randomness, sector.number)?;
    let replica = PrivateReplicaInfo::<Tree>::new(sealed.into(), sector.comm_r.0, cache.into())?;
    let opened = generate_single_vanilla_proof(&config, sector.number.into(), &replica, &leaves)?;
    if !opens::<Tree>(proof, prover_id, randomness, &opened)? {
        return Ok(None);
    }
    Ok(Some(bincode::serialize(&opened)?))
}

/// Whether the vanilla proof answers its sector's challenges under the commitment that it names. Upstream checks the
/// openings while it makes them, but not that comm_c and the root of the replica's tree are those in comm_r.
fn opens<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    opened: &FallbackPoStSectorProof<Tree>,
) -> anyhow::Result<bool> {
    let config = post_config(proof);
    let params = PublicParams {
        sector_size: proof.size.bytes(),
        challenge_count: config.challenge_count,
        // On its own, whatever a partition holds: neither kind's challenges depend on the other sectors.
        sector_count: 1,
        api_version: config.api_version,
    };
    let inputs = PublicInputs {
        randomness: as_safe_commitment(&randomness.bytes(), "randomness")?,
        prover_id: as_safe_commitment(&prover_id, "prover_id")?,
        sectors: vec![PublicSector { id: opened.sector_id, comm_r: opened.comm_r }],
        k: Some(0),
    };
    FallbackPoSt::<Tree>::verify(&params, &inputs, &opened.vanilla_proof)
}

fn answers<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
    sector: &PostSector,
    vanilla: &[u8],
) -> anyhow::Result<bool> {
    let opened: FallbackPoStSectorProof<Tree> = bincode::deserialize(vanilla)?;
    let named =
        opened.sector_id == sector.number.into() && opened.comm_r == as_safe_commitment(&sector.comm_r.0, "comm_r")?;
    let [only] = opened.vanilla_proof.sectors.as_slice() else { return Ok(false) };
    // Upstream's check takes the root from the openings, its circuit takes it from here.
    let same_root = only.inclusion_proofs().iter().all(|opening| opening.root() == only.comm_r_last);
    Ok(named && same_root && opens::<Tree>(proof, prover_id, randomness, &opened)?)
}

/// Reads vanilla proofs back, sorted by sector as every verifier lists them. Refuses a damaged or doubled one.
pub(super) fn read_vanilla<Tree: 'static + MerkleTreeTrait>(
    vanilla: &[Vec<u8>],
) -> Result<Vec<FallbackPoStSectorProof<Tree>>, String> {
    let read = |(at, bytes): (usize, &Vec<u8>)| {
        bincode::deserialize(bytes).map_err(|e| format!("vanilla proof {at} cannot be read: {e}; make it again"))
    };
    let mut proofs: Vec<FallbackPoStSectorProof<Tree>> =
        vanilla.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    proofs.sort_by_key(|proof| proof.sector_id);
    match proofs.windows(2).find(|pair| pair[0].sector_id == pair[1].sector_id) {
        Some(pair) => Err(format!("two vanilla proofs are of sector {}", u64::from(pair[0].sector_id))),
        None => Ok(proofs),
    }
}

#[cfg(test)]
mod tests {
    use sp_types::SectorSize;

    use super::*;

    #[test]
    fn challenges_have_the_networks_counts_and_lie_in_the_sector() {
        for size in SectorSize::ALL {
            for (post_type, count) in [(PostType::Window, 10), (PostType::Winning, 66)] {
                let proof = PostProof { size, post_type };
                let leaves = challenges(proof, ProverId::of_miner(1000), &Randomness::new([9; 32]), 7).unwrap();
                assert_eq!(leaves.len(), count);
                assert!(leaves.iter().all(|leaf| *leaf < size.bytes() / 32));
            }
        }
    }
}
