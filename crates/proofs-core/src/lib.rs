//! The arithmetic of sp-cluster: stages from AddPiece to PoSt, proof parameters, kernels. Usable alone as a library.
//!
//! Circuits, public inputs and verification are upstream's (`filecoin-proofs` 19.1); what is ours is bit-identical to it.
//! Nothing here knows of gRPC, tokio or a cluster.
#![warn(missing_docs)]
// A library over real files and cores; the simulation replaces it whole.
#![allow(clippy::disallowed_methods)]

// Intrinsics, in the files of the instruction sets.
#[allow(unsafe_code)]
pub mod kernels;
pub mod params;
pub mod stages;
