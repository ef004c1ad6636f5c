//! What the scheduler's core costs alone: events, placements, memory, growth, Lotus's pass beside it, packing.
//!
//! `cargo run -p sp-sched-core --example bench_core -- --quick` for a glance; `make bench-sched` for all of it. The exit
//! status is 1 when a promised number is missed.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the machine's clocks")]

mod brute;
mod clock;
mod compare;
mod dice;
mod events;
// Shared with the measurements of whole processes, which the core must not depend on.
#[allow(unreachable_pub, dead_code, reason = "public and used where its home is")]
#[path = "../../../../tests/src/figures.rs"]
mod figures;
mod fleet;
mod growth;
mod lotus;
mod memory;
mod options;
mod packing;
mod placement;
mod plan;
mod work;
mod world;

use std::process::ExitCode;

use crate::figures::Table;
use crate::options::Options;

/// Measures one part and prints its figures.
type Measure = fn(&Options, &mut Table);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let mut table = Table::default();
    println!("sp-sched-core: {}; median (least .. most of runs)", figures::machine());
    let parts: [(&str, Measure); 6] = [
        ("events", events::measure),
        ("placement", placement::measure),
        ("memory", memory::measure),
        ("growth", growth::measure),
        ("lotus", compare::measure),
        ("packing", packing::measure),
    ];
    for (_, measure) in parts.iter().filter(|(name, _)| options.does(name)) {
        measure(&options, &mut table);
    }
    table.end()
}
