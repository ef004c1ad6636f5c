//! SHA-256 without special instructions: the reference (FIPS 180-4, 6.2.2).

use super::{FIELD_MASK, INITIAL, K, PADDING_64, Words};

/// Mixes a block, given as its two halves, into the state.
pub(crate) fn compress(state: &mut Words, left: &Words, right: &Words) {
    let mut w = [0; 64];
    w[..8].copy_from_slice(left);
    w[8..16].copy_from_slice(right);
    for t in 16..64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (k, w) in K.iter().zip(w) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(*k).wrapping_add(w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(s0).wrapping_add(majority));
    }
    for (state, mixed) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *state = state.wrapping_add(mixed);
    }
}

/// SHA-256 of each pair, as a field element.
pub(super) fn hash_pairs(pairs: &[[Words; 2]], parents: &mut [Words]) {
    for ([left, right], parent) in pairs.iter().zip(parents) {
        *parent = INITIAL;
        compress(parent, left, right);
        compress(parent, &PADDING_64[0], &PADDING_64[1]);
        parent[7] &= FIELD_MASK;
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::{from_bytes, padding, to_bytes};
    use super::*;

    #[test]
    fn is_sha256() {
        let message: [u8; 96] = std::array::from_fn(|i| (i * 37) as u8);
        let parts = message.as_chunks::<32>().0;
        let mut state = INITIAL;
        compress(&mut state, &from_bytes(&parts[0]), &from_bytes(&parts[1]));
        compress(&mut state, &from_bytes(&parts[2]), &padding(96));
        assert_eq!(to_bytes(&state), <[u8; 32]>::from(Sha256::digest(message)));
    }
}
