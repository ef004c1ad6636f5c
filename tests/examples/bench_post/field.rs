//! A cluster of processes with its sectors in one deadline, and who asks it for proofs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sp_net::{Env, client, sized};
use sp_proto::v1;
use sp_proto::v1::scheduler_client::SchedulerClient;
use sp_tests::{Cluster, Role, Setup, shelf};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::proxy::Proxy;
use crate::stand_in;

/// The chain's day, and the deadline with the sectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    pub(crate) epoch: Duration,
    pub(crate) deadline: u32,
}

/// The deadline opens by itself only hours after the cluster was started.
const ON_DEMAND: Day = Day { epoch: Duration::from_secs(30), deadline: 40 };

/// Sectors of a partition of this size.
pub(crate) const PER_PARTITION: u64 = 2;

/// Who judges proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// `sp-verify`.
    Real,
    /// Says yes to everything: for provers that prove nothing.
    StandIn,
}

/// A cluster without provers yet, and its operator.
pub(crate) struct Field<'a> {
    pub(crate) cluster: Cluster,
    runtime: &'a Runtime,
    day: Day,
    operator: SchedulerClient<Channel>,
}

impl<'a> Field<'a> {
    /// Starts everything but workers that prove; nothing is due by itself.
    pub(crate) fn start(runtime: &'a Runtime, judge: Judge) -> Result<Self> {
        Self::start_on(runtime, judge, ON_DEMAND)
    }

    /// The same on another day.
    pub(crate) fn start_on(runtime: &'a Runtime, judge: Judge, day: Day) -> Result<Self> {
        let mut scheduler =
            ["--disable-builtin-window-post", "--disable-builtin-winning-post"].map(String::from).to_vec();
        scheduler.extend(["--epoch".into(), format!("{}ms", day.epoch.as_millis())]);
        scheduler.extend(["--assignment".into(), format!("pack:{}", day.deadline)]);
        if judge == Judge::StandIn {
            scheduler.extend(["--verify-bin".into(), stand_in::program()?.display().to_string()]);
        }
        let cluster = Cluster::start(Setup { sealing: vec![shelf::keeper()], scheduler, ..Setup::default() })?;
        let url = cluster.url("scheduler")?;
        let channel = runtime.block_on(async { client::channel(&Env::real(), &url) })?;
        Ok(Self { cluster, runtime, day, operator: sized!(SchedulerClient::new(channel)) })
    }

    /// A way to the scheduler.
    pub(crate) fn way(&self) -> Result<Proxy> {
        let scheduler = self.cluster.url("scheduler")?;
        let target = scheduler.trim_start_matches("http://").parse()?;
        self.runtime.block_on(Proxy::start(target, Duration::ZERO))
    }

    /// Starts window workers that reach the scheduler over these ways, each with a prover that sleeps so long.
    pub(crate) fn add_sleepers(&mut self, ways: &[&Proxy], time: Duration) -> Result<()> {
        let program = stand_in::program()?;
        for (number, way) in ways.iter().enumerate() {
            let env = stand_in::sleeping(time);
            self.cluster.add_program(&window(number), Role::Window, &program, over(way), env)?;
        }
        // The keeper is one too.
        self.cluster.wait_for_workers(ways.len() + 1)
    }

    /// Starts real window workers.
    pub(crate) fn add_provers(&mut self, workers: usize) -> Result<()> {
        for number in 0..workers {
            self.cluster.add(&window(number), Role::Window, vec![], vec![])?;
        }
        self.cluster.wait_for_workers(workers + 1)
    }

    /// Proves a sector as if an epoch had been won, by the first who is asked.
    pub(crate) fn win(&self) -> Result<()> {
        let mut operator = self.operator.clone();
        let reply = self.runtime.block_on(operator.compute_winning_post(v1::ComputeWinningPostRequest {}));
        let reply = reply.with_context(|| self.cluster.tails())?.into_inner();
        ensure!(reply.partitions.len() == 1 && reply.partitions.iter().all(is_whole), "not proven: {reply:?}");
        Ok(())
    }

    /// Has every partition proven, as an operator asks for it.
    pub(crate) fn ask(&self) -> JoinHandle<Result<Response<v1::ComputePostReply>, Status>> {
        let mut operator = self.operator.clone();
        let request = v1::ComputeWindowPostRequest { deadline: self.day.deadline };
        self.runtime.spawn(async move { operator.compute_window_post(request).await })
    }

    /// The same, and waits; all partitions must be proven whole, by the first who is asked. Seconds from the request to the
    /// last proof.
    pub(crate) fn makespan_s(&self, partitions: usize) -> Result<f64> {
        let reply = self.runtime.block_on(self.ask())?.with_context(|| self.cluster.tails())?.into_inner();
        ensure!(reply.partitions.iter().all(is_whole), "not all was proven: {reply:?}\n{}", self.cluster.tails());
        ensure!(reply.partitions.len() == partitions, "{} partitions", reply.partitions.len());
        Ok(reply.took_ms as f64 / 1e3)
    }
}

/// Name of a window worker.
pub(crate) fn window(number: usize) -> String {
    format!("window-{number}")
}

/// The flag of a worker that reaches the scheduler over this way.
pub(crate) fn over(way: &Proxy) -> Vec<String> {
    vec!["--scheduler".into(), way.url()]
}

/// Proven without a sector left out, and at the first try.
fn is_whole(part: &v1::ProvenPartition) -> bool {
    !part.proof.is_empty() && part.skipped.is_empty() && part.retries.is_empty()
}
