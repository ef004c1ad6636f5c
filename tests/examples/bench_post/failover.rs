//! Failover between two worker processes: how long the partition of one that is killed, or falls silent, is with nobody.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sp_tests::figures::{Line, Promise, Table};
use sp_tests::{shelf, wait};
use tokio::runtime::Runtime;

use crate::crowd;
use crate::field::{Field, Judge, PER_PARTITION, over, window};
use crate::options::Options;
use crate::proxy::Proxy;

/// Promised of a worker whose connection breaks, in seconds from the break.
pub(crate) const BREAK_S: f64 = 2.0;

/// Promised of one that is silent, in seconds from its last heartbeat.
pub(crate) const SILENCE_S: f64 = 20.0;

const WORKERS: usize = 2;

/// Longer than a loss takes to come, shorter than it takes to be noticed when nothing breaks.
const SLEEP: Duration = Duration::from_secs(3);

/// How often the logs are looked at: a time is no more exact than this.
const LOOK: Duration = Duration::from_millis(5);

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// SIGKILL: its connections break.
    Kill,
    /// The way to the scheduler passes nothing any more.
    Silence,
}

/// Seconds until the executor of the other one has begun.
struct Waited {
    since_loss: f64,
    since_heartbeat: f64,
}

/// Two workers, each with a way of its own to the scheduler.
struct Pair<'a> {
    field: Field<'a>,
    runtime: &'a Runtime,
    ways: Vec<Proxy>,
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    table.heading("failover of one partition between two worker processes; lease and heartbeat as they are by default");
    let mut pair = Pair::start(runtime)?;
    for (loss, what, most) in
        [(Loss::Kill, "killed, from the kill", BREAK_S), (Loss::Silence, "silent, from the last heartbeat", SILENCE_S)]
    {
        let runs = (0..options.runs).map(|_| pair.lose(loss)).collect::<Result<Vec<Waited>>>()?;
        let from_heartbeat = runs.iter().map(|run| run.since_heartbeat).collect::<Vec<f64>>();
        let from_loss = runs.iter().map(|run| run.since_loss).collect::<Vec<f64>>();
        let (held, other, name) = match loss {
            Loss::Kill => (from_loss, from_heartbeat, "the same from the last heartbeat"),
            Loss::Silence => (from_heartbeat, from_loss, "the same from the silence"),
        };
        let worst = held.iter().copied().fold(0.0, f64::max);
        table.show(Line::new(format!("{what}, worst"), "s", vec![worst]).promised(Promise::AtMost(most)));
        table.show(Line::new(format!("{what}, each"), "s", held));
        table.show(Line::new(name, "s", other));
    }
    drop(pair);
    runtime.block_on(crowd::measure(options, table))
}

impl<'a> Pair<'a> {
    fn start(runtime: &'a Runtime) -> Result<Self> {
        let mut field = Field::start(runtime, Judge::StandIn)?;
        let ways = (0..WORKERS).map(|_| field.way()).collect::<Result<Vec<Proxy>>>()?;
        field.add_sleepers(&ways.iter().collect::<Vec<_>>(), SLEEP)?;
        shelf::take_over(&field.cluster, 0..PER_PARTITION)?;
        Ok(Self { field, runtime, ways })
    }

    /// One loses the partition, the other gets it and proves it; afterwards all is as before.
    fn lose(&mut self, loss: Loss) -> Result<Waited> {
        let before = self.begun()?;
        let asking = self.field.ask();
        let first = self.next_to_begin(&before)?;
        let before = self.begun()?;
        let lost = Instant::now();
        match loss {
            Loss::Kill => self.field.cluster.kill9(&window(first))?,
            Loss::Silence => self.ways[first].fall_silent(),
        }
        let heard = self.ways[first].heard();
        let second = self.next_to_begin(&before)?;
        let began = Instant::now();
        ensure!(second != first, "the partition came back to who was lost");
        let reply = self.runtime.block_on(asking)?.with_context(|| self.field.cluster.tails())?.into_inner();
        ensure!(reply.partitions.iter().all(|p| !p.proof.is_empty()), "{reply:?}");
        self.mend(first, loss)?;
        let since = |then: Instant| began.duration_since(then).as_secs_f64();
        Ok(Waited { since_loss: since(lost), since_heartbeat: since(heard) })
    }

    /// Who was lost is there again.
    fn mend(&mut self, lost: usize, loss: Loss) -> Result<()> {
        let name = window(lost);
        match loss {
            Loss::Kill => self.field.cluster.restart(&name)?,
            Loss::Silence => {
                self.ways[lost] = self.field.way()?;
                self.field.cluster.change_flags(&name, over(&self.ways[lost]))?;
            }
        }
        self.field.cluster.wait_for_connection(&name, true)
    }

    /// How many proofs each executor has begun.
    fn begun(&self) -> Result<Vec<usize>> {
        let begun = |log: PathBuf| Ok(std::fs::read_to_string(log)?.matches("executor start ").count());
        (0..WORKERS).map(|number| begun(self.field.cluster.log(&window(number)))).collect()
    }

    /// Waits for a proof that was not begun before; says whose it is.
    fn next_to_begin(&self, before: &[usize]) -> Result<usize> {
        wait::every(LOOK, "a proof to be begun", LIMIT, || {
            let begun = self.begun()?;
            Ok((0..WORKERS).find(|&number| begun[number] > before[number]))
        })
        .with_context(|| self.field.cluster.tails())
    }
}
