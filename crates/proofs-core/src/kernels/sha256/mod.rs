//! SHA-256 on words instead of bytes: values stay in the machine's byte order until they are written to a file.

pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
pub(crate) mod sha_ni;

use super::Cpu;

/// A SHA-256 value, or half a block, as eight words in the machine's byte order.
pub type Words = [u32; 8];

/// The bytes of a value, as every file has them.
pub(crate) fn to_bytes(words: &Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

/// The value of these bytes.
pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Words {
    let words = bytes.as_chunks::<4>().0;
    std::array::from_fn(|i| u32::from_be_bytes(words[i]))
}

/// Clears the two top bits of the last byte, so that the value is a field element.
pub(crate) const FIELD_MASK: u32 = 0xffff_ff3f;

/// The state before the first block (FIPS 180-4, 5.3.3).
pub(crate) const INITIAL: Words =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The second half of the last block of a message whose rest filled the first: the mark and the length in bits.
pub(crate) const fn padding(message_bytes: u32) -> Words {
    [0x8000_0000, 0, 0, 0, 0, 0, 0, message_bytes * 8]
}

/// The block that ends a message of 64 bytes.
pub(crate) const PADDING_64: [Words; 2] = [[0x8000_0000, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 512]];

/// The parents of a row of nodes: SHA-256 of each pair, as field elements.
pub(crate) fn hash_pairs(cpu: Cpu, row: &[Words]) -> Vec<Words> {
    let pairs = row.as_chunks::<2>().0;
    let mut parents = vec![Words::default(); pairs.len()];
    #[cfg(target_arch = "x86_64")]
    if cpu.has_sha_ni() {
        sha_ni::hash_pairs(cpu, pairs, &mut parents);
        return parents;
    }
    let _ = cpu;
    portable::hash_pairs(pairs, &mut parents);
    parents
}

/// The round constants (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
pub(crate) const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];
