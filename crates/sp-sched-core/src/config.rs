//! Settings of the scheduler, all of them plain values.

use crate::assigner::Assigner;
use crate::model::UnixMs;
use serde::{Deserialize, Serialize};
use sp_types::{AttemptId, ChainEpoch, Origin, Randomness, RegisteredSealProof, ResourceTable, SectorSize, TaskKind};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What the scheduler goes by. `Config::new` gives the defaults; every field is a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Actor id of the miner.
    pub miner: u64,
    /// Size of its sectors.
    pub sector_size: SectorSize,
    /// Upload tickets are derived from it, so that the core needs no randomness. Keep it secret, and over restarts.
    pub ticket_secret: [u8; 32],
    /// Keep the unsealed copy of sectors with data once they are sealed.
    pub always_keep_unsealed_copy: bool,
    /// FIN runs before the proof of a sector is published, not after.
    pub finalize_early: bool,
    /// Finished files are taken to storage paths only by workers that have them already.
    pub disallow_remote_finalize: bool,
    /// Sealed CC sectors become Available, ready for an update, not Proving.
    pub make_cc_sectors_available: bool,
    /// Let go of the replica before an update once the update counts and an unsealed copy is kept.
    pub release_sector_key: bool,
    /// Sectors being sealed or updated, failed ones included, above which no CC sector is made; 0 is no limit.
    pub max_sealing_sectors: u64,
    /// The same for sectors with data.
    pub max_sealing_sectors_for_deals: u64,
    /// The same for updates.
    pub max_upgrading_sectors: u64,
    /// A lease ends this long after its last renewal.
    pub lease_ms: u64,
    /// An orphan is waited for this part of the work already done, in percent ...
    pub orphan_wait_percent: u64,
    /// ... at least this long ...
    pub orphan_wait_min_ms: u64,
    /// ... and at most this long.
    pub orphan_wait_max_ms: u64,
    /// Failed attempts of one phase before its sector waits for the operator.
    pub retry_limit: u32,
    /// The same for attempts that failed because somebody else was away or full: nothing is wrong with the sector.
    pub soft_retry_limit: u32,
    /// Wait after the first failure; doubles with each further one ...
    pub retry_wait_min_ms: u64,
    /// ... up to this.
    pub retry_wait_max_ms: u64,
    /// The same for publications that the chain refuses.
    pub chain_retry_limit: u32,
    /// A chain call, a reservation or a verification without answer is asked for again after this long.
    pub answer_wait_ms: u64,
    /// Times the verifier may fail to decide before the result counts as failed.
    pub verify_retry_limit: u32,
    /// A phase whose inputs nobody has waits this long for them before it counts as failed.
    pub input_wait_ms: u64,
    /// Times a sector may go back to an earlier phase before it waits for the operator.
    pub go_back_limit: u32,
    /// Attempts of one task side by side, orphans included.
    pub attempts_limit: usize,
    /// Sectors that one pledge may make.
    pub pledge_limit: u32,
    /// PoSt: failed tries of one partition before its request fails.
    pub post_tries: u32,
    /// Window PoSt and check: limit from request to answer.
    pub window_post_limit_ms: u64,
    /// Winning PoSt: the same.
    pub winning_post_limit_ms: u64,
    /// The chain holds elections, and is asked at every epoch whether it was won.
    pub elections: bool,
    /// An epoch that was won: limit from the word to the verified proof.
    pub win_limit_ms: u64,
    /// PoSt: how long to wait while no worker of the kind is connected.
    pub post_worker_wait_ms: u64,
    /// PoSt: limit of one challenge read.
    pub read_timeout_ms: u64,
    /// Window PoSt and check: limit of all reads of a partition together; where less time is left, a part of that.
    #[serde(default = "partition_timeout_ms")]
    pub partition_timeout_ms: u64,
    /// Window PoSt and check: challenge reads of a worker at once; 0: as many as the worker says.
    #[serde(default)]
    pub parallel_reads: u32,
    /// Partitions of the next hours are proven under made-up randomness for at most this part of a worker's time, in percent;
    /// 0: never.
    #[serde(default)]
    pub rehearse_percent: u64,
    /// PoSt requests at once.
    pub post_requests_limit: usize,
    /// Fences kept of tasks that are over.
    pub fences_limit: usize,
    /// Fences of tasks that are over are forgotten after this long.
    pub fence_keep_ms: u64,
    /// Workers that are away are forgotten after this long.
    pub worker_keep_ms: u64,
    /// Rows of the resource table for the whole cluster; a worker's own win over them.
    pub resources: ResourceTable,
    /// How a task is given to one of several workers.
    pub assigner: Assigner,
    /// Seed of `Assigner::Random`.
    pub assigner_seed: u64,
    /// Scheduling windows of a worker.
    pub windows: usize,
    /// The built-in worker's resources count; false is Lotus's ResourceFiltering = disabled.
    pub filter_builtin_resources: bool,
    /// PC1 waits while so many sectors wait for PC2; 0: four for each worker that takes PC2, and two.
    pub pc2_backlog: usize,
    /// A group of PC1 waits so long for more members once its first one could start.
    pub group_fill_ms: u64,
    /// Measured memory counts even where it is more than the table says.
    pub measured_above_table: bool,
    /// Check the laws after every step; with much to look at, after every so many.
    pub check_laws: bool,
    /// Time limits that differ from the defaults.
    pub time_limits_ms: Vec<(TaskKind, u64)>,
}

