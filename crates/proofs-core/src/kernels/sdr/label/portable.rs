//! Labels with portable SHA-256: the reference.

use super::{BASE_PARENTS, HASHED_PARENTS, Layer, MESSAGE_BYTES, PAIRS};
use crate::kernels::sdr::NodeParents;
use crate::kernels::sha256::portable::compress;
use crate::kernels::sha256::{FIELD_MASK, INITIAL, Words, padding};

pub(super) fn label_nodes(layer: Layer<'_>, first: u64, parents: &[NodeParents], current: &mut [Words]) {
    let streams = layer.replica_ids.len();
    // The expander reaches into the layer before, which the first has not.
    let degree = if layer.previous.is_empty() { BASE_PARENTS } else { parents.first().map_or(0, |p| p.len()) };
    for (node, parents) in (first..).zip(parents) {
        for (stream, replica_id) in layer.replica_ids.iter().enumerate() {
            let parent = |i: usize| {
                let (slot, labels) = (i % degree, if i % degree < BASE_PARENTS { &*current } else { layer.previous });
                &labels[parents[slot] as usize * streams + stream]
            };
            let mut state = INITIAL;
            compress(&mut state, replica_id, &layer.head(node));
            for pair in 0..PAIRS {
                compress(&mut state, parent(2 * pair), parent(2 * pair + 1));
            }
            compress(&mut state, parent(HASHED_PARENTS - 1), &padding(MESSAGE_BYTES));
            state[7] &= FIELD_MASK;
            current[node as usize * streams + stream] = state;
        }
    }
}
