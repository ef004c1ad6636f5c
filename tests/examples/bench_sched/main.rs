//! The scheduler as a service: throughput through shell and redb, and the way from runnable to started, over gRPC.
//!
//! The workers are light: they register, renew and answer at once. Scheduler, index and workers share this process and
//! its cores, so the figures are those of a scheduler that has a part of this machine.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

mod latency;
mod load;
mod options;

use std::process::ExitCode;

use anyhow::Result;
use sp_tests::figures::{self, Table};

use crate::options::Options;

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    sp_net::limits::raise_file_limit("dev")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("the scheduler as a service: {}; median (least .. most of runs)", figures::machine());
    let mut table = Table::default();
    runtime.block_on(async {
        if options.does("load") {
            load::measure(&options, &mut table).await?;
        }
        if options.does("latency") {
            latency::measure(&options, &mut table).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(table.end())
}
