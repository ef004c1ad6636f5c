//! The Feistel network, one number at a time: the reference.

use super::{Network, hash_lanes};

pub(super) fn encode(network: &Network, values: &mut [u64]) {
    let mask = (1 << network.half_bits) - 1;
    for value in values {
        let (mut left, mut right) = (*value >> network.half_bits, *value & mask);
        for key in network.keys {
            let mixed = hash(right.swap_bytes(), key).swap_bytes();
            (left, right) = (right, left ^ (mixed & mask));
        }
        *value = left << network.half_bits | right;
    }
}

/// The first word of BLAKE2b-512 of two words.
pub(super) fn hash(m0: u64, m1: u64) -> u64 {
    hash_lanes!(m0, m1, word, add, xor, rotr32, rotr24, rotr16, rotr63)
}

fn word(word: u64) -> u64 {
    word
}

fn add(a: u64, b: u64) -> u64 {
    a.wrapping_add(b)
}

fn xor(a: u64, b: u64) -> u64 {
    a ^ b
}

fn rotr32(a: u64) -> u64 {
    a.rotate_right(32)
}

fn rotr24(a: u64) -> u64 {
    a.rotate_right(24)
}

fn rotr16(a: u64) -> u64 {
    a.rotate_right(16)
}

fn rotr63(a: u64) -> u64 {
    a.rotate_right(63)
}
