//! Stacked DRG: the graph, its parents file, and the labels of PC1.
//!
//! The algorithm is the one of the Filecoin specification (Stacked DRG PoRep) as `storage-proofs-porep` 19.1 runs it.

mod drg;
mod feistel;
mod files;
mod graph;
mod group;
mod journal;
mod label;
mod parents;

pub use files::FileError;
pub use graph::{BASE_PARENTS, EXPANDER_PARENTS, Graph, GraphVersion, NodeParents, PARENTS};
pub use group::{GroupSector, label_group};
pub use label::{Layer, MAX_STREAMS, label_nodes};
pub use parents::{ParentsFile, make_parents};

#[cfg(test)]
mod tests;
