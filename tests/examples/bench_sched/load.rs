//! Throughput through shell and redb, and what renewals and live figures cost there.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use rustix::time::{ClockId, clock_gettime};
use sp_tests::figures::{Line, Promise, Table, percentile};
use sp_tests::light::{Cluster, LightWorker, Setting, Tally};

use crate::options::Options;

/// Renewals of each worker in the quiet part.
const RENEWALS: usize = 25;

/// Measures and prints.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let (workers, sectors) = (options.workers, options.sectors);
    let laws = if options.check_laws { "the core's laws checked" } else { "laws not checked, as in a release" };
    table.heading(&format!(
        "through shell and redb, group commit; {workers} light workers in the same process, {sectors} sectors a run, \
         {laws}"
    ));
    let mut cluster = Cluster::start(Setting::sealing(workers, options.check_laws)).await?;
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        runs.push(busy(&mut cluster, sectors).await?);
    }
    show(table, &runs);
    quiet(&mut cluster, options, table).await?;
    cluster.stop().await
}

/// One run from the first pledge to the last sector's end.
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    sectors: f64,
    events: f64,
    commits: f64,
    rows: f64,
    commit_ms: f64,
}

async fn busy(cluster: &mut Cluster, sectors: u64) -> Result<Run> {
    let (before, events) = (cluster.state.committed(), cluster.tally.events());
    let sealed = Tally::read(&cluster.tally.sealed);
    drop(cluster.state.take_times());
    let (start, cpu) = (Instant::now(), cpu_seconds());
    cluster.pledge(sectors).await?;
    cluster.wait_sealed(sealed + sectors).await?;
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let after = cluster.state.committed();
    Ok(Run {
        seconds,
        cpu_seconds,
        sectors: sectors as f64,
        events: (cluster.tally.events() - events) as f64,
        commits: (after.commits - before.commits) as f64,
        rows: (after.rows - before.rows) as f64,
        commit_ms: percentile(&mut cluster.state.take_times(), 0.5),
    })
}

/// What this process has computed: it says more than the time on the wall where others compute too.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn show(table: &mut Table, runs: &[Run]) {
    let each = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    table.show(Line::new("events (facts, results, renewals, verdicts)", "/s", each(|r| r.events / r.seconds)));
    let cpu_us = each(|r| r.cpu_seconds * 1e6 / r.events);
    table.show(Line::new("CPU of scheduler, workers and index for each event", "us", cpu_us));
    table.show(Line::new("sectors sealed (six tasks each, computing nothing)", "/s", each(|r| r.sectors / r.seconds)));
    table.show(Line::new("commits for each event", "", each(|r| r.commits / r.events)));
    table.show(Line::new("rows in a commit", "", each(|r| r.rows / r.commits)));
    table.show(Line::new("a commit, p50", "ms", each(|r| r.commit_ms)));
}

/// Workers hold what they have and renew with other figures each time; stores have other figures; nothing else.
async fn quiet(cluster: &mut Cluster, options: &Options, table: &mut Table) -> Result<()> {
    cluster.answering.store(false, Ordering::SeqCst);
    cluster.pledge(options.workers as u64 * 2).await?;
    settle(cluster).await;
    let (mut renewals, mut commits) = (Vec::new(), 0);
    for _ in 0..options.runs {
        let (before, counted, start) =
            (cluster.state.committed().commits, Tally::read(&cluster.tally.renewals), Instant::now());
        let renew = cluster.workers.iter().map(|worker| {
            let mut worker = worker.clone();
            async move {
                for _ in 0..RENEWALS {
                    worker.renew().await?;
                }
                anyhow::Ok(())
            }
        });
        try_join_all(renew).await?;
        let sent = Tally::read(&cluster.tally.renewals) - counted;
        renewals.push(sent as f64 / start.elapsed().as_secs_f64());
        (0..options.workers)
            .for_each(|worker| cluster.index.refresh(worker, (1 << 50) - start.elapsed().as_nanos() as u64));
        settle(cluster).await;
        commits += cluster.state.committed().commits - before;
    }
    let each_run = options.workers * RENEWALS;
    table.show(Line::new("renewals with every attempt held and other figures", "/s", renewals));
    let line = Line::new("commits of renewals and live figures", "", vec![commits as f64]);
    let note =
        format!("({each_run} renewals and {} stores with other figures, {} times)", options.workers, options.runs);
    table.show(line.promised(Promise::AtMost(0.0)).note(note));
    let sealed = Tally::read(&cluster.tally.sealed);
    cluster.answering.store(true, Ordering::SeqCst);
    cluster.workers.iter().for_each(LightWorker::finish_all);
    cluster.wait_sealed(sealed + options.workers as u64 * 2).await
}

/// Waits until nothing has been committed for a while: what was under way has ended.
async fn settle(cluster: &Cluster) {
    let mut last = u64::MAX;
    while last != cluster.state.committed().commits {
        last = cluster.state.committed().commits;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
