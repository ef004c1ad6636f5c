//! What a fake update is: every file and commitment follows from the replica before it and from the data it brings.

use std::collections::BTreeMap;

use super::seal::{P_AUX, SECTOR_BYTES, Seal, T_AUX, TREE_R_LAST, cached, digest, proof_of, stream};

/// Present until FRU, and large enough that a fetch takes several messages.
pub(super) const TREE_D: &str = "sc-02-data-tree-d.dat";

/// The replica before, and the commitment to what takes the place of its zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The replica before.
    pub before: Seal,
    /// Commitment to the new data.
    pub comm_d: Vec<u8>,
}

impl Update {
    fn key(&self) -> [u8; 32] {
        digest("update key", &[&self.before.comm_r(), &self.comm_d])
    }

    /// The update file.
    pub fn encoded(&self) -> Vec<u8> {
        stream(&digest("update", &[&self.key()]), SECTOR_BYTES)
    }

    /// The commitment to it.
    pub fn comm_r(&self) -> Vec<u8> {
        comm_r(&self.encoded())
    }

    /// A file of its cache.
    pub(super) fn cache_file(&self, name: &str) -> Vec<u8> {
        cached(name, name == TREE_D, &self.key())
    }

    /// Its cache once it is finalized: names and contents.
    pub fn finalized_cache(&self) -> BTreeMap<String, Vec<u8>> {
        [P_AUX, T_AUX, TREE_R_LAST].map(|name| (name.to_owned(), self.cache_file(name))).into()
    }

    /// What PR1 makes.
    pub(super) fn vanilla(&self) -> Vec<u8> {
        stream(&digest("update vanilla", &[&self.key()]), SECTOR_BYTES)
    }

    /// The one valid proof.
    pub fn proof(&self) -> Vec<u8> {
        proof_of(&self.vanilla())
    }
}

/// The commitment that an update file has.
pub(super) fn comm_r(encoded: &[u8]) -> Vec<u8> {
    digest("comm_r of an update", &[encoded]).to_vec()
}
