//! What a fake sealed sector is: every file and commitment follows from whose it is and what it is sealed with.

use std::collections::BTreeMap;

use crate::rng::Rng;

/// Size of a sector.
pub(super) const SECTOR_BYTES: usize = 2048;

/// Two chunks, so that a fetch of a cache takes several messages.
const LAYER_BYTES: usize = (1 << 20) + 100;

const PROOF_BYTES: usize = 192;
pub(super) const LAYERS: [&str; 2] = ["sc-02-data-layer-1.dat", "sc-02-data-layer-2.dat"];
pub(super) const TREE_C: &str = "sc-02-data-tree-c.dat";
pub(super) const TREE_R_LAST: &str = "sc-02-data-tree-r-last.dat";
pub(super) const P_AUX: &str = "p_aux";
pub(super) const T_AUX: &str = "t_aux";

/// Whose sector it is and what it is sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Actor id of the miner.
    pub miner: u64,
    /// Number of the sector.
    pub sector: u64,
    /// Ticket of PC1.
    pub ticket: Vec<u8>,
    /// Commitment to the data.
    pub comm_d: Vec<u8>,
}

impl Seal {
    fn key(&self) -> [u8; 32] {
        digest("key", &[&self.miner.to_le_bytes(), &self.sector.to_le_bytes(), &self.ticket, &self.comm_d])
    }

    /// The sealed file as PC1 leaves it.
    pub(super) fn labelled(&self) -> Vec<u8> {
        stream(&digest("labelled", &[&self.key()]), SECTOR_BYTES)
    }

    /// The sealed file.
    pub fn sealed(&self) -> Vec<u8> {
        stream(&digest("sealed", &[&self.key()]), SECTOR_BYTES)
    }

    /// The commitment to it.
    pub fn comm_r(&self) -> Vec<u8> {
        comm_r(&self.sealed())
    }

    /// A file of the cache.
    pub(super) fn cache_file(&self, name: &str) -> Vec<u8> {
        cached(name, LAYERS.contains(&name), &self.key())
    }

    /// The cache once it is finalized: names and contents.
    pub fn finalized_cache(&self) -> BTreeMap<String, Vec<u8>> {
        [P_AUX, T_AUX, TREE_R_LAST].map(|name| (name.to_owned(), self.cache_file(name))).into()
    }

    /// The one valid proof under this seed.
    pub fn proof(&self, seed: &[u8]) -> Vec<u8> {
        proof_of(&self.vanilla(seed))
    }

    pub(super) fn vanilla(&self, seed: &[u8]) -> Vec<u8> {
        stream(&digest("vanilla", &[&self.key(), seed]), SECTOR_BYTES)
    }
}

/// The unsealed file of a sector with this data; none for CC.
pub(crate) fn unsealed_of(data: &[u8]) -> Vec<u8> {
    let mut unsealed = data.to_vec();
    unsealed.resize(SECTOR_BYTES, 0);
    unsealed
}

/// A file of a cache, by its name and the key of whose it is.
pub(super) fn cached(name: &str, is_large: bool, key: &[u8; 32]) -> Vec<u8> {
    let size_bytes = if is_large { LAYER_BYTES } else { SECTOR_BYTES };
    stream(&digest(name, &[key]), size_bytes)
}

/// The commitment that a sealed file has.
pub(super) fn comm_r(sealed: &[u8]) -> Vec<u8> {
    digest("comm_r", &[sealed]).to_vec()
}

pub(super) fn comm_d(unsealed: &[u8]) -> Vec<u8> {
    digest("comm_d", &[unsealed]).to_vec()
}

pub(super) fn proof_of(vanilla: &[u8]) -> Vec<u8> {
    stream(&digest("proof", &[vanilla]), PROOF_BYTES)
}

pub(super) fn digest(name: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut state = blake2s_simd::State::new();
    state.update(name.as_bytes());
    for part in parts {
        state.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *state.finalize().as_array()
}

/// Bytes that look like chance and follow from the digest.
pub(super) fn stream(from: &[u8; 32], size_bytes: usize) -> Vec<u8> {
    let mut first = [0; 8];
    first.copy_from_slice(&from[..8]);
    let mut bytes = vec![0; size_bytes];
    Rng::new(u64::from_le_bytes(first), "file", 0).fill(&mut bytes);
    bytes
}
