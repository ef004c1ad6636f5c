//! The fake stages of a snap, RU to GSK, and UNS out of an update. None is told what the replica before was made from:
//! they find out by the files, as the real ones do, so a foreign one is noticed.

use std::io;
use std::path::Path;

use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{
    ExecFinalizeReplicaUpdate, ExecProveReplicaUpdate1, ExecProveReplicaUpdate2, ExecRegenSectorKey, ExecReplicaUpdate,
    ExecRequest, ExecUnseal, NoOutput, ProofOutput, ReplicaUpdateOutput,
};
use sp_sectors::Disk;

use super::files::{Step, read};
use super::made::Made;
use super::seal::{P_AUX, Seal, T_AUX, TREE_C, TREE_R_LAST, comm_d, comm_r, proof_of};
use super::stages::{Plan, expect, expect_cache, foreign, unsealed_with};
use super::update::{TREE_D, Update, comm_r as update_comm_r};

/// What RU puts into the update's cache.
const CACHE: [&str; 5] = [P_AUX, T_AUX, TREE_C, TREE_D, TREE_R_LAST];
/// What FRU removes of it.
const TRIMMED: [&str; 2] = [TREE_C, TREE_D];
/// What a finalized cache has.
const FINALIZED: [&str; 3] = [P_AUX, T_AUX, TREE_R_LAST];

pub(super) fn replica_update(
    disk: &dyn Disk,
    made: &Made,
    request: &ExecRequest,
    op: &ExecReplicaUpdate,
) -> io::Result<Plan> {
    let before = replica(disk, made, request, &op.sealed)?;
    expect_cache(disk, Path::new(&op.cache), &before, &FINALIZED)?;
    let comm_d = comm_d(&read(disk, Path::new(&op.unsealed))?);
    let piece = op.pieces.first().map(|p| p.commitment.clone()).unwrap_or_default();
    expect("the unsealed file of the update", &comm_d, &piece)?;
    let (update, cache) = (Update { before, comm_d: comm_d.clone() }, Path::new(&op.update_cache));
    let mut steps = vec![Step::Create((&op.update).into(), update.encoded()), Step::MakeDir(cache.to_owned())];
    steps.extend(CACHE.map(|name| Step::Create(cache.join(name), update.cache_file(name))));
    let outcome = Outcome::ReplicaUpdate(ReplicaUpdateOutput { comm_r: update.comm_r(), comm_d });
    let plan = Plan::new(steps, &[&op.update, &op.update_cache], outcome);
    Ok(plan.making(update))
}

pub(super) fn prove_1(
    disk: &dyn Disk,
    made: &Made,
    request: &ExecRequest,
    op: &ExecProveReplicaUpdate1,
) -> io::Result<Plan> {
    let before = replica(disk, made, request, &op.sealed)?;
    expect("comm_r of before", &op.comm_r_old, &before.comm_r())?;
    expect_cache(disk, Path::new(&op.cache), &before, &FINALIZED)?;
    let update = Update { before, comm_d: op.comm_d_new.clone() };
    expect("comm_r of the update", &op.comm_r_new, &update.comm_r())?;
    expect("the update", &read(disk, Path::new(&op.update))?, &update.encoded())?;
    let file = |name: &&str| read(disk, &Path::new(&op.update_cache).join(name));
    CACHE.iter().try_for_each(|name| expect(name, &file(name)?, &update.cache_file(name)))?;
    let steps = vec![Step::Create((&op.vanilla).into(), update.vanilla())];
    Ok(Plan::new(steps, &[&op.vanilla], Outcome::None(NoOutput {})))
}

pub(super) fn prove_2(disk: &dyn Disk, made: &Made, op: &ExecProveReplicaUpdate2) -> io::Result<Plan> {
    let vanilla = read(disk, Path::new(&op.vanilla))?;
    let update = made.update(&op.comm_r_new).ok_or_else(|| foreign("the update that is to be proven"))?;
    expect("comm_r of before", &op.comm_r_old, &update.before.comm_r())?;
    expect("comm_d of the update", &op.comm_d_new, &update.comm_d)?;
    expect("the vanilla proof", &vanilla, &update.vanilla())?;
    Ok(Plan::new(vec![], &[], Outcome::Proof(ProofOutput { proof: proof_of(&vanilla), self_verified: true })))
}

