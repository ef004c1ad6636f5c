//! What proofs of spacetime cost beyond the proofs: makespan of a deadline, challenge reads, winning PoSt, failover, and
//! what is said meanwhile.
//!
//! Worker, scheduler and index are real processes where nothing else is said. Where proofs would hide what is measured the
//! prover sleeps instead: the benchmark is then started once more, as a worker of the product with another proving call.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

mod control;
mod crowd;
mod direct;
mod failover;
mod field;
mod makespan;
mod options;
mod proxy;
mod reads;
mod stand_in;
mod winning;

use std::process::ExitCode;

use anyhow::Result;
use sp_tests::figures::{self, Table};

use crate::options::Options;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(served) = stand_in::serve(&arguments) {
        return served;
    }
    let options = Options::parse(arguments.into_iter())?;
    sp_net::limits::raise_file_limit("dev")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("proofs of spacetime: {}; median (least .. most of runs)", figures::machine());
    let mut table = Table::default();
    if options.does("makespan") {
        makespan::measure(&options, &runtime, &mut table)?;
    }
    if options.does("failover") {
        failover::measure(&options, &runtime, &mut table)?;
    }
    if options.does("winning") {
        winning::measure(&options, &runtime, &mut table)?;
    }
    if options.does("control") {
        control::measure(&options, &runtime, &mut table)?;
    }
    if options.does("reads") {
        reads::measure(&options, &runtime, &mut table)?;
    }
    Ok(table.end())
}
