//! Which messages are said twice or late, how often, and by how much. None that its protocol counts on being in order.

use sp_proto::v1;
use sp_proto::v1::index_fact::Body as Fact;
use sp_proto::v1::index_scheduler_message::Body as ToIndex;
use sp_proto::v1::index_worker_command::Body as FromIndex;
use sp_proto::v1::index_worker_message::Body as WorkerToIndex;
use sp_proto::v1::worker_command::Body as Command;
use sp_proto::v1::worker_message::Body as Said;

/// What may happen to a message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habit {
    pub(super) twice: &'static str,
    pub(super) twice_percent: u64,
    pub(super) twice_ms: u64,
    pub(super) late: &'static str,
    pub(super) late_percent: u64,
    pub(super) late_ms: u64,
}

const fn twice(twice: &'static str, twice_percent: u64, twice_ms: u64) -> Habit {
    Habit { twice, twice_percent, twice_ms, late: "", late_percent: 0, late_ms: 0 }
}

const fn and_late(habit: Habit, late: &'static str, late_percent: u64, late_ms: u64) -> Habit {
    Habit { late, late_percent, late_ms, ..habit }
}

/// A worker to the scheduler.
pub(super) fn of_worker(message: &v1::WorkerMessage) -> Habit {
    match message.body {
        Some(Said::Result(_)) => and_late(twice("result twice", 25, 5_000), "result late", 15, 3_000),
        _ => Habit::default(),
    }
}

/// The scheduler to a worker.
pub(super) fn of_command(message: &v1::WorkerCommand) -> Habit {
    match message.body {
        Some(Command::Assign(_)) => and_late(twice("assignment twice", 15, 2_000), "assignment late", 8, 1_000),
        Some(Command::Cancel(_)) => twice("cancel twice", 15, 5_000),
        Some(Command::ResultAck(_)) => {
            and_late(twice("acknowledgement twice", 20, 3_000), "acknowledgement late", 10, 2_000)
        }
        _ => Habit::default(),
    }
}

/// A worker to the index. What an attempt made may be declared again at any time: its end makes that void.
pub(super) fn of_declaration(message: &v1::IndexWorkerMessage) -> Habit {
    match &message.body {
        Some(WorkerToIndex::Declare(declare)) if declare.attempt.is_some() => twice("declaration twice", 20, 3_000),
        Some(WorkerToIndex::DeleteDone(_)) => twice("delete done twice", 20, 2_000),
        _ => Habit::default(),
    }
}

/// The index to a worker.
pub(super) fn of_index_command(message: &v1::IndexWorkerCommand) -> Habit {
    match message.body {
        Some(FromIndex::Fence(_)) => and_late(twice("fence twice", 20, 5_000), "fence late", 10, 3_000),
        Some(FromIndex::DeclareAck(_)) => twice("declaration acknowledged twice", 10, 1_000),
        Some(FromIndex::Delete(_)) => twice("delete twice", 15, 1_000),
        _ => Habit::default(),
    }
}

/// The scheduler to the index.
pub(super) fn of_order(message: &v1::IndexSchedulerMessage) -> Habit {
    match message.body {
        Some(ToIndex::Reserve(_)) => twice("reservation twice", 20, 3_000),
        Some(ToIndex::Fence(_)) => twice("fence twice", 20, 5_000),
        Some(ToIndex::Delete(_)) => twice("delete twice", 15, 1_000),
        _ => Habit::default(),
    }
}

/// The index to the scheduler. Facts of stores and replicas stay in order.
pub(super) fn of_fact(message: &v1::IndexFact) -> Habit {
    match message.body {
        Some(Fact::ReserveReply(_)) => and_late(twice("reserved twice", 20, 3_000), "reserved late", 10, 2_000),
        Some(Fact::DeleteDone(_)) => twice("delete done twice", 20, 2_000),
        _ => Habit::default(),
    }
}
