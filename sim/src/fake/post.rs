//! What a fake PoSt is: an answer to a challenge follows from the replica and the challenge, a proof from all answers, from
//! whose they are and from what was asked. There are many right proofs of one statement, as of real ones.

use sp_proto::v1;

use super::made::Made;
use super::seal::{Seal, digest, stream};

/// What makes one right proof differ from another.
const NONCE_BYTES: usize = 16;
const PROOF_BYTES: usize = 192;
const VANILLA_BYTES: usize = 256;

/// What a proof is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Window or winning.
    pub post_proof: String,
    /// The prover.
    pub miner: u64,
    /// The challenge.
    pub randomness: Vec<u8>,
    /// Index of the partition; 0 of a winning PoSt.
    pub partition: u32,
    /// Numbers and commitments, rising.
    pub sectors: Vec<(u64, Vec<u8>)>,
}

/// The answer of a replica to a challenge.
pub(super) fn vanilla(seal: &Seal, post_proof: &str, randomness: &[u8]) -> Vec<u8> {
    let from = digest("post vanilla", &[&seal.sealed(), post_proof.as_bytes(), randomness]);
    stream(&from, VANILLA_BYTES)
}

/// Sectors as a statement has them.
pub(super) fn named(sectors: &[v1::PostSector]) -> Vec<(u64, Vec<u8>)> {
    sectors.iter().map(|sector| (sector.number, sector.comm_r.clone())).collect()
}

impl Statement {
    /// What a verifier is asked.
    pub fn of(post: &v1::VerifyPost) -> Self {
        let v1::VerifyPost { post_proof, miner, randomness, partition, sectors, proof: _ } = post.clone();
        Self { post_proof, miner, randomness, partition, sectors: named(&sectors) }
    }

    /// The answers of all its sectors; none if there is one that nobody made.
    pub(super) fn answers(&self, made: &Made) -> Option<Vec<Vec<u8>>> {
        let of_miner = |(number, comm_r): &(u64, Vec<u8>)| {
            made.find(comm_r).filter(|seal| (seal.miner, seal.sector) == (self.miner, *number))
        };
        self.sectors.iter().map(|s| Some(vanilla(&of_miner(s)?, &self.post_proof, &self.randomness))).collect()
    }

    /// A proof out of these answers.
    pub(super) fn prove(&self, answers: &[Vec<u8>], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let Self { post_proof, miner, randomness, partition, sectors } = self;
        let (miner, partition) = (miner.to_le_bytes(), partition.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![&nonce, post_proof.as_bytes(), &miner, randomness, &partition];
        let numbers: Vec<[u8; 8]> = sectors.iter().map(|(number, _)| number.to_le_bytes()).collect();
        parts.extend(numbers.iter().map(|number| number.as_slice()));
        parts.extend(sectors.iter().map(|(_, comm_r)| comm_r.as_slice()));
        parts.extend(answers.iter().map(Vec::as_slice));
        [nonce.to_vec(), stream(&digest("post", &parts), PROOF_BYTES - NONCE_BYTES)].concat()
    }

    /// Is it one of its proofs?
    pub fn is_proven_by(&self, made: &Made, proof: &[u8]) -> bool {
        let Some(nonce) = proof.first_chunk::<NONCE_BYTES>() else { return false };
        self.answers(made).is_some_and(|answers| self.prove(&answers, *nonce) == proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_statement() {
        let made = Made::default();
        let seal = |sector| Seal { miner: 1000, sector, ticket: vec![1; 32], comm_d: vec![2; 32] };
        [1, 2].into_iter().for_each(|sector| made.note(seal(sector)));
        let sectors = [1, 2].map(|sector| (sector, seal(sector).comm_r())).to_vec();
        let one =
            Statement { post_proof: "window".into(), miner: 1000, randomness: vec![5; 32], partition: 0, sectors };
        let answers = one.answers(&made).expect("all were made");
        let proofs = [[1; 16], [2; 16]].map(|nonce| one.prove(&answers, nonce));
        assert!(proofs[0] != proofs[1] && proofs.iter().all(|proof| one.is_proven_by(&made, proof)));
        let others = [
            Statement { partition: 1, ..one.clone() },
            Statement { randomness: vec![6; 32], ..one.clone() },
            Statement { post_proof: "winning".into(), ..one.clone() },
            Statement { sectors: one.sectors[..1].to_vec(), ..one.clone() },
            Statement { miner: 1001, ..one.clone() },
        ];
        assert!(others.iter().all(|other| !other.is_proven_by(&made, &proofs[0])));
        assert!(!one.is_proven_by(&made, &[0; PROOF_BYTES]) && !one.is_proven_by(&made, &[]));
    }
}
