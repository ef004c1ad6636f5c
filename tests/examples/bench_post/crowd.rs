//! Failover among many: 1,000 partitions over 200 light workers, some of which are killed or fall silent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use scheduler::Assignment;
use sp_proto::v1::{ComputeWindowPostRequest, TaskKind};
use sp_tests::figures::{Line, Promise, Table, percentile};
use sp_tests::light::{Cluster, LightWorker, Mark, Setting, Step};
use sp_types::DeadlineIndex;

use crate::failover::{BREAK_S, SILENCE_S};
use crate::field::PER_PARTITION;
use crate::options::Options;
use crate::proxy::Proxy;

/// Workers that make the sectors.
const SEALERS: usize = 10;

/// The deadline with the sectors; it opens long after the measurement has ended.
const DEADLINE: DeadlineIndex = DeadlineIndex(47);

const EPOCH_MS: u64 = 1_000;

/// One prover in so many is lost in a run.
const LOST_OF: usize = 20;

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Everything that runs.
struct Crowd {
    cluster: Cluster,
    provers: Vec<LightWorker>,
    /// The last provers reach the scheduler over these, as many over each as are lost in a run.
    ways: Vec<Proxy>,
    /// How many are lost in a run.
    lost: usize,
    /// Who was given each partition last.
    owners: BTreeMap<u64, usize>,
}

/// What is known of somebody who has been lost.
struct Lost {
    number: usize,
    tasks: Vec<u64>,
    heartbeat: Instant,
    at: Instant,
}

/// Seconds until a partition of somebody who has been lost was with somebody else.
struct Waited {
    since_loss: f64,
    since_heartbeat: f64,
}

/// Measures and prints.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let (partitions, provers) = (options.partitions, options.provers);
    table.heading(&format!(
        "failover, {partitions} partitions over {provers} light workers in the process of the scheduler; each run loses \
         {} of them; lease and heartbeat as they are by default",
        provers / LOST_OF
    ));
    let mut crowd = Crowd::start(options).await?;
    let mut operator = crowd.cluster.operators.clone();
    let asked = Instant::now();
    let asking = tokio::spawn(async move {
        let request = ComputeWindowPostRequest { deadline: DEADLINE.0 };
        operator.compute_window_post(request).await
    });
    let given = crowd.given(partitions).await;
    ensure!(!asking.is_finished(), "the request has failed: {:?}", asking.await);
    table.show(Line::new("every partition with a worker", "s", vec![given?.at.duration_since(asked).as_secs_f64()]));
    let (mut broken, mut silent) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        broken.push(crowd.break_some(run).await?);
        silent.push(crowd.silence_some(run).await?);
    }
    asking.abort();
    let p99 = |runs: &[Vec<Waited>], of: fn(&Waited) -> f64| {
        runs.iter().map(|run| percentile(&mut run.iter().map(of).collect::<Vec<f64>>(), 0.99)).collect::<Vec<f64>>()
    };
    let note = |runs: &[Vec<Waited>]| format!("({} partitions in all)", runs.iter().map(Vec::len).sum::<usize>());
    let line = Line::new("connection breaks, from the break, p99", "s", p99(&broken, |w| w.since_loss));
    table.show(line.promised(Promise::AtMost(BREAK_S)).note(note(&broken)));
    table.show(Line::new("the same from the last heartbeat, p99", "s", p99(&broken, |w| w.since_heartbeat)));
    let line = Line::new("silence, from the last heartbeat, p99", "s", p99(&silent, |w| w.since_heartbeat));
    table.show(line.promised(Promise::AtMost(SILENCE_S)).note(note(&silent)));
    crowd.end().await
}

