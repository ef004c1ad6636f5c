//! Proof parameters: where they are, what they are called, making development ones, fetching published ones, checking
//! both.
//!
//! Development parameters come from a published trapdoor ([`PUBLISHED_SEED`]): anybody can forge proofs for them.

mod affine;
mod check;
mod circuit;
mod digest;
mod error;
pub mod fetch;
// blst is a C library; its field operations are called directly.
#[allow(unsafe_code)]
mod field;
// Prefetches.
#[allow(unsafe_code)]
mod fixed_base;
mod generate;
mod keygen;
mod kind;
mod lagrange;
mod layout;
mod place;
mod qap;
mod trapdoor;

pub use check::{Checked, Origin, check, check_structure};
pub use circuit::write_for_circuit;
pub use error::ParamsError;
pub use generate::{FileReport, Phase, Progress, Report, feasible, generate};
pub use kind::{Kind, UnknownKind, file_stem};
pub use layout::Layout;
pub use place::{INSECURE_MARKER, PARAMETER_CACHE_ENV, default_dir, is_insecure};
pub use trapdoor::{PUBLISHED_SEED, development_rng};

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
