//! The small model of the cluster that steps are planned on: who is up, what operators decided, how many sectors there are.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use sp_sched_core::Assigner;
use sp_sched_core::model::WorkerRow;
use sp_types::{TaskKind, WorkerId};

use crate::world::Faults;

/// Workers: their names, hosts, and what they do is laid down in `apply`.
pub(crate) const SEATS: usize = 5;
/// Sectors of one sequence at most.
const SECTORS: u64 = 8;
/// Jumps of the clock in one sequence: together they stay below the day after which workers are forgotten.
const JUMPS: u32 = 10;
/// Kinds that operators may switch.
const SWITCHED: [TaskKind; 5] =
    [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit2, TaskKind::DataCid];

/// A worker as the plan sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat {
    pub(crate) up: bool,
    /// Nothing reaches it, and it reaches nobody.
    pub(crate) cut: bool,
    /// It has registered since the scheduler's process started.
    pub(crate) known: bool,
    pub(crate) cordoned: bool,
    pub(crate) draining: bool,
    pub(crate) finishes: bool,
    pub(crate) disabled: BTreeSet<TaskKind>,
}

/// The cluster as the plan sees it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) assigner: Assigner,
    pub(crate) seats: Vec<Seat>,
    pub(crate) scheduler: bool,
    pub(crate) index: bool,
    pub(crate) sectors: u64,
    /// Files that were lost and tasks that were aborted: they may cost a sector.
    pub(crate) losses: u32,
    pub(crate) jumps: u32,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wait(u64),
    Pledge(u32),
    Piece,
    /// Somebody wants to know what a file comes to.
    DataCid,
    /// One of those who wanted to know asks again.
    AskDataCid(usize),
    Unseal(u64),
    Release(u64),
    WindowPost,
    Abort {
        pick: usize,
        whole: bool,
    },
    Priority {
        pick: usize,
        priority: i64,
    },
    Kill(usize),
    Start(usize),
    /// The whole machine of this worker boots again.
    Reboot(usize),
    /// The connection breaks, and the scheduler is told.
    Cut(usize),
    /// The connection breaks, and nobody is told.
    Silence(usize),
    Mend(usize),
    Cordon(usize, bool),
    Drain(usize, bool),
    Enable(usize, TaskKind, bool),
    Stop(usize),
    Forget(usize),
    SchedulerDies,
    SchedulerStarts,
    IndexLost,
    IndexBack,
    /// One of the last messages comes once more.
    Again(usize),
    /// A worker brings a result that is not its own.
    Lie {
        seat: usize,
        pick: usize,
        good: bool,
    },
    /// A disk loses a file.
    LoseFile(usize),
    Space(usize, u64),
    Cores(usize, u32),
    ClockJumps(i64),
    Trouble(Faults),
}

impl Seat {
    /// What is durable of the decisions about it; none when there are none.
    pub(crate) fn row(&self, worker: WorkerId) -> Option<WorkerRow> {
        let row = WorkerRow {
            worker: worker.clone(),
            cordoned: self.cordoned,
            draining: self.draining,
            finish_pipelines: self.finishes,
            disabled: {
                let mut kinds: Vec<TaskKind> = self.disabled.iter().copied().collect();
                kinds.sort();
                kinds
            },
        };
        (row != WorkerRow::new(worker)).then_some(row)
    }

    fn hears(&self) -> bool {
        self.up && !self.cut
    }
}

pub(crate) struct Planner;

impl ReferenceStateMachine for Planner {
    type State = Plan;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Plan> {
        let plan = |(seed, assigner)| Plan {
            seed,
            assigner,
            seats: vec![Seat { up: true, known: true, ..Seat::default() }; SEATS],
            scheduler: true,
            index: true,
            sectors: 0,
            losses: 0,
            jumps: 0,
        };
        (any::<u64>(), prop::sample::select(&Assigner::ALL[..])).prop_map(plan).boxed()
    }

