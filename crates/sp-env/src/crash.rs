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
    /// Scheduler: the index has granted a reservation, that is not recorded.
    SchedulerGranted = "scheduler-granted",
    /// Scheduler: the grant is durable, the worker does not know it yet.
    SchedulerBeforeAssign = "scheduler-before-assign",
    /// Scheduler: that a held attempt may compute is decided, its worker does not know it.
    SchedulerBeforeStart = "scheduler-before-start",
    /// Scheduler: which attempts a worker that has come back may keep is durable, the worker waits for the word.
    SchedulerBeforeRegistered = "scheduler-before-registered",
    /// Scheduler: a result has arrived, nothing done with it.
    SchedulerResultReceived = "scheduler-result-received",
    /// Scheduler: that a proof was handed in is durable, nobody was asked whether it is right.
    SchedulerBeforeVerify = "scheduler-before-verify",
    /// Scheduler: a proof was verified, the verdict not yet acted on.
    SchedulerVerified = "scheduler-verified",
    /// Scheduler: about to acknowledge a result.
    SchedulerBeforeAck = "scheduler-before-ack",
    /// Scheduler: that attempts have ended is durable, the index does not know it.
    SchedulerBeforeFence = "scheduler-before-fence",
    /// Scheduler: the chain has answered, that is not recorded.
    SchedulerChainAnswered = "scheduler-chain-answered",
    /// Scheduler: a partition is proven, the chain does not have its proof.
    SchedulerBeforeSubmit = "scheduler-before-submit",
    /// Scheduler: the chain has taken the proof of a partition, nothing is done about it here.
    SchedulerSubmitted = "scheduler-submitted",
    /// Scheduler: what somebody asked for is durable, he was not told.
    SchedulerBeforeReply = "scheduler-before-reply",
    /// Scheduler: a copy is one too many, the index was not told to have it deleted.
    SchedulerBeforeDelete = "scheduler-before-delete",
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
    /// Index: the scheduler has presented all attempts that go on, what others had is not freed.
    IndexPresented = "index-presented",
    /// Index: a replica is to be deleted, its worker was not told.
    IndexDeleteAsked = "index-delete-asked",
    /// Index: a store is taken in, or described anew, not durable.
    IndexBeforeAttach = "index-before-attach",
    /// Index: a store is durable, nobody was told.
    IndexAfterAttach = "index-after-attach",
    /// Index: a replica is gone, not durable.
    IndexBeforeDelete = "index-before-delete",
    /// Index: that a replica is gone is durable, nobody was told.
    IndexAfterDelete = "index-after-delete",
    /// Worker: an assignment has arrived.
    WorkerAssigned = "worker-assigned",
    /// Worker: an assignment is durable, nothing is begun.
    WorkerAssignSaved = "worker-assign-saved",
    /// Worker: it has presented what it holds, and the scheduler has said which attempts go on; none does.
    WorkerRegistered = "worker-registered",
    /// Worker: a part of a piece was written, and is not durable.
    WorkerMidUpload = "worker-mid-upload",
    /// Worker: a piece is whole and durable, who sent it was not told.
    WorkerUploaded = "worker-uploaded",
    /// Worker: a chunk has been written into the work directory, others have not.
    WorkerMidFetch = "worker-mid-fetch",
    /// Worker: a file of another of its stores is here without having been copied, nothing is checked.
    WorkerMidShare = "worker-mid-share",
    /// Worker: inputs are here, the executor has not started.
    WorkerFetched = "worker-fetched",
    /// Worker: a held attempt may compute, which is written down nowhere here, and its executor has not started.
    WorkerReleased = "worker-released",
    /// Worker: the executor has answered, its answer is not recorded.
    WorkerAnswered = "worker-answered",
    /// Worker: the executor is done, nothing published.
    WorkerBeforePublish = "worker-before-publish",
    /// Worker: the record of a publish is durable, nothing is in its place.
    WorkerPublishRecorded = "worker-publish-recorded",
    /// Worker: an output is in its place, its manifest is not.
    WorkerPublishData = "worker-publish-data",
    /// Worker: some outputs are renamed into place, some not.
    WorkerMidPublish = "worker-mid-publish",
    /// Worker: everything is in its place, the record of the publish still there.
    WorkerPublishSwitched = "worker-publish-switched",
    /// Worker: outputs published, not declared.
    WorkerAfterPublish = "worker-after-publish",
    /// Worker: the index knows what was published, the result is not durable.
    WorkerDeclared = "worker-declared",
    /// Worker: the result is durable, not sent.
    WorkerResultSaved = "worker-result-saved",
    /// Worker: the result was sent, not acknowledged.
    WorkerResultSent = "worker-result-sent",
    /// Worker: the result is acknowledged, nothing of the attempt is removed.
    WorkerAcknowledged = "worker-acknowledged",
    /// Worker: the work directory of an attempt that is over is gone, its records are not.
    WorkerMidForget = "worker-mid-forget",
    /// Worker: a replica is to be deleted.
    WorkerBeforeDelete = "worker-before-delete",
    /// Worker: its data is out of its place, its manifest is still there.
    WorkerDeleteAside = "worker-delete-aside",
    /// Worker: its manifest is gone, its data is not freed.
    WorkerDeleteTrash = "worker-delete-trash",
    /// Worker: a replica is deleted, the index was not told.
    WorkerAfterDelete = "worker-after-delete",
    /// Worker: a directory has a `sectorstore.json`, and nothing else of a store.
    WorkerAttachNamed = "worker-attach-named",
    /// Worker: a store is open, and not in `storage.json`.
    WorkerAttachOpened = "worker-attach-opened",
    /// Worker: a store is in `storage.json`, the index was not told.
    WorkerAttachSaved = "worker-attach-saved",
    /// Worker: the index knows of a store, not of all that lies there.
    WorkerMidDeclare = "worker-mid-declare",
    /// Worker: a scrub is between two replicas.
    WorkerMidScrub = "worker-mid-scrub",
    /// Worker: how far a scrub is is durable.
    WorkerScrubSaved = "worker-scrub-saved",
    /// Executor: a request has arrived.
    ExecutorStarted = "executor-started",
    /// Executor: the work is done, not answered.
    ExecutorFinished = "executor-finished",
}

impl CrashPoint {
    /// Those that a sector does not come by on its way from its first byte to its home: paths that are attached, scrubs, and
    /// moves between the paths of one worker.
    pub const STORAGE: &'static [Self] = &[
        Self::IndexBeforeAttach,
        Self::IndexAfterAttach,
        Self::WorkerMidShare,
        Self::WorkerAttachNamed,
        Self::WorkerAttachOpened,
        Self::WorkerAttachSaved,
        Self::WorkerMidDeclare,
        Self::WorkerMidScrub,
        Self::WorkerScrubSaved,
    ];

    /// Those that only a deadline comes by that is proven for the chain.
    pub const PROVING: &'static [Self] = &[Self::SchedulerBeforeSubmit, Self::SchedulerSubmitted];
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
