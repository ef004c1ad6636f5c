//! What must hold at the end of a run. `unfinished` is about time, `wrong` about truth.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sp_proto::v1;
use sp_sectors::{Disk, MemDisk, Store};
use sp_types::{FileKind, ReplicaInfo, SectorId};

use crate::fake::{Made, Seal, is_valid, unsealed_of};
use crate::operator::View;
use crate::piece;
use crate::process::{DATA_DIR, MINER};

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
