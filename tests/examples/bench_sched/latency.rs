//! From a task becoming runnable to its worker having been told to compute, one sector at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sp_proto::v1::TaskKind;
use sp_tests::figures::{Line, Table, percentile};
use sp_tests::light::{Cluster, Mark, Setting, Step, Tally};

use crate::options::Options;

/// What makes which task runnable, and what lies between in the scheduler.
const WAYS: [(Option<TaskKind>, TaskKind, &str); 3] = [
    (None, TaskKind::AddPiece, "pledge asked for, AP with its worker"),
    (Some(TaskKind::PreCommit1), TaskKind::PreCommit2, "PC1's result sent, PC2 with its worker"),
    (Some(TaskKind::Commit1), TaskKind::Commit2, "C1's result sent, C2 with its worker"),
];

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// When steps were taken, by task.
type Times = HashMap<(TaskKind, Step), Instant>;

/// Measures and prints.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for workers in [1, options.workers] {
        let name = if workers == 1 { "worker" } else { "workers" };
        table.heading(&format!(
            "runnable to started, {workers} light {name}, one sector at a time, {} sectors a run; time on the wall",
            options.samples
        ));
        let mut cluster = Cluster::start(Setting::sealing(workers, options.check_laws)).await?;
        // The first sectors warm everything.
        drop(run(&mut cluster, options.samples / 10 + 1).await?);
        let mut runs = Vec::new();
        for _ in 0..options.runs {
            runs.push(run(&mut cluster, options.samples).await?);
        }
        show(table, workers, &runs);
        cluster.stop().await?;
    }
    Ok(())
}

fn show(table: &mut Table, workers: usize, runs: &[Vec<Vec<f64>>]) {
    for (way, (_, _, name)) in WAYS.iter().enumerate() {
        for (part, of) in [("p50", 0.5), ("p99", 0.99)] {
            let values = runs.iter().map(|run| percentile(&mut run[way].clone(), of)).collect();
            table.show(Line::new(format!("{name}, {workers} x, {part}"), "ms", values));
        }
    }
}

/// Milliseconds of each way, one for each sector.
async fn run(cluster: &mut Cluster, sectors: usize) -> Result<Vec<Vec<f64>>> {
    let mut ways = vec![Vec::with_capacity(sectors); WAYS.len()];
    for _ in 0..sectors {
        let sealed = Tally::read(&cluster.tally.sealed);
        let asked = Instant::now();
        let made = cluster.pledge(1).await?;
        let times = follow(cluster, made[0]).await?;
        cluster.wait_sealed(sealed + 1).await?;
        for ((before, task, _), waited) in WAYS.iter().zip(&mut ways) {
            let from = match before {
                None => Some(&asked),
                Some(before) => times.get(&(*before, Step::Finished)),
            };
            let (from, to) = from.zip(times.get(&(*task, Step::Received))).context("a step was not seen")?;
            waited.push(to.saturating_duration_since(*from).as_secs_f64() * 1e3);
        }
    }
    Ok(ways)
}

/// Every step of the one sector that is under way, until its last task has been answered.
async fn follow(cluster: &mut Cluster, wanted: u64) -> Result<Times> {
    let mut times = Times::new();
    loop {
        let mark = tokio::time::timeout(LIMIT, cluster.marks.recv()).await.context("a sector stands still")?;
        let Mark { sector, task, step, at, .. } = mark.context("the workers are gone")?;
        anyhow::ensure!(sector == wanted, "sector {sector} is under way too");
        times.entry((task, step)).or_insert(at);
        if (task, step) == (TaskKind::Finalize, Step::Finished) {
            return Ok(times);
        }
    }
}
