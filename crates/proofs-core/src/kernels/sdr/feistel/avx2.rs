//! The Feistel network, four numbers at a time, in AVX2.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_sll_epi64,
    _mm256_srl_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::{Network, hash_lanes};
use crate::kernels::Cpu;

const LANES: usize = 4;

/// # Panics
/// If the machine has no AVX2.
pub(super) fn encode(cpu: Cpu, network: &Network, values: &mut [u64]) {
    assert!(cpu.has_avx2());
    // SAFETY: a `Cpu` that says AVX2 was detected on this machine.
    unsafe { encode_lanes(network, values) }
}

#[target_feature(enable = "avx2")]
fn encode_lanes(network: &Network, values: &mut [u64]) {
    let mask = splat((1 << network.half_bits) - 1);
    let half_bits = _mm_cvtsi32_si128(network.half_bits as i32);
    for chunk in values.as_chunks_mut::<LANES>().0 {
        // SAFETY: the chunk has the four words that are read; no alignment is needed.
        let value = unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) };
        let (mut left, mut right) = (_mm256_srl_epi64(value, half_bits), _mm256_and_si256(value, mask));
        for key in network.keys {
            let hashed = hash_lanes!(swap_bytes(right), splat(key), splat, add, xor, rotr32, rotr24, rotr16, rotr63);
            (left, right) = (right, xor(left, _mm256_and_si256(swap_bytes(hashed), mask)));
        }
        let value = _mm256_or_si256(_mm256_sll_epi64(left, half_bits), right);
        // SAFETY: as above, for writing.
        unsafe { _mm256_storeu_si256(chunk.as_mut_ptr().cast(), value) };
    }
}

#[target_feature(enable = "avx2")]
fn splat(word: u64) -> __m256i {
    _mm256_set1_epi64x(word as i64)
}

#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi64(a, b)
}

#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2")]
fn rotr32(a: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0b10_11_00_01>(a)
}

#[target_feature(enable = "avx2")]
#[rustfmt::skip]
fn rotr24(a: __m256i) -> __m256i {
    _mm256_shuffle_epi8(a, _mm256_setr_epi8(
        3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
        3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
    ))
}

#[target_feature(enable = "avx2")]
#[rustfmt::skip]
fn rotr16(a: __m256i) -> __m256i {
    _mm256_shuffle_epi8(a, _mm256_setr_epi8(
        2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
        2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
    ))
}

#[target_feature(enable = "avx2")]
fn rotr63(a: __m256i) -> __m256i {
    xor(_mm256_add_epi64(a, a), _mm256_srli_epi64::<63>(a))
}

#[target_feature(enable = "avx2")]
#[rustfmt::skip]
fn swap_bytes(a: __m256i) -> __m256i {
    _mm256_shuffle_epi8(a, _mm256_setr_epi8(
        7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8,
        7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8,
    ))
}
