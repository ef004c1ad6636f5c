//! How long a deadline of 12 partitions takes three window workers, against what its proofs take at the least.

use std::time::Duration;

use anyhow::{Context, Result};
use sp_tests::figures::{Line, Promise, Table};
use sp_tests::{shelf, spent};
use tokio::runtime::Runtime;

use crate::field::{Field, Judge, PER_PARTITION, window};
use crate::options::Options;

const PARTITIONS: u64 = 12;

const WORKERS: u64 = 3;

/// What the stand-in for a proof takes.
const SLEEP: Duration = Duration::from_secs(2);

/// Partitions that warm everything.
const WARM: usize = 2;

/// Measures and prints.
pub(crate) fn measure(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    table.heading(&format!(
        "{PARTITIONS} partitions of {PER_PARTITION} sectors on {WORKERS} worker processes, as `proving compute \
         window-post` asks for them; from the request to the last verdict"
    ));
    sleeping(options, runtime, table)?;
    proving(options, runtime, table)
}

/// Nothing computes, so this is what scheduling, challenge reads and verdicts add.
fn sleeping(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    let mut field = Field::start(runtime, Judge::StandIn)?;
    let way = field.way()?;
    field.add_sleepers(&[&way; WORKERS as usize], SLEEP)?;
    shelf::take_over(&field.cluster, 0..PARTITIONS * PER_PARTITION)?;
    let runs = Runs::of(&field, 1, options.runs)?;
    let rounds = PARTITIONS.div_ceil(WORKERS) as f64;
    let least = rounds * SLEEP.as_secs_f64();
    table.show(runs.line("a prover that sleeps 2 s", least, 1.1));
    Ok(())
}

/// Three provers on one machine share its cores: with all of them at work it takes what the proofs compute.
fn proving(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    let mut field = Field::start(runtime, Judge::Real)?;
    field.add_provers(WORKERS as usize)?;
    shelf::take_over(&field.cluster, 0..PER_PARTITION)?;
    let mut alone = Vec::new();
    for run in 0..WARM + options.runs {
        let before = spent(&field)?;
        field.makespan_s(1)?;
        if run >= WARM {
            alone.push(spent(&field)? - before);
        }
    }
    let alone = Line::new("CPU of one partition alone, with its reads", "s", alone);
    let least = PARTITIONS as f64 * alone.median() / cores()?;
    table.show(alone);
    shelf::take_over(&field.cluster, PER_PARTITION..PARTITIONS * PER_PARTITION)?;
    let warm = usize::from(!options.quick);
    let runs = Runs::of(&field, warm, options.runs)?;
    table.show(runs.line("real proofs", least, 1.15));
    table.show(Line::new("the same less the time that others had the cores", "s", runs.ours));
    table.show(Line::new("CPU that the workers had meanwhile, by core", "s", runs.computed));
    Ok(())
}

/// Every run, in seconds.
#[derive(Default)]
struct Runs {
    took: Vec<f64>,
    /// Without the time that the cores were others': on a machine of its own it is the same.
    ours: Vec<f64>,
    /// CPU of the workers, by core.
    computed: Vec<f64>,
}

impl Runs {
    /// So many, after some that warm everything.
    fn of(field: &Field<'_>, warm: usize, count: usize) -> Result<Self> {
        let mut runs = Self::default();
        for run in 0..warm + count {
            let (workers, others) = (spent(field)?, others(field)?);
            let seconds = field.makespan_s(PARTITIONS as usize)?;
            if run >= warm {
                runs.took.push(seconds);
                runs.ours.push(seconds - (self::others(field)? - others) / cores()?);
                runs.computed.push((spent(field)? - workers) / cores()?);
            }
        }
        Ok(runs)
    }

    /// Promised is so many times what it takes at the least.
    fn line(&self, what: &str, least: f64, times: f64) -> Line {
        let line = Line::new(format!("makespan, {what}"), "s", self.took.clone());
        line.promised(Promise::AtMost(times * least)).note(format!("({least:.1} s at the least)"))
    }
}

fn cores() -> Result<f64> {
    Ok(std::thread::available_parallelism()?.get() as f64)
}

/// CPU seconds of all window workers with their executors.
fn spent(field: &Field<'_>) -> Result<f64> {
    let mut seconds = 0.0;
    for number in 0..WORKERS as usize {
        let process = field.cluster.pid(&window(number)).context("a worker does not run")?;
        seconds += spent::with_children(process)?;
    }
    Ok(seconds)
}

/// CPU seconds of everybody who has nothing to do with the cluster.
fn others(field: &Field<'_>) -> Result<f64> {
    Ok(spent::by_all()? - field.cluster.spent()? - spent::of(std::process::id())?)
}