impl Crowd {
    async fn start(options: &Options) -> Result<Self> {
        let assignment = Assignment::Pack(DEADLINE);
        let setting = Setting { workers: SEALERS, check_laws: false, assignment, epoch_ms: EPOCH_MS };
        let mut cluster = Cluster::start(setting).await?;
        let sectors = options.partitions as u64 * PER_PARTITION;
        cluster.pledge(sectors).await?;
        cluster.wait_sealed(sectors).await?;
        let lost = (options.provers / LOST_OF).max(1);
        let mut ways = Vec::new();
        for _ in 0..options.runs {
            ways.push(Proxy::start(cluster.address, Duration::ZERO).await?);
        }
        let direct = options.provers - lost * options.runs;
        let mut provers = Vec::new();
        for at in 0..options.provers {
            let way = at.checked_sub(direct).map(|over| &ways[over / lost]);
            let address = way.map_or(cluster.address, |way| way.address);
            provers.push(cluster.connect_prover(SEALERS + at, address).await?);
        }
        Ok(Self { cluster, provers, ways, lost, owners: BTreeMap::new() })
    }

    /// Waits until so many partitions have been given to somebody; says when the last was.
    async fn given(&mut self, partitions: usize) -> Result<Mark> {
        loop {
            let mark = self.next().await.with_context(|| format!("{} partitions are given", self.owners.len()))?;
            if self.owners.len() == partitions {
                return Ok(mark);
            }
        }
    }

    /// The next partition that somebody is given.
    async fn next(&mut self) -> Result<Mark> {
        loop {
            let mark = tokio::time::timeout(LIMIT, self.cluster.marks.recv()).await.context("nobody is given more")?;
            let mark = mark.context("the workers are gone")?;
            if self.note(mark) {
                return Ok(mark);
            }
        }
    }

    /// True: somebody was given a partition.
    fn note(&mut self, mark: Mark) -> bool {
        let given = mark.task == TaskKind::WindowPost && mark.step == Step::Received;
        if given {
            self.owners.insert(mark.attempt.0, mark.worker);
        }
        given
    }

    /// These are lost now, with what they were given last.
    fn lose(&mut self, workers: &[LightWorker], at: Instant) -> Vec<Lost> {
        while let Ok(mark) = self.cluster.marks.try_recv() {
            self.note(mark);
        }
        let tasks = |number| self.owners.iter().filter(move |(_, owner)| **owner == number).map(|(task, _)| *task);
        let lost = |worker: &LightWorker| Lost {
            number: worker.number,
            tasks: tasks(worker.number).collect(),
            heartbeat: worker.renewed(),
            at,
        };
        workers.iter().map(lost).collect()
    }

    /// The connections of the first provers break.
    async fn break_some(&mut self, run: usize) -> Result<Vec<Waited>> {
        let taken: Vec<LightWorker> = self.provers.drain(..self.lost).collect();
        let lost = self.lose(&taken, Instant::now());
        taken.into_iter().for_each(LightWorker::kill);
        self.taken_over(lost).await.with_context(|| format!("run {run}: connections broke"))
    }

    /// Nothing comes any more from those over one way.
    async fn silence_some(&mut self, run: usize) -> Result<Vec<Waited>> {
        let from = self.provers.len() - self.lost * (self.ways.len() - run);
        let taken: Vec<LightWorker> = self.provers.drain(from..from + self.lost).collect();
        let at = Instant::now();
        self.ways[run].fall_silent();
        // An answer that was on its way still comes.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let lost = self.lose(&taken, at);
        // They live on, and their connections with them, until all is taken over.
        self.taken_over(lost).await.with_context(|| format!("run {run}: a way fell silent"))
    }

    /// Waits until everything of theirs is with others.
    async fn taken_over(&mut self, lost: Vec<Lost>) -> Result<Vec<Waited>> {
        let mut left: BTreeMap<u64, &Lost> = lost.iter().flat_map(|l| l.tasks.iter().map(move |t| (*t, l))).collect();
        ensure!(!left.is_empty(), "they had nothing");
        let mut waited = Vec::new();
        while !left.is_empty() {
            let mark = self.next().await.with_context(|| format!("{} partitions are with nobody", left.len()))?;
            let Some(lost) = left.get(&mark.attempt.0).filter(|lost| lost.number != mark.worker) else { continue };
            let since = |then: Instant| mark.at.saturating_duration_since(then).as_secs_f64();
            waited.push(Waited { since_loss: since(lost.at), since_heartbeat: since(lost.heartbeat) });
            left.remove(&mark.attempt.0);
        }
        Ok(waited)
    }

    async fn end(self) -> Result<()> {
        drop((self.provers, self.ways));
        self.cluster.stop().await
    }
}