pub(super) fn finalize(
    disk: &dyn Disk,
    made: &Made,
    request: &ExecRequest,
    op: &ExecFinalizeReplicaUpdate,
) -> io::Result<Plan> {
    let cache = Path::new(&op.update_cache);
    let found = read(disk, &cache.join(P_AUX))?;
    let of_sector = made.updates_of(request.miner, request.sector);
    let update = of_sector.into_iter().find(|update| update.cache_file(P_AUX) == found);
    let update = update.ok_or_else(|| foreign("the cache of the update"))?;
    let file = |name: &&str| read(disk, &cache.join(name));
    FINALIZED.iter().try_for_each(|name| expect(name, &file(name)?, &update.cache_file(name)))?;
    let there = TRIMMED.into_iter().filter(|name| disk.metadata(&cache.join(name)).is_ok());
    let steps = there.map(|name| Step::Remove(cache.join(name))).collect();
    Ok(Plan::new(steps, &[&op.update_cache], Outcome::None(NoOutput {})))
}

/// The cache is replaced file by file: in a copy that is linked, writing into one would write into what counts.
pub(super) fn regen_sector_key(
    disk: &dyn Disk,
    made: &Made,
    request: &ExecRequest,
    op: &ExecRegenSectorKey,
) -> io::Result<Plan> {
    let update = updated(disk, made, request, &op.update)?;
    expect("comm_d of the update", &op.comm_d_new, &update.comm_d)?;
    expect("the unsealed file", &comm_d(&read(disk, Path::new(&op.unsealed))?), &update.comm_d)?;
    let cache = Path::new(&op.cache);
    expect_cache(disk, cache, &update.before, &FINALIZED)?;
    let (scratch, before) = (Path::new(&op.scratch).join("labels"), &update.before);
    let mut steps = vec![Step::MakeDir((&op.scratch).into()), Step::Create(scratch.clone(), before.labelled())];
    for name in FINALIZED {
        steps.push(Step::Remove(cache.join(name)));
        steps.push(Step::Create(cache.join(name), before.cache_file(name)));
    }
    steps.extend([Step::Create((&op.sealed).into(), before.sealed()), Step::Remove(scratch)]);
    Ok(Plan::new(steps, &[&op.sealed, &op.cache], Outcome::None(NoOutput {})))
}

/// UNS of a sector whose data lies in its update.
pub(super) fn unseal(disk: &dyn Disk, made: &Made, request: &ExecRequest, op: &ExecUnseal) -> io::Result<Plan> {
    let update = updated(disk, made, request, &op.update)?;
    expect("the sealed file", &read(disk, Path::new(&op.sealed))?, &update.before.sealed())?;
    expect_cache(disk, Path::new(&op.cache), &update.before, &FINALIZED)?;
    expect("comm_d of the update", &op.comm_d, &update.comm_d)?;
    let steps = vec![Step::Create((&op.unsealed).into(), unsealed_with(&op.comm_d)?)];
    Ok(Plan::new(steps, &[&op.unsealed], Outcome::None(NoOutput {})))
}

/// What the sealed file was made from.
fn replica(disk: &dyn Disk, made: &Made, request: &ExecRequest, sealed: &str) -> io::Result<Seal> {
    let found = made.find(&comm_r(&read(disk, Path::new(sealed))?));
    let own = |seal: &Seal| (seal.miner, seal.sector) == (request.miner, request.sector);
    found.filter(own).ok_or_else(|| foreign("the sealed file"))
}

/// What the update file was made from.
fn updated(disk: &dyn Disk, made: &Made, request: &ExecRequest, update: &str) -> io::Result<Update> {
    let found = made.update(&update_comm_r(&read(disk, Path::new(update))?));
    let own = |update: &Update| (update.before.miner, update.before.sector) == (request.miner, request.sector);
    found.filter(own).ok_or_else(|| foreign("the update"))
}

