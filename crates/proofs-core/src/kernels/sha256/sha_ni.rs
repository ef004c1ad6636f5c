//! SHA-256 with the processor's SHA instructions, several independent streams interleaved.
//!
//! A stream alone waits for its own last round most of the time; two or more fill each other's waits. The rounds take
//! their words ready made, schedule and constants added: whoever hashes a block again keeps that [`Schedule`].

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_and_si128, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi32,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi32,
    _mm_storeu_si128,
};

use super::{FIELD_MASK, INITIAL, K, PADDING_64, Words};
use crate::kernels::Cpu;

/// Steps of four rounds in a block.
const STEPS: usize = 16;

/// A block of one message: its sixteen words, four to a vector.
pub(crate) type Block = [__m128i; 4];

/// The words of all rounds of one block, with their constants added.
pub(crate) type Schedule = [__m128i; STEPS];

/// The state of a stream, in the order of the instructions: words a b e f, and c d g h, highest first.
#[derive(Clone, Copy)]
pub(crate) struct State {
    abef: __m128i,
    cdgh: __m128i,
}

impl State {
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    pub(crate) fn initial() -> Self {
        let [a, b, c, d, e, f, g, h] = INITIAL.map(|word| word as i32);
        Self { abef: _mm_set_epi32(a, b, e, f), cdgh: _mm_set_epi32(c, d, g, h) }
    }

    /// Writes the words down as a field element.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    pub(crate) fn store(self, out: &mut Words) {
        let feba = _mm_shuffle_epi32::<0b00_01_10_11>(self.abef);
        let dchg = _mm_shuffle_epi32::<0b10_11_00_01>(self.cdgh);
        let abcd = _mm_blend_epi16::<0b1111_0000>(feba, dchg);
        let efgh = _mm_alignr_epi8::<8>(dchg, feba);
        let efgh = _mm_and_si128(efgh, _mm_set_epi32(FIELD_MASK as i32, -1, -1, -1));
        // SAFETY: `out` has the eight words that are written; no alignment is needed.
        unsafe {
            _mm_storeu_si128(out.as_mut_ptr().cast(), abcd);
            _mm_storeu_si128(out.as_mut_ptr().add(4).cast(), efgh);
        }
    }
}

/// Half a block of words as two vectors.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn load(words: &Words) -> [__m128i; 2] {
    // SAFETY: `words` has the eight words that are read; no alignment is needed.
    unsafe { [_mm_loadu_si128(words.as_ptr().cast()), _mm_loadu_si128(words.as_ptr().add(4).cast())] }
}

/// A block of these halves.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn block_of(left: &Words, right: &Words) -> Block {
    let ([a, b], [c, d]) = (load(left), load(right));
    [a, b, c, d]
}

/// A block to be overwritten.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn empty_block() -> Block {
    [_mm_setzero_si128(); 4]
}

/// A schedule to be overwritten.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn empty_schedule() -> Schedule {
    [_mm_setzero_si128(); STEPS]
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn constants(step: usize) -> __m128i {
    let four: &[u32; 4] = &K.as_chunks().0[step];
    // SAFETY: four words are read and are there; no alignment is needed.
    unsafe { _mm_loadu_si128(four.as_ptr().cast()) }
}

/// Four rounds of one stream.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn four_rounds(state: &mut State, words: __m128i) {
    state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, words);
    state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, _mm_shuffle_epi32::<0b00_00_11_10>(words));
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn add_states<const STREAMS: usize>(states: &mut [State; STREAMS], before: &[State; STREAMS]) {
    for (state, before) in states.iter_mut().zip(before) {
        state.abef = _mm_add_epi32(state.abef, before.abef);
        state.cdgh = _mm_add_epi32(state.cdgh, before.cdgh);
    }
}

/// The four words that a step brings into the schedule, from the sixteen before them.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn next_words(w: &Block, step: usize) -> __m128i {
    let at = |ahead: usize| w[(step + ahead) % 4];
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(at(0), at(1)), _mm_alignr_epi8::<4>(at(3), at(2)));
    _mm_sha256msg2_epu32(sum, at(3))
}

/// Mixes one block per stream into its state, and with `KEEP` leaves the schedules in `kept`.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn compress<const STREAMS: usize, const KEEP: bool>(
    states: &mut [State; STREAMS],
    mut blocks: [Block; STREAMS],
    kept: &mut [Schedule; STREAMS],
) {
    let before = *states;
    for step in 0..STEPS {
        for stream in 0..STREAMS {
            let w = &mut blocks[stream];
            let words = _mm_add_epi32(w[step % 4], constants(step));
            if KEEP {
                kept[stream][step] = words;
            }
            four_rounds(&mut states[stream], words);
            if step < STEPS - 4 {
                w[step % 4] = next_words(w, step);
            }
        }
    }
    add_states(states, &before);
}

/// Mixes blocks that were mixed in before, by their schedules.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn compress_again<const STREAMS: usize>(states: &mut [State; STREAMS], schedules: &[Schedule; STREAMS]) {
    let before = *states;
    for step in 0..STEPS {
        for (state, schedule) in states.iter_mut().zip(schedules) {
            four_rounds(state, schedule[step]);
        }
    }
    add_states(states, &before);
}

/// Pairs that are hashed at a time.
const LANES: usize = 4;

/// SHA-256 of each pair, as a field element.
///
/// # Panics
/// If the machine has no SHA-NI.
pub(super) fn hash_pairs(cpu: Cpu, pairs: &[[Words; 2]], parents: &mut [Words]) {
    assert!(cpu.has_sha_ni());
    let (many, few) = pairs.as_chunks::<LANES>();
    let (many_parents, few_parents) = parents.as_chunks_mut::<LANES>();
    // SAFETY: a `Cpu` that says SHA-NI was detected, with SSE4.1 and SSSE3, on this machine.
    unsafe {
        hash_lanes(many, many_parents);
        hash_lanes(few.as_chunks::<1>().0, few_parents.as_chunks_mut::<1>().0);
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn hash_lanes<const STREAMS: usize>(groups: &[[[Words; 2]; STREAMS]], parents: &mut [[Words; STREAMS]]) {
    // The second block is the same for every pair.
    let mut padding = [empty_schedule(); STREAMS];
    let blocks = [block_of(&PADDING_64[0], &PADDING_64[1]); STREAMS];
    compress::<STREAMS, true>(&mut [State::initial(); STREAMS], blocks, &mut padding);
    let mut unused = padding;
    for (pairs, parents) in groups.iter().zip(parents) {
        let mut states = [State::initial(); STREAMS];
        let mut blocks = [empty_block(); STREAMS];
        for (block, [left, right]) in blocks.iter_mut().zip(pairs) {
            *block = block_of(left, right);
        }
        compress::<STREAMS, false>(&mut states, blocks, &mut unused);
        compress_again(&mut states, &padding);
        for (state, parent) in states.into_iter().zip(parents) {
            state.store(parent);
        }
    }
}
