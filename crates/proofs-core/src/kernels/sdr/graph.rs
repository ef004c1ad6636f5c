//! The graph of a registered proof: which 14 nodes each node's label depends on.

use sha2::{Digest, Sha256};

use super::{drg, feistel};
use crate::kernels::Cpu;

/// Parents of a node in the depth-robust graph of its own layer.
pub const BASE_PARENTS: usize = 6;
/// Parents of a node in the layer before.
pub const EXPANDER_PARENTS: usize = 8;
/// All parents of a node.
pub const PARENTS: usize = BASE_PARENTS + EXPANDER_PARENTS;

/// The parents of one node: first those in its layer, then those in the layer before.
pub type NodeParents = [u32; PARENTS];

/// Nodes whose expander parents are computed together: enough to keep every lane busy, few enough for the cache.
const BATCH_NODES: usize = 512;

/// Which rules the parents follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphVersion {
    /// API 1.0.0: the predecessor is the last base parent; expander parents are cut to 32 bits before they are divided.
    V1,
    /// API 1.1.0 and later: the predecessor comes first, so that hashing cannot begin before it is known.
    V1_1,
}

/// The graph of one registered proof. Two registered proofs of one size have different graphs.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: u64,
    version: GraphVersion,
    drg_seed: [u8; 28],
    /// The seed of the expander, whose bytes are four keys.
    feistel_seed: [u8; 32],
}

impl Graph {
    /// The graph of a sector of `nodes` nodes of 32 bytes.
    ///
    /// # Panics
    /// If `nodes` is no power of two from 2 to 2^31: there is no such sector size.
    pub fn new(nodes: u64, porep_id: [u8; 32], version: GraphVersion) -> Self {
        assert!(nodes.is_power_of_two() && (2..=1 << 31).contains(&nodes), "{nodes} nodes are no sector size");
        let seed = |tag: &str| -> [u8; 32] { Sha256::new().chain_update(tag).chain_update(porep_id).finalize().into() };
        let mut drg_seed = [0; 28];
        drg_seed.copy_from_slice(&seed("Filecoin_DRSample")[..28]);
        Self { nodes, version, drg_seed, feistel_seed: seed("Filecoin_Feistel") }
    }

    /// Nodes of a layer.
    pub fn nodes(&self) -> u64 {
        self.nodes
    }

    /// The name of the file that holds the parents of all nodes, as upstream has it.
    pub fn parents_file_name(&self) -> String {
        let (nodes, hasher) = (self.nodes, "poseidon_hasher");
        let base = format!("drgraph::BucketGraph{{size: {nodes}; degree: {BASE_PARENTS}; hasher: {hasher}}}");
        let stacked =
            format!("stacked_graph::StackedGraph{{expansion_degree: {EXPANDER_PARENTS} base_graph: {base} }}");
        let digest = Sha256::new()
            .chain_update(hasher)
            .chain_update(stacked)
            .chain_update(self.feistel_seed)
            .chain_update((nodes as u32).to_le_bytes())
            .finalize();
        format!("v28-sdr-parent-{}.cache", hex::encode(digest))
    }

    /// Computes the parents of the nodes from `first` on.
    pub fn parents(&self, cpu: Cpu, first: u64, out: &mut [NodeParents]) {
        let permutation = feistel::Permutation::new(self.nodes * EXPANDER_PARENTS as u64, &self.feistel_seed);
        for (batch, out) in out.chunks_mut(BATCH_NODES).enumerate() {
            let first = first + (batch * BATCH_NODES) as u64;
            for (node, parents) in (first..).zip(out.iter_mut()) {
                let base = drg::base_parents(&self.drg_seed, self.version, node as u32);
                parents[..BASE_PARENTS].copy_from_slice(&base);
            }
            let mut values = [0; BATCH_NODES * EXPANDER_PARENTS];
            let values = &mut values[..out.len() * EXPANDER_PARENTS];
            permutation.apply(cpu, first * EXPANDER_PARENTS as u64, values);
            for (parents, values) in out.iter_mut().zip(values.as_chunks::<EXPANDER_PARENTS>().0) {
                for (parent, value) in parents[BASE_PARENTS..].iter_mut().zip(values) {
                    *parent = self.expander_parent(*value);
                }
            }
        }
    }

    fn expander_parent(&self, value: u64) -> u32 {
        match self.version {
            // Wrong from 2^32 on, that is at 32 and 64 GiB, and normative.
            GraphVersion::V1 => value as u32 / EXPANDER_PARENTS as u32,
            GraphVersion::V1_1 => (value / EXPANDER_PARENTS as u64) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use filecoin_hashers::poseidon::PoseidonHasher;
    use storage_proofs_core::api_version::ApiVersion;
    use storage_proofs_core::drgraph::Graph as _;
    use storage_proofs_porep::stacked::StackedBucketGraph;

    use super::*;

    fn upstream(nodes: u64, porep_id: [u8; 32], version: GraphVersion) -> StackedBucketGraph<PoseidonHasher> {
        let version = match version {
            GraphVersion::V1 => ApiVersion::V1_0_0,
            GraphVersion::V1_1 => ApiVersion::V1_2_0,
        };
        let (base, expander) = (BASE_PARENTS, EXPANDER_PARENTS);
        StackedBucketGraph::new_stacked(nodes as usize, base, expander, porep_id, version).unwrap()
    }

    /// Every instruction set, both versions, sizes with and without cycle walking; where the graph is big, some nodes at
    /// both ends and in the middle.
    #[test]
    fn parents_are_upstreams() {
        for (log, version) in [(6, 0), (7, 0), (9, 1), (10, 1), (13, 0), (18, 1), (24, 1), (30, 0), (30, 1), (31, 1)] {
            let version = if version == 0 { GraphVersion::V1 } else { GraphVersion::V1_1 };
            let (nodes, porep_id) = (1 << log, [log as u8; 32]);
            let (ours, theirs) = (Graph::new(nodes, porep_id, version), upstream(nodes, porep_id, version));
            let count = nodes.min(1100);
            for first in [0, nodes / 2 - count / 2, nodes - count] {
                for cpu in Cpu::variants() {
                    let mut found = vec![[0; PARENTS]; count as usize];
                    ours.parents(cpu, first, &mut found);
                    for (node, found) in (first..).zip(found) {
                        let mut known = [0; PARENTS];
                        theirs.parents(node as usize, &mut known).unwrap();
                        assert_eq!(found, known, "node {node} of 2^{log}, {version:?}, {cpu}");
                    }
                }
            }
        }
    }
}
