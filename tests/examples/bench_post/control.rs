//! What is said between scheduler and workers for each partition, and what a deadline costs the scheduler.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sp_tests::figures::{Line, Table};
use sp_tests::{shelf, spent};
use tokio::runtime::Runtime;

use crate::field::{Day, Field, Judge, PER_PARTITION};
use crate::options::Options;
use crate::proxy::Proxy;

const PARTITIONS: u64 = 100;

const WORKERS: usize = 3;

/// What the stand-in for a proof takes: workers that have nothing to wait for would share the cores with the scheduler.
const SLEEP: Duration = Duration::from_millis(100);

/// How long it is watched with nothing to do.
const IDLE: Duration = Duration::from_secs(6);

/// The deadline opens after 90 s, when the sectors are there, and closes after 15 more.
const DAY: Day = Day { epoch: Duration::from_millis(250), deadline: 6 };

const DEADLINE_EPOCHS: u32 = 60;

/// The watch begins so long before the opening, and ends so long after its end.
const EARLY: Duration = Duration::from_millis(500);

/// What a time costs.
struct Cost {
    seconds: f64,
    cpu_s: f64,
    messages: f64,
    bytes: f64,
}

/// What is watched.
struct Watch {
    scheduler: u32,
    way: Proxy,
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    table.heading(&format!(
        "{PARTITIONS} partitions on {WORKERS} worker processes whose prover sleeps {} ms; counted on the way between \
         workers and scheduler, less what passes while nothing is done",
        SLEEP.as_millis()
    ));
    on_demand(options, runtime, table)?;
    if !options.quick {
        opening(runtime, table)?;
    }
    Ok(())
}

/// As an operator asks for it.
fn on_demand(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    let mut field = Field::start(runtime, Judge::StandIn)?;
    let watch = Watch::start(&mut field)?;
    let idle = watch.cost_of(|| sleep(IDLE))?;
    let (mut cpu, mut messages, mut bytes, mut took) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.runs {
        let cost = watch.cost_of(|| field.makespan_s(PARTITIONS as usize))?.beyond(&idle);
        took.push(cost.seconds);
        cpu.push(cost.cpu_s);
        messages.push(cost.messages / PARTITIONS as f64);
        bytes.push(cost.bytes / PARTITIONS as f64);
    }
    table.show(Line::new("control messages for a partition, both ways", "", messages));
    table.show(Line::new("bytes for a partition, both ways, with HTTP/2's own", "B", bytes));
    table.show(Line::new("CPU of the scheduler's process for the deadline", "s", cpu));
    table.show(Line::new("the deadline took", "s", took));
    table.show(Line::new(
        "messages of a worker with nothing to do",
        "/s",
        vec![idle.messages / idle.seconds / WORKERS as f64],
    ));
    table.show(Line::new("CPU of the scheduler's process with nothing to do", "s/s", vec![idle.cpu_s / idle.seconds]));
    Ok(())
}

/// As the chain wants it, handed in and judged.
fn opening(runtime: &Runtime, table: &mut Table) -> Result<()> {
    let mut field = Field::start_on(runtime, Judge::StandIn, DAY)?;
    let watch = Watch::start(&mut field)?;
    let idle = watch.cost_of(|| sleep(IDLE))?;
    let info = field.cluster.ctl_json(&["proving", "info"])?;
    let (epoch, next) = (info["epoch"].as_i64(), info["next_deadline"]["open_epoch"].as_i64());
    let (epoch, opens) = epoch.zip(next).with_context(|| format!("no deadline comes: {info}"))?;
    sleep(DAY.epoch * u32::try_from(opens - epoch)? - EARLY)?;
    let cost = watch.cost_of(|| sleep(DAY.epoch * DEADLINE_EPOCHS + EARLY * 2))?.beyond(&idle);
    let page = field.cluster.ctl_json(&["proving", "history"])?;
    ensure!(page["total"]["proven"] == PARTITIONS, "not all was proven: {page}\n{}", field.cluster.tails());
    let line = Line::new("the deadline on the chain: opened, handed in, judged", "s", vec![cost.cpu_s]);
    table.show(line.note("(CPU of the scheduler's process)"));
    Ok(())
}

fn sleep(time: Duration) -> Result<f64> {
    std::thread::sleep(time);
    Ok(time.as_secs_f64())
}

impl Watch {
    /// With its workers and sectors.
    fn start(field: &mut Field<'_>) -> Result<Self> {
        let way = field.way()?;
        field.add_sleepers(&[&way; WORKERS], SLEEP)?;
        shelf::take_over(&field.cluster, 0..PARTITIONS * PER_PARTITION)?;
        let scheduler = field.cluster.pid("scheduler").context("the scheduler does not run")?;
        Ok(Self { scheduler, way })
    }

    /// What is spent meanwhile; `what` says how long it took.
    fn cost_of(&self, what: impl FnOnce() -> Result<f64>) -> Result<Cost> {
        let (cpu, passed) = (spent::of(self.scheduler)?, self.way.passed());
        let seconds = what()?;
        let cpu_s = spent::of(self.scheduler)? - cpu;
        let passed = self.way.passed().since(passed);
        Ok(Cost { seconds, cpu_s, messages: passed.messages as f64, bytes: passed.bytes as f64 })
    }
}

impl Cost {
    /// Without what the time would have cost with nothing to do.
    fn beyond(&self, idle: &Self) -> Self {
        let part = self.seconds / idle.seconds;
        Self {
            seconds: self.seconds,
            cpu_s: self.cpu_s - idle.cpu_s * part,
            messages: self.messages - idle.messages * part,
            bytes: self.bytes - idle.bytes * part,
        }
    }
}
