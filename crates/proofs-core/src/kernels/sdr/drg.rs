//! Parents within a layer: bucket sampling after DRSample, seeded per node.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::{BASE_PARENTS, GraphVersion};

/// Sampled parents; the predecessor is the sixth.
const SAMPLED: usize = BASE_PARENTS - 1;

/// The base parents of a node. The first two nodes have none but node 0.
pub(super) fn base_parents(seed: &[u8; 28], version: GraphVersion, node: u32) -> [u32; BASE_PARENTS] {
    let mut parents = [0; BASE_PARENTS];
    if node < 2 {
        return parents;
    }
    let mut rng_seed = [0; 32];
    rng_seed[..28].copy_from_slice(seed);
    rng_seed[28..].copy_from_slice(&node.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(rng_seed);
    // The graph is sampled as one with a single parent per node, and five nodes of that are one node of this.
    let fine_node = u64::from(node) * SAMPLED as u64;
    // At least 10 and no power of two: the logarithm rounded up.
    let buckets = u64::from(u64::BITS - fine_node.leading_zeros());
    let (predecessor, sampled) = match version {
        GraphVersion::V1 => (SAMPLED, 0..SAMPLED),
        GraphVersion::V1_1 => (0, 1..BASE_PARENTS),
    };
    for parent in &mut parents[sampled] {
        let bucket = rng.next_u64() % buckets + 1;
        let largest = fine_node.min(1 << bucket);
        let smallest = (largest >> 1).max(2);
        let distance = smallest + rng.next_u64() % (largest - smallest + 1);
        let found = ((fine_node - distance) / SAMPLED as u64) as u32;
        *parent = if found == node { node - 1 } else { found };
    }
    parents[predecessor] = node - 1;
    parents
}
