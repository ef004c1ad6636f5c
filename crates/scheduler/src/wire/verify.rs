//! Questions to the verifier.

use sp_proto::v1;
use sp_proto::v1::verify_request::What;
use sp_sched_core::effect::{PostToVerify, SealToVerify, UpdateToVerify};
use sp_types::{AttemptId, PostProof, PostType, RegisteredSealProof, SectorSize};

use super::post::post_sector;

/// A seal proof, and whose it is.
pub(crate) fn verify_seal(miner: u64, seal: SealToVerify) -> (AttemptId, What) {
    let SealToVerify { attempt, sector, seal_proof, ticket, seed, comm_d, comm_r, proof } = seal;
    let what = What::Seal(v1::VerifySeal {
        seal_proof: seal_proof.id(),
        miner,
        sector,
        ticket: ticket.to_vec(),
        seed: seed.to_vec(),
        comm_d: comm_d.0.to_vec(),
        comm_r: comm_r.0.to_vec(),
        proof,
    });
    (attempt, what)
}

/// An update proof, and whose it is.
pub(crate) fn verify_update(update: UpdateToVerify) -> (AttemptId, What) {
    let UpdateToVerify { attempt, sector: _, seal_proof, comm_r_old, comm_r_new, comm_d_new, proof } = update;
    let what = What::Update(v1::VerifyUpdate {
        seal_proof: seal_proof.id(),
        comm_r_old: comm_r_old.0.to_vec(),
        comm_r_new: comm_r_new.0.to_vec(),
        comm_d_new: comm_d_new.0.to_vec(),
        proof,
    });
    (attempt, what)
}

/// A PoSt proof, and whose it is.
pub(crate) fn verify_post(miner: u64, post: PostToVerify) -> (AttemptId, What) {
    let PostToVerify { attempt, post_proof, randomness, partition, sectors, proof } = post;
    let what = What::Post(v1::VerifyPost {
        post_proof: post_proof.to_string(),
        miner,
        randomness: randomness.bytes().to_vec(),
        partition,
        sectors: sectors.into_iter().map(post_sector).collect(),
        proof,
    });
    (attempt, what)
}

/// Loads the PoSt verifying keys of a size, so that the first proof is not the slow one.
pub(crate) fn verify_warm(size: SectorSize) -> What {
    let name = |post_type| PostProof { size, post_type }.to_string();
    What::Warm(v1::VerifyWarm {
        seal_proof: RegisteredSealProof::v1_1(size).id(),
        post_proofs: [PostType::Window, PostType::Winning].map(name).to_vec(),
    })
}
