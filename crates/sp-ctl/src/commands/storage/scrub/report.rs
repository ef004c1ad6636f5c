//! What scrubs have found: as a table, or as `--json` prints it.

use serde::Serialize;
use sp_proto::v1::{
    Replica, ScrubCheck, ScrubOutcome, ScrubResult, ScrubState, ScrubStorageReply, StoreScrub, WorkerScrub,
};
use sp_types::ByteSize;

use crate::commands::storage::kind_label;
use crate::layout::table;

/// Everything that was told.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) stores: Vec<Store>,
    /// Faults first, then the newest; the oldest sound ones are left out where there are thousands.
    results: Vec<Found>,
    /// Workers that gave no answer.
    pub(super) silent: Vec<String>,
}

/// A path.
#[derive(Debug, Serialize)]
pub(super) struct Store {
    store: String,
    worker: String,
    local_path: String,
    state: &'static str,
    deep: bool,
    /// 0: no limit.
    bytes_per_s: u64,
    started_unix_ms: u64,
    ended_unix_ms: u64,
    files: u64,
    files_done: u64,
    bytes: u64,
    bytes_done: u64,
    detail: String,
    sound: u64,
    faulty: u64,
}

/// What came of a file.
#[derive(Debug, Serialize)]
struct Found {
    store: String,
    miner: u64,
    sector: u64,
    kind: String,
    check: &'static str,
    result: &'static str,
    reason: String,
    /// Name within a cache directory.
    file: String,
    /// The first bad chunk.
    chunk: Option<u64>,
    /// Where it begins.
    offset: u64,
    bad_chunks: u64,
    checked_unix_ms: u64,
}

impl Report {
    pub(super) fn of(reply: ScrubStorageReply) -> Self {
        let ScrubStorageReply { scrubs, silent } = reply;
        let (mut stores, mut results) = (Vec::new(), Vec::new());
        for WorkerScrub { worker, scrub } in scrubs {
            let mut scrub = scrub.unwrap_or_default();
            results.extend(std::mem::take(&mut scrub.results).into_iter().map(found));
            stores.push(store(worker, scrub));
        }
        // Those of several paths; each path's own order is kept.
        results.sort_by_key(|found| found.result != FAULTY);
        Self { stores, results, silent }
    }

    /// Files that are not what they should be.
    pub(super) fn faulty(&self) -> u64 {
        self.stores.iter().map(|store| store.faulty).sum()
    }

    /// For people. Sound files are listed only with `all`.
    pub(super) fn text(&self, all: bool) -> String {
        if self.stores.is_empty() {
            return "no path is attached\n".to_owned();
        }
        let mut text: String = self.stores.iter().map(line).collect();
        let rows: Vec<_> = self.results.iter().filter(|found| all || found.result != SOUND).map(Found::row).collect();
        if !rows.is_empty() {
            text += "\n";
            text += &table(&["Path", "Sector", "Kind", "Check", "Result", "File", "Chunk", "Reason"], &rows);
        }
        text
    }
}

const FAULTY: &str = "faulty";
const SOUND: &str = "sound";

impl Found {
    fn row(&self) -> Vec<String> {
        let chunk = self.chunk.map(|chunk| chunk.to_string()).unwrap_or_default();
        [&self.store, &self.sector.to_string(), &self.kind, self.check, self.result, &self.file, &chunk, &self.reason]
            .map(str::to_owned)
            .to_vec()
    }
}

fn line(of: &Store) -> String {
    let Store { store, local_path, state, files, files_done, bytes_done, detail, sound, faulty, .. } = of;
    let read = ByteSize(*bytes_done);
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    format!(
        "{store} ({local_path}): {state}{detail}, {files_done} of {files} files, {read}; {sound} sound, {faulty} faulty\n"
    )
}

fn store(worker: String, scrub: StoreScrub) -> Store {
    let state = match scrub.state() {
        ScrubState::Unspecified => "never scrubbed",
        ScrubState::Running => "running",
        ScrubState::Stopped => "stopped",
        ScrubState::Done => "done",
    };
    let StoreScrub {
        store,
        local_path,
        state: _,
        deep,
        bytes_per_s,
        started_unix_ms,
        ended_unix_ms,
        replicas,
        replicas_done,
        bytes,
        bytes_done,
        detail,
        sound,
        faulty,
        results: _,
    } = scrub;
    Store {
        store,
        worker,
        local_path,
        state,
        deep,
        bytes_per_s,
        started_unix_ms,
        ended_unix_ms,
        files: replicas,
        files_done: replicas_done,
        bytes,
        bytes_done,
        detail,
        sound,
        faulty,
    }
}

fn found(result: ScrubResult) -> Found {
    let check_name = match result.check() {
        ScrubCheck::Digests => "digests",
        ScrubCheck::Commitment => "commitment",
        ScrubCheck::Unspecified => "unknown",
    };
    let outcome_name = match result.outcome() {
        ScrubOutcome::Sound => SOUND,
        ScrubOutcome::Adopted => "adopted",
        ScrubOutcome::Skipped => "skipped",
        ScrubOutcome::Faulty => FAULTY,
        ScrubOutcome::Unspecified => "unknown",
    };
    let ScrubResult { replica, check: _, outcome: _, reason, file, chunk, offset, bad_chunks, checked_unix_ms } =
        result;
    let Replica { miner, sector, kind, store, .. } = replica.unwrap_or_default();
    Found {
        store,
        miner,
        sector,
        kind: kind_label(kind),
        check: check_name,
        result: outcome_name,
        reason,
        file,
        chunk,
        offset,
        bad_chunks,
        checked_unix_ms,
    }
}

#[cfg(test)]
mod tests {
    use sp_proto::v1::FileKind;

    use super::*;

    #[test]
    fn faults_are_listed_and_the_rest_is_counted() {
        let result = |sector, outcome: ScrubOutcome, chunk, reason: &str| ScrubResult {
            replica: Some(Replica { sector, kind: FileKind::Sealed as i32, store: "a".into(), ..Default::default() }),
            check: ScrubCheck::Digests as i32,
            outcome: outcome as i32,
            chunk,
            reason: reason.into(),
            ..Default::default()
        };
        let results = vec![
            result(7, ScrubOutcome::Sound, None, ""),
            result(3, ScrubOutcome::Faulty, Some(12), "chunk 12 differs"),
        ];
        let scrub = StoreScrub {
            store: "a".into(),
            local_path: "/p".into(),
            state: ScrubState::Stopped as i32,
            replicas: 4,
            replicas_done: 2,
            bytes_done: 2048,
            detail: "it was stopped".into(),
            sound: 1,
            faulty: 1,
            results,
            ..Default::default()
        };
        let reply =
            ScrubStorageReply { scrubs: vec![WorkerScrub { worker: "w".into(), scrub: Some(scrub) }], silent: vec![] };
        let report = Report::of(reply);
        let line = "a (/p): stopped (it was stopped), 2 of 4 files, 2 KiB; 1 sound, 1 faulty\n\n";
        let faulty = "Path  Sector  Kind    Check    Result  Chunk  Reason\n\
                      a     3       Sealed  digests  faulty  12     chunk 12 differs\n";
        assert_eq!(report.text(false), format!("{line}{faulty}"));
        let all = format!("{line}{faulty}a     7       Sealed  digests  sound\n");
        assert_eq!((report.text(true), report.faulty()), (all, 1));
    }
}
