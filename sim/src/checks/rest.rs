//! When a run rests: everything is done, and nothing is left behind (laws L5, L9, L11, L12).

use std::path::Path;

use sp_proto::v1;
use sp_sectors::Disk;
use sp_types::FileKind;

use super::Disks;
use super::files::store_dirs;
use crate::operator::View;
use crate::process::DATA_DIR;
use crate::watch::Watch;

/// What is not done yet: sectors, jobs, reservations, locks, leftovers.
pub fn unfinished(view: &View, sectors: usize, disks: &Disks<'_>, watch: &Watch) -> Vec<String> {
    let mut left = Vec::new();
    if view.sectors.len() < sectors {
        left.push(format!("{} of {sectors} sectors exist", view.sectors.len()));
    }
    for summary in view.sectors.iter().filter_map(|s| s.summary.as_ref()) {
        left.extend(unfinished_sector(summary, view, watch));
    }
    for job in &view.jobs {
        left.push(format!("job {} is {}: {}", job.task_id, job.state, job.detail));
    }
    for fact in view.stores.iter().filter(|fact| fact.reserved_bytes > 0 || !fact.healthy) {
        let id = fact.store.as_ref().map(|s| s.store.clone()).unwrap_or_default();
        left.push(format!("store {id}: {} bytes reserved, {}", fact.reserved_bytes, fact.unhealthy_reason));
    }
    left.extend(watch.holders().into_iter().map(|attempt| format!("the index: {attempt} holds space or files")));
    for (name, disk) in disks {
        let own = [".sp/work", ".sp/owners", ".sp/journal"];
        let of_stores = store_dirs().flat_map(|dir| own.map(|place| dir.join(place)));
        for path in of_stores.chain(["attempts", "results"].map(|place| Path::new(DATA_DIR).join(place))) {
            let found = disk.list(&path).unwrap_or_default();
            left.extend(found.iter().map(|entry| format!("{name}: {} has {}", path.display(), entry.name)));
        }
    }
    left.extend(watch.at_work().into_iter().map(|running| format!("still computes: {running}")));
    left
}

fn unfinished_sector(summary: &v1::SectorSummary, view: &View, watch: &Watch) -> Vec<String> {
    if summary.stopped && watch.was_given_up(summary.number) {
        // Its files stay until an operator decides.
        return vec![];
    }
    if watch.is_removed(summary.number) || summary.state == "Removed" {
        return unfinished_removal(summary, view);
    }
    let mut left = Vec::new();
    let is_cc = summary.data_bytes == 0;
    if summary.state != "Proving" && !(is_cc && summary.state == "Available") {
        left.push(format!("sector {} is in state {}: {}", summary.number, summary.state, summary.last_error));
    }
    let counts = watch.kinds(summary.number);
    let proves: &[FileKind] = match summary.updated {
        true => &[FileKind::Update, FileKind::UpdateCache, FileKind::Cache],
        false => &[FileKind::Sealed, FileKind::Cache],
    };
    if !proves.iter().all(|kind| counts.contains(kind)) {
        left.push(format!("sector {}: it consists of {counts:?}", summary.number));
    }
    let of_sector = view.replicas.iter().filter(|replica| replica.sector == summary.number);
    let mut known: Vec<_> = of_sector.map(v1::Replica::kind).collect();
    known.sort();
    let mut wanted: Vec<_> = counts.iter().map(|kind| v1::FileKind::from(*kind)).collect();
    wanted.sort();
    if known != wanted {
        left.push(format!("sector {}: the index knows {known:?} where {wanted:?} count", summary.number));
    }
    left.extend(view.replicas.iter().filter(|r| r.sector == summary.number && only_seals(&r.store, view)).map(|r| {
        format!("sector {}: its {:?} file is still on {}, which only seals", summary.number, r.kind(), r.store)
    }));
    left
}

fn only_seals(id: &str, view: &View) -> bool {
    let mut stores = view.stores.iter().filter_map(|fact| fact.store.as_ref());
    stores.any(|store| store.store == id && !store.can_store)
}

/// What was to be removed is gone, and so is every file of it.
fn unfinished_removal(summary: &v1::SectorSummary, view: &View) -> Vec<String> {
    let mut left = Vec::new();
    if summary.state != "Removed" {
        left.push(format!("sector {} was removed and is {}: {}", summary.number, summary.state, summary.waiting));
    }
    let replicas = view.replicas.iter().filter(|replica| replica.sector == summary.number);
    left.extend(replicas.map(|r| format!("removed sector {}: {:?} on {}", summary.number, r.kind(), r.store)));
    left
}