/// Lotus's PartitionCheckTimeout.
fn partition_timeout_ms() -> u64 {
    20 * MINUTE
}

impl Config {
    /// The defaults for this miner.
    pub fn new(miner: u64, sector_size: SectorSize, ticket_secret: [u8; 32]) -> Self {
        Self {
            miner,
            sector_size,
            ticket_secret,
            always_keep_unsealed_copy: true,
            finalize_early: false,
            disallow_remote_finalize: false,
            make_cc_sectors_available: false,
            release_sector_key: false,
            max_sealing_sectors: 0,
            max_sealing_sectors_for_deals: 0,
            max_upgrading_sectors: 0,
            lease_ms: 15 * SECOND,
            orphan_wait_percent: 5,
            orphan_wait_min_ms: MINUTE,
            orphan_wait_max_ms: 10 * MINUTE,
            retry_limit: 8,
            soft_retry_limit: 100,
            retry_wait_min_ms: SECOND,
            retry_wait_max_ms: 5 * MINUTE,
            chain_retry_limit: 100,
            answer_wait_ms: MINUTE,
            verify_retry_limit: 20,
            input_wait_ms: 30 * MINUTE,
            go_back_limit: 5,
            attempts_limit: 3,
            pledge_limit: 1_000,
            post_tries: 4,
            window_post_limit_ms: 30 * MINUTE,
            winning_post_limit_ms: 5 * MINUTE,
            elections: false,
            win_limit_ms: 20 * SECOND,
            post_worker_wait_ms: 30 * SECOND,
            read_timeout_ms: MINUTE,
            partition_timeout_ms: partition_timeout_ms(),
            parallel_reads: 0,
            rehearse_percent: 0,
            post_requests_limit: 64,
            fences_limit: 10_000,
            fence_keep_ms: 24 * HOUR,
            worker_keep_ms: 24 * HOUR,
            resources: ResourceTable::default(),
            assigner: Assigner::default(),
            assigner_seed: 0,
            windows: 2,
            filter_builtin_resources: true,
            pc2_backlog: 0,
            group_fill_ms: MINUTE,
            measured_above_table: false,
            check_laws: cfg!(debug_assertions),
            time_limits_ms: Vec::new(),
        }
    }

