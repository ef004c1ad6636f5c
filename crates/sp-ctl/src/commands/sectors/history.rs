//! The log of a sector in Lotus's form: `<i>.\t<time>:\t[event;sealing.<Event>]\t<json>`.

use serde::Serialize;
use sp_proto::v1::LogEntry;
use sp_types::AttemptId;

use crate::layout::{local_date_time, task_code};

/// An entry, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct LogRow {
    unix_ms: u64,
    event: String,
    attempt: String,
    task: String,
    worker: String,
    took_ms: u64,
    message: String,
}

/// What Lotus puts behind the event; nothing that is not known.
#[derive(Serialize)]
struct Details<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    attempt: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    task: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    worker: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    took_ms: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<LogEntry> for LogRow {
    fn from(entry: LogEntry) -> Self {
        Self {
            unix_ms: entry.unix_ms,
            event: entry.event,
            attempt: entry.attempt.map(|id| AttemptId::from(id).to_string()).unwrap_or_default(),
            task: task_code(entry.task),
            worker: entry.worker_name,
            took_ms: entry.took_ms,
            message: entry.message,
        }
    }
}

impl LogRow {
    /// The line of entry number `at`.
    pub(super) fn line(&self, at: usize) -> String {
        let Self { unix_ms, event, attempt, task, worker, took_ms, message } = self;
        let details = Details { event, attempt, task, worker, took_ms: *took_ms, message };
        // Texts and numbers always become JSON.
        let details = serde_json::to_string(&details).unwrap_or_default();
        format!("{at}.\t{}:\t[event;sealing.{}]\t{details}\n", local_date_time(*unix_ms), lotus_name(event))
    }
}

/// Lotus's name of what happened. Where Lotus has no such event, the words of ours in its spelling.
fn lotus_name(event: &str) -> String {
    let known = match event {
        "created" => "SectorStart",
        "Packing -> PreCommit1" => "SectorPacked",
        "ticket" => "SectorTicket",
        "PreCommit1 -> PreCommit2" => "SectorPreCommit1",
        "PreCommit2 -> WaitSeed" => "SectorPreCommit2",
        "pre-committed" => "SectorPreCommitLanded",
        "WaitSeed -> Committing1" => "SectorSeedReady",
        "C2 accepted" => "SectorCommitted",
        "Committing2 -> FinalizeSector" => "SectorProving",
        "Committing2 -> CommitFinalize" => "SectorProofReady",
        "FinalizeSector -> Proving" | "CommitFinalize -> SubmitCommit" => "SectorFinalized",
        "FinalizeSector -> Available" => "SectorFinalizedAvailable",
        "Proving -> Available" => "SectorMarkForUpdate",
        "Available -> SnapDealsAddPiece" => "SectorStartCCUpdate",
        "UpdateReplica -> ProveReplicaUpdate" => "SectorReplicaUpdate",
        "ProveReplicaUpdate -> FinalizeReplicaUpdate" => "SectorProveReplicaUpdate",
        "WaitSeed -> PreCommitFailed" => "SectorChainPreCommitFailed",
        "SealPreCommit1Failed -> PreCommit1" => "SectorRetrySealPreCommit1",
        "SealPreCommit2Failed -> PreCommit2" => "SectorRetrySealPreCommit2",
        "ComputeProofFailed -> Committing1" | "ComputeProofFailed -> Committing2" => "SectorRetryComputeProof",
        "FinalizeFailed -> FinalizeSector" => "SectorRetryFinalize",
        "AP failed" => "SectorAddPieceFailed",
        "PC1 failed" => "SectorSealPreCommit1Failed",
        "PC2 failed" => "SectorSealPreCommit2Failed",
        "C1 failed" | "C2 failed" => "SectorComputeProofFailed",
        "FIN failed" => "SectorFinalizeFailed",
        _ => return format!("Sector{}", joined_words(event)),
    };
    known.to_owned()
}

/// `UNS asked for` becomes `UNSAskedFor`; of an edge only where it leads.
fn joined_words(event: &str) -> String {
    let event = event.split_once(" -> ").map_or(event, |(_, to)| to);
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    event.split(|letter: char| !letter.is_alphanumeric()).map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::TaskKind;

    #[test]
    fn a_line_is_lotuses() {
        let entry = LogEntry {
            unix_ms: u64::MAX,
            event: "PreCommit1 -> PreCommit2".into(),
            attempt: Some(sp_proto::v1::AttemptId { task: 12, number: 1 }),
            task: TaskKind::PreCommit1 as i32,
            worker_name: "seal-a".into(),
            took_ms: 1500,
            message: String::new(),
        };
        let expected = "3.\tn/a:\t[event;sealing.SectorPreCommit1]\t{\"event\":\"PreCommit1 -> PreCommit2\",\
            \"attempt\":\"12.1\",\"task\":\"PC1\",\"worker\":\"seal-a\",\"took_ms\":1500}\n";
        assert_eq!(LogRow::from(entry).line(3), expected);
    }

    #[test]
    fn events_that_lotus_does_not_have_are_spelt_like_its_own() {
        for (event, name) in [
            ("created", "SectorStart"),
            ("PC1 orphaned", "SectorPC1Orphaned"),
            ("unsealed copy released", "SectorUnsealedCopyReleased"),
            ("Committing1 -> PreCommit1", "SectorPreCommit1"),
            ("WaitSeed -> FailedUnrecoverable", "SectorFailedUnrecoverable"),
        ] {
            assert_eq!(lotus_name(event), name);
        }
    }
}
