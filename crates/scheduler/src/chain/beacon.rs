//! The local chain's beacon: values derived from the genesis seed, one per purpose, epoch and entropy.

use sha2::{Digest, Sha256};
use sp_types::{ChainEpoch, ProverId, Randomness};

/// What a value is for; the numbers are the network's domain separation tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Who wins an epoch.
    Election = 2,
    /// Challenge of a winning PoSt.
    WinningPost = 3,
    /// Challenge of a window PoSt.
    WindowPost = 4,
    /// Ticket of PC1.
    Ticket = 5,
    /// Seed of C1.
    Seed = 6,
}

/// One value of the beacon.
pub(super) fn draw(genesis: &[u8; 32], purpose: Purpose, epoch: ChainEpoch, prover: ProverId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"sp-cluster local chain");
    hash.update(genesis);
    hash.update((purpose as u64).to_le_bytes());
    hash.update(epoch.0.to_le_bytes());
    hash.update(prover.0);
    hash.finalize().into()
}

/// Which of the Proving sectors a winning PoSt is about: the chain's draw from its randomness.
pub(crate) fn winning_pick(prover: ProverId, randomness: Randomness) -> u64 {
    let mut hash = Sha256::new();
    hash.update(prover.0);
    hash.update(randomness.bytes());
    hash.update(0_u64.to_le_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_differ_in_every_input_and_never_change() {
        let prover = ProverId::of_miner(1000);
        let base = draw(&[7; 32], Purpose::Seed, ChainEpoch(5), prover);
        assert_eq!(base, draw(&[7; 32], Purpose::Seed, ChainEpoch(5), prover));
        let others = [
            draw(&[8; 32], Purpose::Seed, ChainEpoch(5), prover),
            draw(&[7; 32], Purpose::Ticket, ChainEpoch(5), prover),
            draw(&[7; 32], Purpose::Seed, ChainEpoch(-5), prover),
            draw(&[7; 32], Purpose::Seed, ChainEpoch(5), ProverId::of_miner(1001)),
        ];
        assert!(others.iter().all(|o| *o != base));
    }

    #[test]
    fn the_pick_is_the_first_eight_bytes_of_a_hash() {
        let (prover, randomness) = (ProverId::of_miner(1000), Randomness::new([9; 32]));
        let mut input = prover.0.to_vec();
        input.extend(randomness.bytes());
        input.extend([0; 8]);
        let digest = Sha256::digest(&input);
        assert_eq!(winning_pick(prover, randomness).to_le_bytes(), digest[..8]);
    }
}
