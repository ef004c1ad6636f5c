//! What the index costs with many paths and sectors: its core alone, the service over gRPC with a real state file, and
//! reading the manifest heads of one real path.
//!
//! `cargo run -p storage-index --example bench_index -- --quick` for a glance; `make bench-index` for all of it. The exit
//! status is 1 when a promised number is missed.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

#[path = "../../../sp-sched-core/examples/bench_core/clock.rs"]
mod clock;
mod core;
// Shared with the measurements of whole processes.
#[allow(unreachable_pub, dead_code, reason = "public and used where its home is")]
#[path = "../../../../tests/src/figures.rs"]
mod figures;
mod heap;
mod options;
mod path;
mod plan;
mod service;

use std::process::ExitCode;

use crate::figures::Table;
use crate::options::Options;

/// Measures one part and prints its figures.
type Measure = fn(&Options, &mut Table) -> Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let mut table = Table::default();
    println!("storage-index: {}; median (least .. most of runs)", figures::machine());
    let parts: [(&str, Measure); 4] =
        [("core", core::measure), ("growth", core::growth), ("service", service::measure), ("path", path::measure)];
    for (name, measure) in parts.iter().filter(|(name, _)| options.does(name)) {
        if let Err(error) = measure(&options, &mut table) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    table.end()
}