#[cfg(test)]
mod tests {
    use sp_sectors::MemDisk;

    use super::*;
    use crate::fake::seal::unsealed_of;
    use crate::piece;

    fn seal(sector: u64) -> Seal {
        let comm_d = comm_d(&unsealed_of(&[]));
        Seal { miner: 1, sector, ticket: vec![7; 32], comm_d }
    }

    fn write(disk: &MemDisk, path: &str, bytes: &[u8]) {
        disk.create_new(Path::new(path)).and_then(|file| file.write_at(bytes, 0)).expect("room");
    }

    /// A disk with a sealed sector 1, and the replicas of sectors 1 and 2 made.
    fn world() -> (MemDisk, Made) {
        let (disk, made) = (MemDisk::default(), Made::default());
        disk.create_dir_all(Path::new("/cache")).expect("room");
        seal(1).finalized_cache().iter().for_each(|(name, bytes)| write(&disk, &format!("/cache/{name}"), bytes));
        write(&disk, "/sealed", &seal(1).sealed());
        write(&disk, "/foreign", &seal(2).sealed());
        write(&disk, "/unsealed", &unsealed_of(&piece::update()));
        [1, 2].into_iter().for_each(|sector| made.note(seal(sector)));
        (disk, made)
    }

    fn request() -> ExecRequest {
        ExecRequest { miner: 1, sector: 1, ..Default::default() }
    }

    fn update_of(sealed: &str) -> ExecReplicaUpdate {
        let commitment = comm_d(&unsealed_of(&piece::update()));
        ExecReplicaUpdate {
            pieces: vec![sp_proto::v1::Piece { padded_bytes: 2048, commitment }],
            unsealed: "/unsealed".into(),
            sealed: sealed.into(),
            cache: "/cache".into(),
            update: "/update".into(),
            update_cache: "/update-cache".into(),
        }
    }

    #[test]
    fn a_snap_is_proven_and_its_key_comes_back() {
        let (disk, made) = world();
        let plan = replica_update(&disk, &made, &request(), &update_of("/sealed")).expect("its inputs are right");
        plan.begin(&disk).and_then(|()| plan.finish(&disk)).expect("room");
        let update = plan.updated.clone().expect("it makes one");
        let regen = ExecRegenSectorKey {
            comm_d_new: update.comm_d.clone(),
            unsealed: "/unsealed".into(),
            update: "/update".into(),
            cache: "/cache".into(),
            scratch: "/scratch".into(),
            sealed: "/key".into(),
        };
        assert!(regen_sector_key(&disk, &made, &request(), &regen).is_err(), "nobody has finished the update");
        made.note_update(update.clone());
        let op = ExecFinalizeReplicaUpdate { update_cache: "/update-cache".into() };
        let plan = finalize(&disk, &made, &request(), &op).expect("its cache is right");
        plan.begin(&disk).and_then(|()| plan.finish(&disk)).expect("there");
        assert_eq!(disk.list(Path::new("/update-cache")).expect("there").len(), update.finalized_cache().len());
        let plan = regen_sector_key(&disk, &made, &request(), &regen).expect("its inputs are right");
        plan.begin(&disk).and_then(|()| plan.finish(&disk)).expect("room");
        assert_eq!(read(&disk, Path::new("/key")).expect("there"), seal(1).sealed());
    }

    #[test]
    fn a_foreign_or_half_file_is_noticed() {
        let (disk, made) = world();
        let kind = |op| replica_update(&disk, &made, &request(), &op).map(drop).map_err(|error| error.kind());
        assert_eq!(kind(update_of("/sealed")), Ok(()));
        assert_eq!(kind(update_of("/foreign")), Err(io::ErrorKind::InvalidData));
        assert_eq!(
            kind(ExecReplicaUpdate { unsealed: "/sealed".into(), ..update_of("/sealed") }),
            Err(io::ErrorKind::InvalidData)
        );
        disk.remove_file(Path::new("/cache/p_aux")).expect("there");
        write(&disk, "/cache/p_aux", b"half");
        assert_eq!(kind(update_of("/sealed")), Err(io::ErrorKind::InvalidData));
    }
}
