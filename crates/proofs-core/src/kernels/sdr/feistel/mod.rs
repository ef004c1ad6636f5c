//! The permutation behind the expander: a Feistel network of three BLAKE2b rounds, walked until it falls into its domain.
//!
//! Each round function is BLAKE2b-512 of 16 bytes, of which 8 are used: two message words of sixteen are not zero, and
//! one word of the result is wanted. All numbers of a batch go through a network together, as many lanes as the
//! instruction set has; those that fell outside the domain go again.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::kernels::Cpu;

/// Rounds of the network; of its four keys three are used.
const ROUNDS: usize = 3;

/// Numbers that go through the network together.
const BATCH: usize = 4096;

/// Lanes of the widest kernel: batches are filled up to a multiple of it.
const LANES: usize = 8;

/// What a network needs besides its input.
#[derive(Debug, Clone, Copy)]
struct Network {
    /// Keys as BLAKE2b reads them: big-endian bytes as a little-endian word.
    keys: [u64; ROUNDS],
    half_bits: u32,
}

/// A permutation of `0..domain`.
pub(super) struct Permutation {
    domain: u64,
    network: Network,
}

impl Permutation {
    /// `domain` is at least 4; the four keys are the little-endian words of `seed`.
    pub(super) fn new(domain: u64, seed: &[u8; 32]) -> Self {
        let words = seed.as_chunks::<8>().0;
        let keys = std::array::from_fn(|i| u64::from_le_bytes(words[i]).swap_bytes());
        // The least power of four that holds the domain.
        let half_bits = (u64::BITS - (domain - 1).leading_zeros()).div_ceil(2);
        Self { domain, network: Network { keys, half_bits } }
    }

    /// Writes the images of `first`, `first + 1` and so on.
    pub(super) fn apply(&self, cpu: Cpu, first: u64, out: &mut [u64]) {
        let mut values = [0; BATCH];
        let mut slots = [0u16; BATCH];
        for (batch, out) in out.chunks_mut(BATCH).enumerate() {
            let mut count = out.len();
            for (i, (value, slot)) in values.iter_mut().zip(&mut slots).take(count).enumerate() {
                (*value, *slot) = (first + (batch * BATCH + i) as u64, i as u16);
            }
            while count > 0 {
                encode(cpu, &self.network, &mut values[..count.next_multiple_of(LANES)]);
                let mut outside = 0;
                for i in 0..count {
                    let (value, slot) = (values[i], slots[i]);
                    // Written in any case and overwritten later: no branch that cannot be foreseen.
                    out[usize::from(slot)] = value;
                    (values[outside], slots[outside]) = (value, slot);
                    outside += usize::from(value >= self.domain);
                }
                count = outside;
            }
        }
    }
}

/// Sends every value, a multiple of [`LANES`] of them, through the network once.
fn encode(cpu: Cpu, network: &Network, values: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if cpu.has_avx512() {
        return avx512::encode(cpu, network, values);
    } else if cpu.has_avx2() {
        return avx2::encode(cpu, network, values);
    }
    let _ = cpu;
    portable::encode(network, values);
}

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The first chaining word for a digest of 64 bytes without a key.
const H0: u64 = IV[0] ^ 0x0101_0040;
/// Bytes of the message: key and half.
const MESSAGE_BYTES: u64 = 16;

/// Where the two message words that are not zero enter each round: positions of word 0 and of word 1 among the sixteen
/// that the round mixes in (BLAKE2, RFC 7693, section 2.7).
const ENTRY: [(usize, usize); 10] =
    [(0, 1), (10, 8), (3, 13), (13, 3), (1, 9), (4, 14), (8, 2), (9, 5), (6, 12), (15, 6)];

