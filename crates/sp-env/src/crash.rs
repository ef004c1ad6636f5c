//! Named points where a test may kill the process: before and after every durable step.
//!
//! `SP_CRASH_AT=name=TOKEN[,name=TOKEN..]`: reaching the point removes the file TOKEN and, if it was there, kills the
//! process with SIGKILL's effect (abort, no destructors). The token bounds the faults: one file, one crash.

use std::sync::OnceLock;

macro_rules! crash_points {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A point where a crash must lose nothing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CrashPoint {
            $($(#[$doc])* $name,)+
        }

        impl CrashPoint {
            /// Every point.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in `SP_CRASH_AT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

crash_points! {
    /// Scheduler: a batch is decided, not yet durable.
    SchedulerBeforePersist = "scheduler-before-persist",
    /// Scheduler: a batch is durable, nothing sent yet.
    SchedulerAfterPersist = "scheduler-after-persist",
    /// Scheduler: about to ask the index for a reservation.
    SchedulerBeforeReserve = "scheduler-before-reserve",
    /// Scheduler: the grant is durable, the worker does not know it yet.
    SchedulerBeforeAssign = "scheduler-before-assign",
    /// Scheduler: a result has arrived, nothing done with it.
    SchedulerResultReceived = "scheduler-result-received",
    /// Scheduler: a proof was verified, the verdict not yet acted on.
    SchedulerVerified = "scheduler-verified",
    /// Scheduler: about to acknowledge a result.
    SchedulerBeforeAck = "scheduler-before-ack",
    /// Index: a declaration has arrived, not durable.
    IndexBeforeDeclare = "index-before-declare",
    /// Index: a declaration is durable, not acknowledged.
    IndexAfterDeclare = "index-after-declare",
    /// Index: a reservation is decided, not durable.
    IndexBeforeReserve = "index-before-reserve",
    /// Index: a reservation is durable, not answered.
    IndexAfterReserve = "index-after-reserve",
    /// Index: a fence is decided, not durable.
    IndexBeforeFence = "index-before-fence",
    /// Index: a fence is durable, not passed on.
    IndexAfterFence = "index-after-fence",
    /// Worker: an assignment has arrived.
    WorkerAssigned = "worker-assigned",
    /// Worker: inputs are here, the executor has not started.
    WorkerFetched = "worker-fetched",
    /// Worker: the executor has answered, its answer is not recorded.
    WorkerAnswered = "worker-answered",
    /// Worker: the executor is done, nothing published.
    WorkerBeforePublish = "worker-before-publish",
    /// Worker: some outputs are renamed into place, some not.
    WorkerMidPublish = "worker-mid-publish",
    /// Worker: outputs published, not declared.
    WorkerAfterPublish = "worker-after-publish",
    /// Worker: the result is durable, not sent.
    WorkerResultSaved = "worker-result-saved",
    /// Worker: the result was sent, not acknowledged.
    WorkerResultSent = "worker-result-sent",
    /// Executor: a request has arrived.
    ExecutorStarted = "executor-started",
    /// Executor: the work is done, not answered.
    ExecutorFinished = "executor-finished",
}

/// True when this process is to crash at `point` now; consumes the token.
// A token is a real file of the test that runs this process, not of the service.
#[allow(clippy::disallowed_methods)]
pub fn crash_requested(point: CrashPoint) -> bool {
    static WANTED: OnceLock<Vec<(String, String)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let list = std::env::var("SP_CRASH_AT").unwrap_or_default();
        let pairs = list.split(',').filter_map(|item| item.split_once('='));
        pairs.map(|(name, token)| (name.to_owned(), token.to_owned())).collect()
    });
    wanted.iter().any(|(name, token)| name == point.name() && std::fs::remove_file(token).is_ok())
}

/// Kills this process here if a test asked for it.
pub fn crash_point(point: CrashPoint) {
    if crash_requested(point) {
        eprintln!("crash point {}", point.name());
        std::process::abort();
    }
}