    /// How long one attempt of the task may take on its worker.
    pub fn time_limit_ms(&self, kind: TaskKind) -> u64 {
        if let Some((_, limit)) = self.time_limits_ms.iter().find(|(k, _)| *k == kind) {
            return *limit;
        }
        match kind {
            TaskKind::GenerateWindowPost => self.window_post_limit_ms / 2,
            TaskKind::GenerateWinningPost => self.winning_post_limit_ms / 2,
            TaskKind::PreCommit1 | TaskKind::Unseal => 24 * HOUR,
            TaskKind::PreCommit2 => 12 * HOUR,
            TaskKind::Commit1 | TaskKind::Finalize | TaskKind::FinalizeReplicaUpdate => 2 * HOUR,
            _ => 6 * HOUR,
        }
    }

    /// The proof that new sectors get.
    pub fn seal_proof(&self) -> RegisteredSealProof {
        RegisteredSealProof::v1_1(self.sector_size)
    }

    /// Wait after so many failures.
    pub(crate) fn retry_wait_ms(&self, failures: u32) -> u64 {
        let doubled = self.retry_wait_min_ms.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.retry_wait_max_ms)
    }

    /// How long an orphan that has worked for so long is waited for.
    pub(crate) fn orphan_wait_ms(&self, worked_ms: u64) -> u64 {
        let part = worked_ms / 100 * self.orphan_wait_percent;
        part.max(self.orphan_wait_min_ms).min(self.orphan_wait_max_ms)
    }

    /// Whose the files of a sector are that is made now. That no sector of its number had it before holds also for a state
    /// that was lost or is an older copy: the time is another one then.
    pub(crate) fn origin_of(&self, number: u64, made: UnixMs) -> Option<Origin> {
        let mut params = blake2s_simd::Params::new();
        let name = [number.to_le_bytes(), made.0.to_le_bytes()].concat();
        let hash = params.key(&self.ticket_secret).personal(b"sp-origi").hash_length(8).hash(&name);
        hash.as_bytes().try_into().map(u64::from_le_bytes).ok().and_then(Origin::new)
    }

    /// Randomness for reading sectors that nobody else ever uses, another one each time.
    pub(crate) fn any_challenge(&self, open: ChainEpoch, now: UnixMs) -> Randomness {
        let mut params = blake2s_simd::Params::new();
        let name = [open.0.to_le_bytes(), now.0.to_le_bytes()].concat();
        let hash = params.key(&self.ticket_secret).personal(b"sp-check").hash(&name);
        Randomness::new(*hash.as_array())
    }

    /// What an uploader must show to this attempt: a keyed BLAKE2s, 32 hex digits.
    pub(crate) fn upload_ticket(&self, attempt: AttemptId) -> String {
        let mut params = blake2s_simd::Params::new();
        let hash = params.key(&self.ticket_secret).hash_length(16).hash(attempt.to_string().as_bytes());
        hash.to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::TaskId;

    #[test]
    fn waits_grow_and_are_bounded() {
        let config = Config::new(1000, SectorSize::KiB2, [7; 32]);
        assert_eq!([1, 2, 3, 4].map(|n| config.retry_wait_ms(n)), [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(config.retry_wait_ms(u32::MAX), 300_000);
        assert_eq!(config.orphan_wait_ms(0), 60_000);
        assert_eq!(config.orphan_wait_ms(2 * HOUR), 360_000);
        assert_eq!(config.orphan_wait_ms(24 * HOUR), 600_000);
    }

    #[test]
    fn tickets_differ_by_attempt_and_secret() {
        let config = Config::new(1000, SectorSize::KiB2, [7; 32]);
        let ticket = |number| config.upload_ticket(AttemptId { task: TaskId(1), number });
        assert_eq!((ticket(1).len(), ticket(1)), (32, ticket(1)));
        assert_ne!(ticket(1), ticket(2));
        let other = Config::new(1000, SectorSize::KiB2, [8; 32]);
        assert_ne!(ticket(1), other.upload_ticket(AttemptId { task: TaskId(1), number: 1 }));
    }
}
