//! 32-byte values that must be field elements before they may enter a proof.

use sp_types::{Commitment, ProverId};

use super::StageError;

/// The modulus of the BLS12-381 scalar field, little-endian.
const MODULUS: [u8; 32] = [
    0x01, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53, 0x05, 0xd8, 0xa1,
    0x09, 0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

/// Whether these bytes are a commitment: a canonical field element and not zero, which upstream reads as "not set".
pub(super) fn is_commitment(bytes: &[u8; 32]) -> bool {
    *bytes != [0; 32] && is_field_element(bytes)
}

/// Whether these bytes are a canonical field element.
pub(super) fn is_field_element(bytes: &[u8; 32]) -> bool {
    bytes.iter().rev().lt(MODULUS.iter().rev())
}

/// Refuses a commitment that cannot be one.
pub(super) fn check_commitment(stage: &'static str, name: &str, value: &Commitment) -> Result<(), StageError> {
    if is_commitment(&value.0) {
        return Ok(());
    }
    Err(StageError::bad_input(stage, format!("{name} {value} is zero or no field element; take it from the sealing")))
}

/// The prover id as PoSt needs it: a field element. The ids of all addresses up to 31 bytes are.
pub(super) fn post_prover_id(stage: &'static str, prover_id: ProverId) -> Result<[u8; 32], StageError> {
    if is_field_element(&prover_id.0) {
        return Ok(prover_id.0);
    }
    Err(StageError::bad_input(stage, "the prover id is no field element; it must be the payload of an id address"))
}

#[cfg(test)]
mod tests {
    use ff::PrimeField;

    use super::*;

    #[test]
    fn accepts_exactly_the_canonical_field_elements() {
        let minus_one = (-blstrs::Scalar::from(1u64)).to_repr();
        let mut one_more = MODULUS;
        one_more[0] += 1;
        let mut low = [0; 32];
        low[0] = 1;
        assert!(is_commitment(&minus_one) && is_commitment(&low));
        for bad in [[0; 32], MODULUS, one_more, [0xff; 32]] {
            assert!(!is_commitment(&bad), "{bad:x?}");
        }
        assert!(post_prover_id("WDP", ProverId::of_miner(0)).is_ok());
        assert!(post_prover_id("WDP", ProverId([0xff; 32])).is_err());
    }
}
