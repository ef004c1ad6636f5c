//! Labels of a run of nodes, for one sector or several in lock-step.
//!
//! A label is SHA-256 over replica id, layer, node and 37 parent labels: the node's parents, repeated. Sectors of one
//! registered proof have the same graph. Their labels of one node lie side by side ([node][stream]), so that one look
//! into memory brings a parent for all of them, and their hashes, which do not depend on each other, are interleaved.

mod portable;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

use super::{BASE_PARENTS, NodeParents};
use crate::kernels::Cpu;
use crate::kernels::sha256::{FIELD_MASK, INITIAL, PADDING_64, Words, portable as sha256};

/// Most sectors that are labelled in lock-step on one thread; more would add nothing.
pub const MAX_STREAMS: usize = 4;

/// Parent labels in the message of a label.
const HASHED_PARENTS: usize = 37;
/// Pairs of parents, a block each, that make the message but for its first and last block.
const PAIRS: usize = HASHED_PARENTS / 2;
/// Bytes of the message.
const MESSAGE_BYTES: u32 = 64 + 32 * HASHED_PARENTS as u32;

/// What is the same for all nodes of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The replica id of each stream.
    pub replica_ids: &'a [Words],
    /// From 1.
    pub number: u32,
    /// The labels of the layer before, [node][stream]; empty for the first layer.
    pub previous: &'a [Words],
}

impl Layer<'_> {
    /// The second half of the first block of the message of a node.
    fn head(&self, node: u64) -> Words {
        [self.number, (node >> 32) as u32, node as u32, 0, 0, 0, 0, 0]
    }

    /// The label of node 0 of a stream, which has no parents.
    fn first_label(&self, stream: usize) -> Words {
        let mut state = INITIAL;
        sha256::compress(&mut state, &self.replica_ids[stream], &self.head(0));
        sha256::compress(&mut state, &PADDING_64[0], &PADDING_64[1]);
        state[7] &= FIELD_MASK;
        state
    }
}

/// Labels `parents.len()` nodes of every stream, from node `first` on: into `current`, [node][stream], where the nodes
/// before are labelled already.
///
/// # Panics
/// If there are no or more than [`MAX_STREAMS`] streams, or a parent is no node of the layers.
pub fn label_nodes(cpu: Cpu, layer: Layer<'_>, first: u64, parents: &[NodeParents], current: &mut [Words]) {
    let streams = layer.replica_ids.len();
    assert!((1..=MAX_STREAMS).contains(&streams), "{streams} streams");
    if first == 0 {
        for (stream, label) in current.iter_mut().take(streams).enumerate() {
            *label = layer.first_label(stream);
        }
    }
    let skipped = usize::from(first == 0);
    let (first, parents) = (first + skipped as u64, &parents[skipped..]);
    #[cfg(target_arch = "x86_64")]
    if cpu.has_sha_ni() {
        return sha_ni::label_nodes(cpu, layer, first, parents, current);
    }
    let _ = cpu;
    portable::label_nodes(layer, first, parents, current);
}
