//! Commitments as CIDs, which is how Lotus shows them (multicodec table: fil-commitment-*, CIDv1, base32).

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// CommD or CommP: codec fil-commitment-unsealed (0xf101), multihash sha2-256-trunc254-padded (0x1012).
pub(crate) fn unsealed_cid(commitment: &[u8]) -> String {
    cid(&[0x01, 0x81, 0xe2, 0x03, 0x92, 0x20], commitment)
}

/// CommR: codec fil-commitment-sealed (0xf102), multihash poseidon-bls12_381-a2-fc1 (0xb401).
pub(crate) fn sealed_cid(commitment: &[u8]) -> String {
    cid(&[0x01, 0x82, 0xe2, 0x03, 0x81, 0xe8, 0x02], commitment)
}

/// Empty for a commitment that is not known yet.
fn cid(prefix: &[u8], commitment: &[u8]) -> String {
    let Ok(length) = u8::try_from(commitment.len()) else { return String::new() };
    if commitment.is_empty() {
        return String::new();
    }
    let length = [length];
    let bytes = prefix.iter().chain(&length).chain(commitment);
    let (mut text, mut bits, mut held) = (String::from("b"), 0u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(BASE32[(bits >> held) as usize & 31] as char);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        text.push(BASE32[(bits << (5 - held)) as usize & 31] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commitment_of_32_gib_of_zeros() {
        let comm_d = hex::decode("077e5fde35c50a9303a55009e3498a4ebedff39c42b710b730d8ec7ac7afa63e").unwrap();
        assert_eq!(unsealed_cid(&comm_d), "baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq");
        assert_eq!(unsealed_cid(&[]), "");
        assert!(sealed_cid(&comm_d).starts_with("bagboea4b5abc"));
    }
}
