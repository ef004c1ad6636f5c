//! The graph of a registered proof, and its parents file where upstream looks for it.

use std::path::Path;

use sp_types::RegisteredSealProof;
use storage_proofs_core::settings::SETTINGS;

use crate::kernels::Cpu;
use crate::kernels::sdr::{FileError, Graph, GraphVersion, ParentsFile, make_parents};

/// The graph that sectors of `proof` are sealed over. Every variant has its own.
pub(super) fn graph(proof: RegisteredSealProof) -> Graph {
    Graph::new(proof.size.bytes() / 32, proof.porep_id(), GraphVersion::V1_1)
}

/// Opens the parents file of a graph, and makes it if it is missing or wrong.
pub(super) fn ensure_parents(graph: &Graph) -> Result<ParentsFile, FileError> {
    make_parents(graph, Cpu::detect(), Path::new(&SETTINGS.parent_cache))
}
