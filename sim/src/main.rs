//! `make sim`: seeds as the environment says, a report, and a failure when anything was wrong.
// Reads the environment of a developer's shell and the number of real cores.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;
use std::time::Duration;

use sp_sim::child;
use sp_sim::runner::{self, Order};
use tracing_subscriber::EnvFilter;

/// Without SIM_SEEDS: so many seeds ...
const SEEDS: u64 = 200;
/// ... or as many as fit into this.
const WITHIN: Duration = Duration::from_secs(180);

/// A variable that is set and not empty.
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str) -> Result<Option<u64>, String> {
    text(name).map(|text| text.parse().map_err(|_| format!("{name}=`{text}` is no number"))).transpose()
}

fn order() -> Result<Order, String> {
    let (first, seeds) = (number("SIM_FIRST")?.unwrap_or(0), number("SIM_SEEDS")?);
    let within = number("SIM_WITHIN")?.map(Duration::from_secs);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    Ok(Order {
        is_day: text(child::DAY).is_some(),
        seeds: first..first.saturating_add(seeds.unwrap_or(SEEDS)),
        within: within.or(seeds.is_none().then_some(WITHIN)),
        threads: number("SIM_THREADS")?.unwrap_or(cores).max(1) as usize,
        trace: text("SIM_TRACE").is_some(),
    })
}

fn main() -> ExitCode {
    // `SIM_LOG=info` shows what the services say; best with one seed.
    let filter = EnvFilter::try_new(text("SIM_LOG").as_deref().unwrap_or("off"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_ansi(false)
        .init();
    if let Some(seed) = text(child::SEED).and_then(|seed| seed.parse().ok()) {
        child::run(seed, text(child::DAY).is_some());
        return ExitCode::SUCCESS;
    }
    let order = match order() {
        Ok(order) => order,
        Err(problem) => {
            eprintln!("sim: {problem}");
            return ExitCode::from(2);
        }
    };
    let totals = runner::run(&order);
    println!("{totals}");
    ExitCode::from(u8::from(!totals.failed.is_empty()))
}
