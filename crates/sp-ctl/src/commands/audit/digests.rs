//! Reads every file whole and compares it with its manifest.

use std::time::Duration;

use sp_sectors::{ScrubStep, Scrubbed, Store};
use sp_types::ReplicaId;

use super::finding::{Fault, Finding};
use super::paths::Looked;
use crate::error::CommandError;

/// Read with one step.
const RUN_BYTES: u64 = 8 << 20;

/// What is damaged on these paths. A publish shows the new file before its manifest: what is wrong is read once more.
pub(super) async fn read_whole(looked: &[Looked], pause: Duration) -> Result<Vec<Finding>, CommandError> {
    let whole = |path: &Looked| {
        let there = path.seen.iter().filter(|seen| seen.there_bytes.is_some());
        there.map(|seen| (path.store.clone(), seen.info.id.clone())).collect::<Vec<_>>()
    };
    let mut open: Vec<(Store, ReplicaId)> = looked.iter().flat_map(whole).collect();
    let mut findings = Vec::new();
    for last in [false, true] {
        if last && !open.is_empty() {
            tokio::time::sleep(pause).await;
        }
        let reading = std::mem::take(&mut open);
        let found = tokio::task::spawn_blocking(move || reading.into_iter().filter_map(damaged).collect::<Vec<_>>());
        for (again, finding) in found.await.map_err(|error| CommandError::failed(error.to_string()))? {
            open.push(again);
            findings.extend(finding.into_iter().filter(|_| last));
        }
    }
    Ok(findings)
}

type Damaged = ((Store, ReplicaId), Vec<Finding>);

/// What is wrong with a replica; none if nothing is, or if it is not there any more.
fn damaged((store, replica): (Store, ReplicaId)) -> Option<Damaged> {
    let mut scrub = store.scrub(replica.clone(), RUN_BYTES);
    let faults = loop {
        match scrub.step() {
            ScrubStep::Read(_) => {}
            ScrubStep::Done(Scrubbed::Faulty(faults)) => break faults,
            ScrubStep::Done(Scrubbed::Sound | Scrubbed::Adopted(_) | Scrubbed::Unkept | Scrubbed::Gone) => return None,
        }
    };
    let place = store.replica_path(replica.sector, replica.kind).display().to_string();
    let finding = |fault: &sp_sectors::ScrubFault| {
        let finding = Finding::at(Fault::Damaged, replica.store.as_str(), &place, fault.to_string());
        finding.of(replica.sector, replica.kind)
    };
    let findings = faults.iter().map(finding).collect();
    Some(((store, replica), findings))
}
