//! Figures of the scheduler for Prometheus: counted as things happen, or read from the newest board when asked for.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use sp_net::Env;
use sp_net::metrics::{Page, page_of};
use sp_net::refusals::Refusals;
use sp_sched_core::Observation;
use sp_sched_core::event::Event;
use sp_sched_core::model::{Finished, Outcome};
use sp_types::TaskKind;

use crate::board::{Board, BoardReader};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    task: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEvent {
    event: &'static str,
}

/// The figures.
#[derive(Clone)]
pub(crate) struct Metrics {
    page: Page,
    refusals: Refusals,
    waited: Family<OfTask, Histogram>,
    attempts: Family<OfResult, Counter>,
    lost_leases: Family<OfTask, Counter>,
    handled: Family<OfEvent, Histogram>,
    committed: Histogram,
}

impl Metrics {
    /// Nothing counted yet; what is read when asked for comes from the newest board.
    pub(crate) fn new(env: &Env, boards: BoardReader) -> Self {
        // From 1 ms to 18 hours, and from 1 us to 4 s.
        let waits = || Histogram::new(exponential_buckets(0.001, 4.0, 14));
        let spans = || Histogram::new(exponential_buckets(1e-6, 4.0, 12));
        let waited = Family::new_with_constructor(waits as fn() -> Histogram);
        let handled = Family::new_with_constructor(spans as fn() -> Histogram);
        let (attempts, lost_leases, committed) = (Family::default(), Family::default(), spans());
        // Every result of every kind is there from the first scrape, so that its first increase is seen.
        for kind in TaskKind::ALL {
            let task = kind.short();
            drop(lost_leases.get_or_create(&OfTask { task }));
            let labels = Outcome::ALL.map(|outcome| OfResult { task, result: outcome.as_str() });
            labels.iter().for_each(|labels| drop(attempts.get_or_create(labels)));
        }
        let mut registry = Registry::with_prefix("sp_scheduler");
        let help = "From a task being ready to its being given to a worker";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, waited.clone());
        registry.register("attempts", "Attempts that are over, by result", attempts.clone());
        registry.register("lease_losses", "Attempts whose lease was lost", lost_leases.clone());
        let help = "The core's work for one event";
        registry.register_with_unit("event_handling", help, Unit::Seconds, handled.clone());
        let help = "Making the rows of a batch durable";
        registry.register_with_unit("commit", help, Unit::Seconds, committed.clone());
        registry.register_collector(Box::new(OnBoard { env: env.clone(), boards }));
        let refusals = Refusals::new(env);
        refusals.register(&mut registry);
        Self { page: page_of(registry), refusals, waited, attempts, lost_leases, handled, committed }
    }

    /// The page.
    pub(crate) fn page(&self) -> Page {
        self.page.clone()
    }

    /// Where refused calls are counted.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The core has dealt with an event.
    pub(crate) fn handled(&self, event: &'static str, ns: u64, observed: &[Observation]) {
        self.handled.get_or_create(&OfEvent { event }).observe(seconds(ns));
        for observation in observed {
            match observation {
                Observation::Waited { kind, ms } => {
                    self.waited.get_or_create(&OfTask { task: kind.short() }).observe(*ms as f64 / 1e3);
                }
                Observation::LeaseLost { kind } => {
                    self.lost_leases.get_or_create(&OfTask { task: kind.short() }).inc();
                }
            }
        }
    }

    /// An attempt is over.
    pub(crate) fn finished(&self, finished: &Finished) {
        let labels = OfResult { task: finished.kind.short(), result: finished.outcome.as_str() };
        self.attempts.get_or_create(&labels).inc();
    }

    /// A batch is durable.
    pub(crate) fn committed(&self, ns: u64) {
        self.committed.observe(seconds(ns));
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Events in the groups that cost alike.
pub(crate) fn group(event: &Event) -> &'static str {
    match event {
        Event::Renewed { .. } => "renewal",
        Event::Result { .. } => "result",
        Event::Request(..) => "request",
        Event::WorkerRegistered(_) => "registration",
        Event::Wake => "wake",
        _ => "other",
    }
}

/// Figures that are read from the newest board.
struct OnBoard {
    env: Env,
    boards: BoardReader,
}

impl fmt::Debug for OnBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBoard").finish_non_exhaustive()
    }
}

type Labels = Vec<(&'static str, String)>;
/// Name, help, and each value with its labels.
type Figures = (&'static str, &'static str, Vec<(Labels, f64)>);

impl Collector for OnBoard {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let board = self.boards.borrow().clone();
        let Some(at) = board.at else { return Ok(()) };
        let age = self.env.clock.monotonic().since_ms(at) as f64 / 1e3;
        let help = "Age of the figures that are read from the core; above a minute its loop hangs";
        let plain = encoder.encode_descriptor("board_age_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::<f64>::new(age).encode(plain)?;
        for (name, help, values) in families(&board) {
            let mut descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in values {
                ConstGauge::<f64>::new(value).encode(descriptor.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn families(board: &Board) -> Vec<Figures> {
    let mut queued: BTreeMap<Labels, f64> = BTreeMap::new();
    let mut reasons: BTreeMap<Labels, f64> = BTreeMap::new();
    for wait in &board.waits {
        let task = wait.kind.short().to_owned();
        *queued.entry(vec![("task", task.clone()), ("where", "queue".into())]).or_default() += wait.queued as f64;
        *queued.entry(vec![("task", task.clone()), ("where", "window".into())]).or_default() += wait.bound as f64;
        *reasons.entry(vec![("task", task), ("reason", wait.reason.into())]).or_default() += wait.queued as f64;
    }
    let sectors = board.sectors.iter().map(|(state, n)| (vec![("state", state.to_string())], f64::from(*n)));
    let mut workers: BTreeMap<Labels, f64> = BTreeMap::new();
    for worker in &board.workers {
        let connected = if worker.connected { "yes" } else { "no" };
        let labels = vec![("class", worker.class.to_string()), ("connected", connected.into())];
        *workers.entry(labels).or_default() += 1.0;
    }
    let all = |values: BTreeMap<Labels, f64>| values.into_iter().collect::<Vec<_>>();
    vec![
        ("queued_tasks", "Tasks that wait for a worker, or for their turn in a window of one", all(queued)),
        ("waiting_tasks", "Queued tasks by what keeps the first of their kind and proof", all(reasons)),
        ("sectors", "Sectors by state", sectors.collect()),
        ("workers", "Workers that are not forgotten", all(workers)),
    ]
}
