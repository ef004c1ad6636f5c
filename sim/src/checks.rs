//! What must hold at the end of a run. `unfinished` is about time, `wrong` about truth.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sp_proto::v1;
use sp_sectors::{Disk, MemDisk, Store};
use sp_types::{FileKind, ReplicaInfo, SectorId};

use crate::fake::{End, Made, Seal, Start, is_valid, unsealed_of};
use crate::operator::View;
use crate::piece;
use crate::process::{DATA_DIR, MINER};

/// The stages of every sector.
const STAGES: [&str; 6] = ["AP", "PC1", "PC2", "C1", "C2", "FIN"];

/// Disks by the name of their host.
pub type Disks<'a> = BTreeMap<&'a str, &'a MemDisk>;

/// What a finished sector consists of: the unsealed copy is kept where there is data.
fn kept(summary: &v1::SectorSummary) -> &'static [FileKind] {
    match summary.data_bytes {
        0 => &[FileKind::Sealed, FileKind::Cache],
        _ => &[FileKind::Unsealed, FileKind::Sealed, FileKind::Cache],
    }
}

/// What is not done yet: sectors, jobs, reservations, leftovers (laws L5, L9, L11).
pub fn unfinished(view: &View, sectors: usize, disks: &Disks<'_>) -> Vec<String> {
    let mut left = Vec::new();
    if view.sectors.len() < sectors {
        left.push(format!("{} of {sectors} sectors exist", view.sectors.len()));
    }
    for summary in view.sectors.iter().filter_map(|s| s.summary.as_ref()).filter(|s| s.state != "Proving") {
        left.push(format!("sector {} is in state {}: {}", summary.number, summary.state, summary.last_error));
    }
    for job in &view.jobs {
        left.push(format!("job {} is {}: {}", job.task_id, job.state, job.detail));
    }
    for fact in view.stores.iter().filter(|fact| fact.reserved_bytes > 0 || !fact.healthy) {
        let id = fact.store.as_ref().map(|s| s.store.clone()).unwrap_or_default();
        left.push(format!("store {id}: {} bytes reserved, {}", fact.reserved_bytes, fact.unhealthy_reason));
    }
    for sector in view.sectors.iter().filter_map(|s| s.summary.as_ref()) {
        let mut kinds: Vec<_> = view.replicas.iter().filter(|r| r.sector == sector.number).map(|r| r.kind()).collect();
        kinds.sort();
        if kinds != kept(sector).iter().map(|kind| v1::FileKind::from(*kind)).collect::<Vec<_>>() {
            left.push(format!("sector {}: the index knows {kinds:?}", sector.number));
        }
    }
    for (name, disk) in disks {
        for place in ["storage/.sp/work", "storage/.sp/journal", "attempts", "results"] {
            let path = Path::new(DATA_DIR).join(place);
            let found = disk.list(&path).unwrap_or_default();
            left.extend(found.iter().map(|entry| format!("{name}: {} has {}", path.display(), entry.name)));
        }
    }
    left
}

/// What must never be, however long one waits: a result counted twice, a wrong proof, a wrong file, an index that
/// disagrees with the disks (laws L2, L7, L9, L10).
pub fn wrong(view: &View, made: &Made, disks: &Disks<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for sector in &view.sectors {
        wrong.extend(counted_twice(sector));
        wrong.extend(invalid(sector, made));
    }
    let on_disk = replicas_on(disks, &mut wrong);
    let known: BTreeSet<String> = view.replicas.iter().map(|r| key(&ReplicaInfo::try_from(r.clone()))).collect();
    let found: BTreeSet<String> = on_disk.iter().map(|(_, info)| key(&Ok::<_, ()>(info.clone()))).collect();
    wrong.extend(known.difference(&found).map(|r| format!("the index knows {r}, which is on no disk")));
    wrong.extend(found.difference(&known).map(|r| format!("{r} is on a disk, and the index does not know it")));
    for sector in &view.sectors {
        wrong.extend(wrong_files(sector, made, &on_disk));
    }
    wrong
}

/// A stage whose answer is recorded does not run again: not for the attempt that has the record, and for the sector no
/// more often than its failures and the faults of the run account for.
pub fn ran_again(view: &View, starts: &[Start], faults: usize) -> Vec<String> {
    let recorded = starts.iter().filter(|start| start.recorded_before);
    let mut wrong: Vec<String> = recorded.map(|s| format!("ran again although recorded: {s:?}")).collect();
    for sector in view.sectors.iter().filter_map(|s| s.summary.as_ref()) {
        for stage in STAGES {
            let of_stage: Vec<_> = starts.iter().filter(|s| (s.sector, s.stage) == (sector.number, stage)).collect();
            let count = |how: Option<End>| of_stage.iter().filter(|start| start.ended == how).count();
            let answered = count(Some(End::Answered));
            if answered == 0 {
                wrong.push(format!("sector {} is done, and {stage} never answered rightly", sector.number));
            }
            // An answer is lost, or a start is killed, by a fault only.
            if answered + count(None) > 1 + faults {
                wrong.push(format!("sector {}: {stage} ran again under {faults} faults: {of_stage:?}", sector.number));
            }
        }
    }
    wrong
}

