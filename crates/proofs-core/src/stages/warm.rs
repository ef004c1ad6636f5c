//! A winning PoSt of a sector that nobody has: parameters are hot and known to be right before it matters.
//!
//! All leaves of its replica are the same, so every node of a level is, and every opening is known without a file, at
//! every sector size.

use filecoin_hashers::{HashFunction, Hasher};
use filecoin_proofs::{FallbackPoStSectorProof, MerkleTreeTrait};
use sp_types::{Commitment, PostProof, PostType, ProverId, Randomness, SectorSize};
use storage_proofs_core::merkle::{InclusionPath, MerkleProof, PathElement, base_path_length};
use storage_proofs_post::fallback::{Proof, SectorProof};
use typenum::Unsigned;

use super::challenge::leaves;
use super::config::with_tree;
use super::error::guard;
use super::fields::post_prover_id;
use super::verify::verify_winning_post;
use super::winning_post::winning_post;
use super::{PostSector, StageError};

const STAGE: &str = "WNP";

/// The only sector of nobody.
const NUMBER: u64 = 0;

type DomainOf<Tree> = <<Tree as MerkleTreeTrait>::Hasher as Hasher>::Domain;
type FunctionOf<Tree> = <<Tree as MerkleTreeTrait>::Hasher as Hasher>::Function;

/// Proves and verifies one winning PoSt. Afterwards this process has the parameters of that size in memory.
///
/// Parameters with which the proof does not verify are [`StageError::Corrupt`].
pub fn warm_winning_post(size: SectorSize) -> Result<(), StageError> {
    let proof = PostProof { size, post_type: PostType::Winning };
    let (prover_id, randomness) = (ProverId::of_miner(0), Randomness::new([0; 32]));
    let (sector, vanilla) = uniform_sector(proof, prover_id, &randomness)?;
    let made = winning_post(proof, prover_id, &randomness, &[vanilla])?;
    match verify_winning_post(proof, prover_id, &randomness, &sector, &made)? {
        true => Ok(()),
        false => {
            let message = format!(
                "a proof made with the winning PoSt parameters for {size} sectors does not verify: they are damaged (`sp-ctl \
                 params check --sector-size {size} --kinds winning` compares their digests), or this host computes wrongly"
            );
            Err(StageError::corrupt(STAGE, message))
        }
    }
}

/// A sector all of whose leaves are zero, and its vanilla proof.
fn uniform_sector(
    proof: PostProof,
    prover_id: ProverId,
    randomness: &Randomness,
) -> Result<(PostSector, Vec<u8>), StageError> {
    let prover_id = post_prover_id(STAGE, prover_id)?;
    guard(STAGE, || with_tree!(proof.size, uniform(proof, prover_id, randomness)))
}

fn uniform<Tree: 'static + MerkleTreeTrait>(
    proof: PostProof,
    prover_id: [u8; 32],
    randomness: &Randomness,
) -> anyhow::Result<(PostSector, Vec<u8>)> {
    let leaf = DomainOf::<Tree>::default();
    let mut root = leaf;
    let mut levels = Vec::new();
    for arity in arities::<Tree>(proof.size) {
        let siblings = vec![root; arity - 1];
        let element = PathElement::from((siblings.clone(), 0));
        root = InclusionPath::<Tree::Hasher, Tree::Arity>::from(vec![element]).root(root);
        levels.push(siblings);
    }
    let open = |challenge: u64| {
        let mut rest = challenge as usize;
        let path = levels.iter().map(|siblings| {
            let (arity, index) = (siblings.len() + 1, rest % (siblings.len() + 1));
            rest /= arity;
            (siblings.clone(), index)
        });
        MerkleProof::from_parts(leaf, root, path.collect())
    };
    let challenges = leaves::<Tree>(proof, prover_id, randomness, NUMBER)?;
    // Any column commitment does: none of its columns is ever opened.
    let comm_c = leaf;
    let comm_r = FunctionOf::<Tree>::hash2(&comm_c, &root);
    let opened =
        SectorProof { inclusion_proofs: challenges.into_iter().map(open).collect(), comm_c, comm_r_last: root };
    let vanilla = FallbackPoStSectorProof::<Tree> {
        sector_id: NUMBER.into(),
        comm_r,
        vanilla_proof: Proof { sectors: vec![opened] },
    };
    let mut named = Commitment([0; 32]);
    named.0.copy_from_slice(comm_r.as_ref());
    Ok((PostSector { number: NUMBER, comm_r: named }, bincode::serialize(&vanilla)?))
}

/// Children of a node, level by level, from the leaves to the root.
fn arities<Tree: MerkleTreeTrait>(size: SectorSize) -> impl Iterator<Item = usize> {
    let leaf_count = (size.bytes() / 32) as usize;
    let base = base_path_length::<Tree::Arity, Tree::SubTreeArity, Tree::TopTreeArity>(leaf_count);
    let above = [Tree::SubTreeArity::to_usize(), Tree::TopTreeArity::to_usize()].into_iter().filter(|arity| *arity > 0);
    std::iter::repeat_n(Tree::Arity::to_usize(), base).chain(above)
}

#[cfg(test)]
mod tests {
    use super::super::verify_vanilla_proof;
    use super::*;

    #[test]
    fn the_sector_of_nobody_answers_every_challenge_at_every_size() {
        for size in SectorSize::ALL {
            let proof = PostProof { size, post_type: PostType::Winning };
            let (prover, randomness) = (ProverId::of_miner(0), Randomness::new([0; 32]));
            let (sector, vanilla) = uniform_sector(proof, prover, &randomness).unwrap();
            let verify = |sector: &PostSector, randomness: &Randomness| {
                verify_vanilla_proof(proof, prover, randomness, sector, &vanilla).unwrap()
            };
            assert!(verify(&sector, &randomness), "{size}");
            assert!(!verify(&sector, &Randomness::new([1; 32])), "{size}: it answers these challenges alone");
            assert!(!verify(&PostSector { number: 1, ..sector }, &randomness), "{size}");
        }
    }
}
