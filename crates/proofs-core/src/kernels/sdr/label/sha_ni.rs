//! Labels with SHA-NI, one to four streams interleaved.
//!
//! The message repeats its 6 or 14 parents: 3 or 7 different blocks make 18 of its 20. Each is scheduled once per label
//! and hashed from that schedule afterwards.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::{BASE_PARENTS, HASHED_PARENTS, Layer, MESSAGE_BYTES, PAIRS};
use crate::kernels::Cpu;
use crate::kernels::sdr::{NodeParents, PARENTS};
use crate::kernels::sha256::sha_ni::{
    Schedule, State, block_of, compress, compress_again, empty_block, empty_schedule,
};
use crate::kernels::sha256::{Words, padding};

/// Nodes between a label and the one whose parents are called into the cache meanwhile.
const AHEAD: usize = 12;

/// Different pairs of parents, at most.
const PAIRS_MAX: usize = PARENTS / 2;

/// # Panics
/// If the machine has no SHA-NI, or as [`super::label_nodes`] says.
pub(super) fn label_nodes(cpu: Cpu, layer: Layer<'_>, first: u64, parents: &[NodeParents], current: &mut [Words]) {
    assert!(cpu.has_sha_ni());
    // SAFETY: a `Cpu` that says SHA-NI was detected, with SSE4.1 and SSSE3, on this machine.
    unsafe {
        match layer.replica_ids.len() {
            1 => label_streams::<1>(layer, first, parents, current),
            2 => label_streams::<2>(layer, first, parents, current),
            3 => label_streams::<3>(layer, first, parents, current),
            _ => label_streams::<4>(layer, first, parents, current),
        }
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn label_streams<const STREAMS: usize>(layer: Layer<'_>, first: u64, parents: &[NodeParents], current: &mut [Words]) {
    let mut kept = [[empty_schedule(); STREAMS]; PAIRS_MAX];
    for (i, node_parents) in parents.iter().enumerate() {
        let node = first + i as u64;
        // At the end its own once more, which costs nothing.
        let coming = parents.get(i + AHEAD).unwrap_or(node_parents);
        let states = if layer.previous.is_empty() {
            label::<STREAMS, BASE_PARENTS>(layer, node, node_parents, coming, current, &mut kept)
        } else {
            label::<STREAMS, PARENTS>(layer, node, node_parents, coming, current, &mut kept)
        };
        let (labels, _) = current[node as usize * STREAMS..].as_chunks_mut::<STREAMS>();
        for (state, label) in states.into_iter().zip(&mut labels[0]) {
            state.store(label);
        }
    }
}

/// Hashes the message of one node, of `DEGREE` parents.
///
/// Between the blocks it asks for the parents of the node `coming`, which lie anywhere. An instruction that asks waits
/// until it knows the page, and what comes after it waits with it: several in a row wait together, so that the wait is
/// short, but the hashing of one stream alone rather has it in two parts.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn label<const STREAMS: usize, const DEGREE: usize>(
    layer: Layer<'_>,
    node: u64,
    parents: &NodeParents,
    coming: &NodeParents,
    current: &[Words],
    kept: &mut [[Schedule; STREAMS]; PAIRS_MAX],
) -> [State; STREAMS] {
    let labels = |slot: usize, parents: &NodeParents| -> &[Words; STREAMS] {
        let labels = if slot < BASE_PARENTS { current } else { layer.previous };
        &labels.as_chunks().0[parents[slot] as usize]
    };
    let of = |slot| labels(slot, parents);
    let bunch = if STREAMS == 1 { PARENTS / 2 } else { PARENTS };
    let (head, padding) = (layer.head(node), padding(MESSAGE_BYTES));
    let mut states = [State::initial(); STREAMS];
    let mut blocks = [empty_block(); STREAMS];
    for (block, replica_id) in blocks.iter_mut().zip(layer.replica_ids) {
        *block = block_of(replica_id, &head);
    }
    compress::<STREAMS, false>(&mut states, blocks, &mut kept[0]);
    for (pair, kept) in kept.iter_mut().take(DEGREE / 2).enumerate() {
        if pair % bunch == 0 {
            (pair..DEGREE.min(pair + bunch)).for_each(|slot| ask_for(labels(slot, coming)));
        }
        for (block, (left, right)) in blocks.iter_mut().zip(of(2 * pair).iter().zip(of(2 * pair + 1))) {
            *block = block_of(left, right);
        }
        compress::<STREAMS, true>(&mut states, blocks, kept);
    }
    for pair in DEGREE / 2..PAIRS {
        if pair % bunch == 0 {
            (pair..DEGREE.min(pair + bunch)).for_each(|slot| ask_for(labels(slot, coming)));
        }
        compress_again(&mut states, &kept[pair % (DEGREE / 2)]);
    }
    for (block, last) in blocks.iter_mut().zip(of((HASHED_PARENTS - 1) % DEGREE)) {
        *block = block_of(last, &padding);
    }
    compress::<STREAMS, false>(&mut states, blocks, &mut kept[0]);
    states
}

/// Asks for the labels of a parent to be brought into the cache. A line holds two.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn ask_for<const STREAMS: usize>(labels: &[Words; STREAMS]) {
    for pair in labels.chunks(2) {
        _mm_prefetch::<_MM_HINT_T0>(pair.as_ptr().cast());
    }
}