fn key<E: std::fmt::Debug>(info: &Result<ReplicaInfo, E>) -> String {
    format!("{info:?}")
}

/// Each edge of the pipeline is taken once: nothing here makes a sector lose its files.
fn counted_twice(sector: &v1::SectorStatusReply) -> Vec<String> {
    let mut taken: BTreeMap<&str, u32> = BTreeMap::new();
    let counts = |event: &str| event.contains(" -> ") || event.ends_with(" accepted");
    for entry in sector.log.iter().filter(|entry| counts(&entry.event)) {
        *taken.entry(&entry.event).or_default() += 1;
    }
    let number = sector.summary.as_ref().map(|s| s.number).unwrap_or_default();
    let repeated = taken.into_iter().filter(|(_, times)| *times > 1);
    repeated.map(|(event, times)| format!("sector {number}: `{event}` {times} times")).collect()
}

fn invalid(sector: &v1::SectorStatusReply, made: &Made) -> Option<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let statement = v1::VerifySeal {
        seal_proof: summary.seal_proof,
        miner: MINER,
        sector: summary.number,
        ticket: sector.ticket.clone(),
        seed: sector.seed.clone(),
        comm_d: sector.comm_d.clone(),
        comm_r: summary.comm_r,
        proof: sector.proof.clone(),
    };
    (!is_valid(made, statement)).then(|| format!("sector {}: its proof is not valid", summary.number))
}

/// Everything on the disks, each replica compared with its manifest.
fn replicas_on(disks: &Disks<'_>, wrong: &mut Vec<String>) -> Vec<(PathBuf, ReplicaInfo)> {
    let mut found = Vec::new();
    for (name, disk) in disks {
        let root = Path::new(DATA_DIR).join("storage");
        let disk: Arc<dyn Disk> = Arc::new((*disk).clone());
        if disk.metadata(&root).is_err() {
            continue;
        }
        match Store::open(disk, &root, &BTreeSet::new()).and_then(|store| Ok((store.replicas()?, store))) {
            Ok((replicas, store)) => {
                for info in replicas {
                    if let Err(error) = store.verify(&info.id) {
                        wrong.push(format!("{name}: {} of {}: {error}", info.id.kind, info.id.sector));
                    }
                    found.push((PathBuf::from(name), info));
                }
            }
            Err(error) => wrong.push(format!("{name}: its store cannot be read: {error}")),
        }
    }
    found
}

/// The files are those that follow from the ticket.
fn wrong_files(sector: &v1::SectorStatusReply, made: &Made, on_disk: &[(PathBuf, ReplicaInfo)]) -> Vec<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let id = SectorId { miner: MINER, number: summary.number };
    let Some(seal) = made.find(&summary.comm_r) else {
        return vec![format!("{id}: nobody made a replica with its comm_r")];
    };
    let mut wrong = Vec::new();
    for kind in kept(&summary).iter().copied() {
        let here: Vec<_> = on_disk.iter().filter(|(_, i)| i.id.sector == id && i.id.kind == kind).collect();
        let roots: BTreeSet<_> = here.iter().map(|(_, info)| info.id.root).collect();
        if roots != BTreeSet::from([root_of(&seal, kind)]) {
            wrong.push(format!("{id}: its {kind} is not what its ticket leads to, on {here:?}"));
        }
    }
    wrong
}

/// The root that the right files have.
fn root_of(seal: &Seal, kind: FileKind) -> [u8; 32] {
    let disk = MemDisk::default();
    let path = Path::new("/right");
    let write = |path: &Path, bytes: &[u8]| disk.create_new(path).and_then(|file| file.write_at(bytes, 0));
    let written = match kind {
        FileKind::Unsealed => write(path, &unsealed_of(&piece::data())),
        FileKind::Sealed => write(path, &seal.sealed()),
        _ => disk
            .create_dir_all(path)
            .and_then(|()| seal.finalized_cache().iter().try_for_each(|(name, bytes)| write(&path.join(name), bytes))),
    };
    written.expect("an empty disk takes them");
    sp_sectors::Manifest::of_path(&disk, kind, path).expect("it was just written").root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_again_without_a_fault_is_named() {
        let summary = v1::SectorSummary { number: 1, ..Default::default() };
        let sectors = vec![v1::SectorStatusReply { summary: Some(summary), ..Default::default() }];
        let view = View { sectors, ..View::default() };
        let start = |stage, ended| Start { stage, sector: 1, attempt: "1.1".into(), recorded_before: false, ended };
        let mut starts: Vec<_> = STAGES.iter().map(|stage| start(stage, Some(End::Answered))).collect();
        starts.extend([start("PC1", Some(End::Failed)), start("C2", Some(End::Lied))]);
        assert_eq!(ran_again(&view, &starts, 0), Vec::<String>::new());
        let recorded = Start { recorded_before: true, ..start("AP", Some(End::Failed)) };
        for more in [start("PC2", Some(End::Answered)), start("PC2", None), recorded] {
            let wrong = ran_again(&view, &[&starts[..], &[more]].concat(), 0);
            assert!(wrong.len() == 1 && wrong[0].contains("ran again"), "{wrong:?}");
        }
        assert_eq!(ran_again(&view, &starts[1..], 0).len(), 1, "no AP at all");
    }
}
