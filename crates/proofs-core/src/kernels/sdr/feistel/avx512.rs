//! The Feistel network, eight numbers at a time, in AVX-512 (F and BW).

use std::arch::x86_64::{
    __m512i, _mm_cvtsi32_si128, _mm_setr_epi8, _mm512_add_epi64, _mm512_and_si512, _mm512_broadcast_i32x4,
    _mm512_loadu_si512, _mm512_or_si512, _mm512_ror_epi64, _mm512_set1_epi64, _mm512_shuffle_epi8, _mm512_sll_epi64,
    _mm512_srl_epi64, _mm512_storeu_si512, _mm512_xor_si512,
};

use super::{LANES, Network, hash_lanes};
use crate::kernels::Cpu;

/// # Panics
/// If the machine has no AVX-512.
pub(super) fn encode(cpu: Cpu, network: &Network, values: &mut [u64]) {
    assert!(cpu.has_avx512());
    // SAFETY: a `Cpu` that says AVX-512 was detected, F and BW, on this machine.
    unsafe { encode_lanes(network, values) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn encode_lanes(network: &Network, values: &mut [u64]) {
    let mask = splat((1 << network.half_bits) - 1);
    let half_bits = _mm_cvtsi32_si128(network.half_bits as i32);
    for chunk in values.as_chunks_mut::<LANES>().0 {
        // SAFETY: the chunk has the eight words that are read; no alignment is needed.
        let value = unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) };
        let (mut left, mut right) = (_mm512_srl_epi64(value, half_bits), _mm512_and_si512(value, mask));
        for key in network.keys {
            let hashed = hash_lanes!(swap_bytes(right), splat(key), splat, add, xor, rotr32, rotr24, rotr16, rotr63);
            (left, right) = (right, xor(left, _mm512_and_si512(swap_bytes(hashed), mask)));
        }
        let value = _mm512_or_si512(_mm512_sll_epi64(left, half_bits), right);
        // SAFETY: as above, for writing.
        unsafe { _mm512_storeu_si512(chunk.as_mut_ptr().cast(), value) };
    }
}

#[target_feature(enable = "avx512f")]
fn splat(word: u64) -> __m512i {
    _mm512_set1_epi64(word as i64)
}

#[target_feature(enable = "avx512f")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi64(a, b)
}

#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i) -> __m512i {
    _mm512_xor_si512(a, b)
}

#[target_feature(enable = "avx512f")]
fn rotr32(a: __m512i) -> __m512i {
    _mm512_ror_epi64::<32>(a)
}

#[target_feature(enable = "avx512f")]
fn rotr24(a: __m512i) -> __m512i {
    _mm512_ror_epi64::<24>(a)
}

#[target_feature(enable = "avx512f")]
fn rotr16(a: __m512i) -> __m512i {
    _mm512_ror_epi64::<16>(a)
}

#[target_feature(enable = "avx512f")]
fn rotr63(a: __m512i) -> __m512i {
    _mm512_ror_epi64::<63>(a)
}

#[target_feature(enable = "avx512f,avx512bw")]
fn swap_bytes(a: __m512i) -> __m512i {
    let order = _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
    _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(order))
}