    fn transitions(_: &Plan) -> BoxedStrategy<Step> {
        let seat = 0..SEATS;
        let work = prop_oneof![
            12 => (0u64..4_000).prop_map(Step::Wait),
            2 => (4_000u64..90_000).prop_map(Step::Wait),
            4 => (1u32..3).prop_map(Step::Pledge),
            2 => Just(Step::Piece),
            2 => Just(Step::DataCid),
            3 => any::<usize>().prop_map(Step::AskDataCid),
            1 => (0..SECTORS).prop_map(Step::Unseal),
            1 => (0..SECTORS).prop_map(Step::Release),
            1 => Just(Step::WindowPost),
            2 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(pick, whole)| Step::Abort { pick, whole }),
            2 => (any::<usize>(), -5i64..5).prop_map(|(pick, priority)| Step::Priority { pick, priority }),
        ];
        let processes = prop_oneof![
            3 => seat.clone().prop_map(Step::Kill),
            4 => seat.clone().prop_map(Step::Start),
            1 => seat.clone().prop_map(Step::Reboot),
            1 => seat.clone().prop_map(Step::Cut),
            2 => seat.clone().prop_map(Step::Silence),
            3 => seat.clone().prop_map(Step::Mend),
            2 => Just(Step::SchedulerDies),
            4 => Just(Step::SchedulerStarts),
            1 => Just(Step::IndexLost),
            3 => Just(Step::IndexBack),
        ];
        let decisions = prop_oneof![
            2 => (seat.clone(), any::<bool>()).prop_map(|(s, on)| Step::Cordon(s, on)),
            1 => (seat.clone(), any::<bool>()).prop_map(|(s, finish)| Step::Drain(s, finish)),
            2 => (seat.clone(), prop::sample::select(&SWITCHED[..]), any::<bool>())
                .prop_map(|(s, kind, on)| Step::Enable(s, kind, on)),
            1 => seat.clone().prop_map(Step::Stop),
            1 => seat.clone().prop_map(Step::Forget),
        ];
        let faults = (0u64..20, 0u64..20, 0u64..20, 0u64..5, 0u64..50, 0u64..100).prop_map(
            |(refuse_space, chain_fails, verifier_undecided, task_fails, result_twice, forgets)| {
                let faults =
                    Faults { refuse_space, chain_fails, verifier_undecided, task_fails, result_twice, forgets };
                Step::Trouble(faults)
            },
        );
        let trouble = prop_oneof![
            4 => any::<usize>().prop_map(Step::Again),
            3 => (seat.clone(), any::<usize>(), any::<bool>())
                .prop_map(|(seat, pick, good)| Step::Lie { seat, pick, good }),
            1 => any::<usize>().prop_map(Step::LoseFile),
            1 => (seat.clone(), prop::sample::select(&[0u64, 10_000, 1 << 20][..])).prop_map(|(s, n)| Step::Space(s, n)),
            2 => (seat, 1u32..5).prop_map(|(s, cores)| Step::Cores(s, cores)),
            1 => (-600_000i64..600_000).prop_map(Step::ClockJumps),
            1 => faults,
        ];
        prop_oneof![8 => work, 4 => processes, 2 => decisions, 3 => trouble].boxed()
    }

    fn preconditions(plan: &Plan, step: &Step) -> bool {
        let seat = |at: &usize| &plan.seats[*at];
        match step {
            Step::Wait(_) | Step::Space(..) | Step::Cores(..) | Step::Trouble(_) => true,
            Step::Pledge(_) | Step::Piece => plan.scheduler && plan.sectors + 2 <= SECTORS,
            Step::Kill(at) | Step::Reboot(at) => seat(at).up,
            Step::Start(at) => !seat(at).up,
            Step::Cut(at) | Step::Silence(at) => seat(at).hears(),
            Step::Mend(at) => seat(at).up && seat(at).cut,
            Step::Stop(at) => plan.scheduler && seat(at).known && seat(at).hears(),
            Step::Forget(at) => plan.scheduler && seat(at).known && !seat(at).up,
            Step::SchedulerStarts => !plan.scheduler,
            Step::IndexLost => plan.scheduler && plan.index,
            Step::IndexBack => plan.scheduler && !plan.index,
            Step::ClockJumps(_) => plan.jumps < JUMPS,
            _ => plan.scheduler,
        }
    }

    fn apply(mut plan: Plan, step: &Step) -> Plan {
        let scheduler = plan.scheduler;
        match step {
            Step::Pledge(count) => plan.sectors += u64::from(*count),
            Step::Piece => plan.sectors += 1,
            Step::Abort { whole: true, .. } | Step::LoseFile(_) => plan.losses += 1,
            Step::Kill(at) => plan.seats[*at].up = false,
            Step::Start(at) => plan.start(*at),
            Step::Reboot(at) => plan.host_of(*at).into_iter().for_each(|at| plan.start(at)),
            Step::Cut(at) | Step::Silence(at) => plan.seats[*at].cut = true,
            Step::Mend(at) => {
                plan.seats[*at].cut = false;
                plan.seats[*at].known |= scheduler;
            }
            Step::Cordon(at, on) => plan.decide(*at, |seat| {
                (seat.cordoned, seat.draining, seat.finishes) = (*on, false, false);
            }),
            Step::Drain(at, finish) => plan.decide(*at, |seat| {
                (seat.cordoned, seat.draining, seat.finishes) = (true, true, *finish);
            }),
            Step::Enable(at, kind, on) => plan.decide(*at, |seat| match on {
                true => drop(seat.disabled.remove(kind)),
                false => drop(seat.disabled.insert(*kind)),
            }),
            Step::Forget(at) => plan.seats[*at] = Seat { cut: plan.seats[*at].cut, ..Seat::default() },
            Step::SchedulerDies => {
                plan.scheduler = false;
                plan.seats.iter_mut().for_each(|seat| seat.known = false);
            }
            Step::SchedulerStarts => {
                (plan.scheduler, plan.index) = (true, true);
                plan.seats.iter_mut().for_each(|seat| seat.known = seat.hears());
            }
            Step::IndexLost => plan.index = false,
            Step::IndexBack => plan.index = true,
            Step::ClockJumps(_) => plan.jumps += 1,
            _ => {}
        }
        plan
    }
}

impl Plan {
    fn start(&mut self, at: usize) {
        let scheduler = self.scheduler;
        let seat = &mut self.seats[at];
        seat.up = true;
        seat.known |= scheduler && !seat.cut;
    }

    fn decide(&mut self, at: usize, decision: impl FnOnce(&mut Seat)) {
        if self.seats[at].known {
            decision(&mut self.seats[at]);
        }
    }

    /// Workers on the same machine: two and two share one.
    pub(crate) fn host_of(&self, at: usize) -> Vec<usize> {
        (0..SEATS).filter(|other| other / 2 == at / 2).collect()
    }
}
