//! Kernels: the arithmetic that is ours because ours is faster, bit for bit what upstream computes.
//!
//! Every kernel has a portable reference and one file per instruction set. [`Cpu`] says which of them may run; it is
//! found out at run time, so that one binary serves every machine, and tests and benchmarks can ask for less.

mod cpu;
mod memory;
pub mod sdr;
mod sha256;
mod tree_d;

pub use cpu::Cpu;
pub use memory::Table;
pub use sha256::Words;
pub use tree_d::{build_tree_d, data_root};