/// One BLAKE2b-512 of the two words `$m0` and `$m1`, its first word, over lanes of any width: `$splat`, `$add`, `$xor`
/// and the four rotations to the right are the lanes' operations.
macro_rules! hash_lanes {
    ($m0:expr, $m1:expr, $splat:ident, $add:ident, $xor:ident, $r32:ident, $r24:ident, $r16:ident, $r63:ident) => {{
        use super::{ENTRY, H0, IV, MESSAGE_BYTES};
        let (m0, m1) = ($m0, $m1);
        let h0 = $splat(H0);
        let mut v = [
            h0,
            $splat(IV[1]),
            $splat(IV[2]),
            $splat(IV[3]),
            $splat(IV[4]),
            $splat(IV[5]),
            $splat(IV[6]),
            $splat(IV[7]),
            $splat(IV[0]),
            $splat(IV[1]),
            $splat(IV[2]),
            $splat(IV[3]),
            $splat(IV[4] ^ MESSAGE_BYTES),
            $splat(IV[5]),
            $splat(!IV[6]),
            $splat(IV[7]),
        ];
        macro_rules! half {
            ($round:literal, $a:literal, $b:literal, $c:literal, $d:literal, $at:literal) => {
                if const { ENTRY[$round % 10].0 == $at } {
                    v[$a] = $add(v[$a], m0);
                }
                if const { ENTRY[$round % 10].1 == $at } {
                    v[$a] = $add(v[$a], m1);
                }
                v[$a] = $add(v[$a], v[$b]);
                v[$d] = $r32($xor(v[$d], v[$a]));
                v[$c] = $add(v[$c], v[$d]);
                v[$b] = $r24($xor(v[$b], v[$c]));
                if const { ENTRY[$round % 10].0 == $at + 1 } {
                    v[$a] = $add(v[$a], m0);
                }
                if const { ENTRY[$round % 10].1 == $at + 1 } {
                    v[$a] = $add(v[$a], m1);
                }
                v[$a] = $add(v[$a], v[$b]);
                v[$d] = $r16($xor(v[$d], v[$a]));
                v[$c] = $add(v[$c], v[$d]);
                v[$b] = $r63($xor(v[$b], v[$c]));
            };
        }
        macro_rules! round {
            ($round:literal) => {
                half!($round, 0, 4, 8, 12, 0);
                half!($round, 1, 5, 9, 13, 2);
                half!($round, 2, 6, 10, 14, 4);
                half!($round, 3, 7, 11, 15, 6);
                half!($round, 0, 5, 10, 15, 8);
                half!($round, 1, 6, 11, 12, 10);
                half!($round, 2, 7, 8, 13, 12);
                half!($round, 3, 4, 9, 14, 14);
            };
        }
        round!(0);
        round!(1);
        round!(2);
        round!(3);
        round!(4);
        round!(5);
        round!(6);
        round!(7);
        round!(8);
        round!(9);
        round!(10);
        round!(11);
        $xor(h0, $xor(v[0], v[8]))
    }};
}
use hash_lanes;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(m0: u64, m1: u64) -> u64 {
        portable::hash(m0, m1)
    }

    #[test]
    fn the_round_function_is_blake2b() {
        for i in 0..100u64 {
            let (m0, m1) = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15), !i << (i % 60));
            let message: Vec<u8> = [m0.to_le_bytes(), m1.to_le_bytes()].concat();
            let known = u64::from_le_bytes(*blake2b_simd::blake2b(&message).as_array().first_chunk().unwrap());
            assert_eq!(hash(m0, m1), known);
        }
    }

    /// A permutation, whether the domain is a power of four or not.
    #[test]
    fn every_number_has_its_own_image() {
        for domain in [512, 1024, 8 << 12] {
            for cpu in Cpu::variants() {
                let mut images = vec![0; domain];
                Permutation::new(domain as u64, &[7; 32]).apply(cpu, 0, &mut images);
                images.sort_unstable();
                assert!(images.iter().enumerate().all(|(i, image)| *image == i as u64), "{domain}, {cpu}");
            }
        }
    }
}
