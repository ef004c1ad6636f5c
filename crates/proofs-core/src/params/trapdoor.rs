//! The trapdoor of development parameters: made from a published text, so every machine makes the same files, and so
//! anybody can forge proofs for them. That is why they are called insecure wherever they are shown.

use blstrs::{G1Projective, G2Projective, Scalar};
use ff::Field;
use group::Group;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sha2::{Digest, Sha256};
use sp_types::SectorSize;

use super::Kind;

/// The published text. With `/<kind>/<sector size in bytes>` appended, its SHA-256 seeds ChaCha20.
pub const PUBLISHED_SEED: &str = "sp-cluster insecure development parameters, version 1";

/// What must be forgotten after a real set-up, and is published here.
#[derive(Clone)]
pub(crate) struct Trapdoor {
    pub(crate) g1: G1Projective,
    pub(crate) g2: G2Projective,
    pub(crate) alpha: Scalar,
    pub(crate) beta: Scalar,
    pub(crate) gamma: Scalar,
    pub(crate) delta: Scalar,
    pub(crate) tau: Scalar,
}

/// The random numbers of one parameter set. Given to bellperson's `generate_random_parameters`, they make the same
/// file.
pub fn development_rng(kind: Kind, size: SectorSize) -> ChaCha20Rng {
    let text = format!("{PUBLISHED_SEED}/{}/{}", kind.name(), size.bytes());
    ChaCha20Rng::from_seed(Sha256::digest(text.as_bytes()).into())
}

impl Trapdoor {
    /// Draws in the order of bellperson's `generate_random_parameters`.
    pub(crate) fn draw(rng: &mut ChaCha20Rng) -> Self {
        Self {
            g1: G1Projective::random(&mut *rng),
            g2: G2Projective::random(&mut *rng),
            alpha: Scalar::random(&mut *rng),
            beta: Scalar::random(&mut *rng),
            gamma: Scalar::random(&mut *rng),
            delta: Scalar::random(&mut *rng),
            tau: Scalar::random(&mut *rng),
        }
    }

    /// The trapdoor of the development parameters of a kind and size.
    pub(crate) fn development(kind: Kind, size: SectorSize) -> Self {
        Self::draw(&mut development_rng(kind, size))
    }
}
