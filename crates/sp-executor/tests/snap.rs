//! A snap as a worker has it done: one request after the other, at 2 KiB, with paths for everything.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use sp_executor::{Options, execute};
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{
    ExecAddPiece, ExecFinalize, ExecFinalizeReplicaUpdate, ExecPreCommit1, ExecPreCommit2, ExecProveReplicaUpdate1,
    ExecProveReplicaUpdate2, ExecRegenSectorKey, ExecReplicaUpdate, ExecRequest, ExecUnseal, ExecVanilla, Failure,
    PieceToPack, PreCommit2Output, ReplicaUpdateOutput,
};
use tempfile::TempDir;

const TICKET: [u8; 32] = [1; 32];

struct Sector {
    dir: TempDir,
    /// Commitments before and after.
    old: PreCommit2Output,
    new: ReplicaUpdateOutput,
}

fn run(op: Op) -> Result<Outcome, Failure> {
    let request = ExecRequest { seal_proof: 5, miner: 1000, sector: 3, op: Some(op), ..Default::default() };
    execute(Options::default(), &request)
}

fn text(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

impl Sector {
    /// A finalised sector of zeros, and an update of it with data.
    fn snapped() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| text(dir.path(), name);
        let pledge = ExecAddPiece { unsealed: path("zeros"), ..Default::default() };
        let Ok(Outcome::AddPiece(zeros)) = run(Op::AddPiece(pledge)) else { panic!("no AP") };
        let (sealed, cache) = (path("sealed"), path("cache"));
        let pc1 = ExecPreCommit1 {
            ticket: TICKET.to_vec(),
            pieces: zeros.pieces,
            unsealed: path("zeros"),
            sealed: sealed.clone(),
            cache: cache.clone(),
        };
        let Ok(Outcome::PreCommit1(labelled)) = run(Op::PreCommit1(pc1)) else { panic!("no PC1") };
        let pc2 = ExecPreCommit2 { phase1: labelled.phase1, sealed, cache: cache.clone() };
        let Ok(Outcome::PreCommit2(old)) = run(Op::PreCommit2(pc2)) else { panic!("no PC2") };
        run(Op::Finalize(ExecFinalize { cache: cache.clone() })).unwrap();

        fs::write(dir.path().join("piece"), [7; 1000]).unwrap();
        let piece = PieceToPack { data_bytes: 1000, padded_bytes: 1024 };
        let add = ExecAddPiece { source: path("piece"), pieces: vec![piece], unsealed: path("unsealed") };
        let Ok(Outcome::AddPiece(data)) = run(Op::AddPiece(add)) else { panic!("no AP") };
        let update = ExecReplicaUpdate {
            pieces: data.pieces,
            unsealed: path("unsealed"),
            sealed: path("sealed"),
            cache,
            update: path("update"),
            update_cache: path("update-cache"),
        };
        let Ok(Outcome::ReplicaUpdate(new)) = run(Op::ReplicaUpdate(update)) else { panic!("no RU") };
        assert_eq!(new.comm_d, data.comm_d);
        Self { dir, old, new }
    }

    fn path(&self, name: &str) -> String {
        text(self.dir.path(), name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn prove_1(&self) -> Result<Outcome, Failure> {
        run(Op::ProveReplicaUpdate1(ExecProveReplicaUpdate1 {
            comm_r_old: self.old.comm_r.clone(),
            comm_r_new: self.new.comm_r.clone(),
            comm_d_new: self.new.comm_d.clone(),
            sealed: self.path("sealed"),
            cache: self.path("cache"),
            update: self.path("update"),
            update_cache: self.path("update-cache"),
            vanilla: self.path("vanilla"),
        }))
    }

    fn prove_2(&self, vanilla: &str) -> Result<Outcome, Failure> {
        run(Op::ProveReplicaUpdate2(ExecProveReplicaUpdate2 {
            // The other way round: what is wrong is noticed before anything is proven.
            comm_r_old: self.new.comm_r.clone(),
            comm_r_new: self.old.comm_r.clone(),
            comm_d_new: self.new.comm_d.clone(),
            vanilla: self.path(vanilla),
        }))
    }
}

#[test]
fn a_snap_runs_from_its_data_to_its_trimmed_cache_and_back() {
    let sector = Sector::snapped();
    assert!(matches!(sector.prove_1(), Ok(Outcome::None(_))));
    assert!(fs::read(sector.file("vanilla")).unwrap().starts_with(b"SPUPDAT1"));
    assert_eq!(sector.prove_1().unwrap_err().code, "SP-EXECUTOR-FAILED", "it overwrites nothing");
    assert_eq!(sector.prove_2("vanilla").unwrap_err().code, "SP-BAD-REQUEST");
    assert_eq!(sector.prove_2("nowhere").unwrap_err().code, "SP-FILE-MISSING");
    run(Op::FinalizeReplicaUpdate(ExecFinalizeReplicaUpdate { update_cache: sector.path("update-cache") })).unwrap();
    assert!(!sector.file("update-cache/sc-02-data-tree-d.dat").exists());

    let unseal = ExecUnseal {
        comm_d: sector.new.comm_d.clone(),
        sealed: sector.path("sealed"),
        cache: sector.path("cache"),
        scratch: sector.path("scratch"),
        unsealed: sector.path("out"),
        update: sector.path("update"),
        ..Default::default()
    };
    run(Op::Unseal(unseal)).unwrap();
    assert!(fs::read(sector.file("out")).unwrap() == fs::read(sector.file("unsealed")).unwrap());

    let vanilla = ExecVanilla {
        post_proof: "StackedDrgWindow2KiBV1_2".to_owned(),
        randomness: vec![3; 32],
        comm_r: sector.new.comm_r.clone(),
        sealed: sector.path("update"),
        cache: sector.path("update-cache"),
    };
    assert!(matches!(run(Op::Vanilla(vanilla.clone())), Ok(Outcome::Data(_))));
    let other = ExecVanilla { comm_r: sector.old.comm_r.clone(), ..vanilla };
    assert_eq!(run(Op::Vanilla(other)).unwrap_err().code, "SP-DIGEST-MISMATCH");
}

/// The cache that it changes is a copy whose large files are links to a published one.
#[test]
fn a_regenerated_key_replaces_the_cache_and_writes_into_no_link() {
    let sector = Sector::snapped();
    let tree = |dir: &str| sector.file(dir).join("sc-02-data-tree-r-last.dat");
    fs::create_dir(sector.file("copy")).unwrap();
    for name in ["p_aux", "t_aux"] {
        fs::copy(sector.file("cache").join(name), sector.file("copy").join(name)).unwrap();
    }
    fs::hard_link(tree("cache"), tree("copy")).unwrap();
    let before = fs::metadata(tree("cache")).unwrap().modified().unwrap();
    let regen = |sealed: &str, update: &str| {
        run(Op::RegenSectorKey(ExecRegenSectorKey {
            comm_d_new: sector.new.comm_d.clone(),
            unsealed: sector.path("unsealed"),
            update: sector.path(update),
            cache: sector.path("copy"),
            scratch: sector.path(&format!("scratch-{sealed}")),
            sealed: sector.path(sealed),
        }))
    };
    assert_eq!(regen("wrong", "sealed").unwrap_err().code, "SP-DIGEST-MISMATCH");
    assert!(!sector.file("wrong").exists() && sector.file("copy/p_aux").exists());
    regen("key", "update").unwrap();
    assert!(fs::read(sector.file("key")).unwrap() == fs::read(sector.file("sealed")).unwrap());
    assert!(fs::read(tree("copy")).unwrap() == fs::read(tree("cache")).unwrap());
    assert_eq!(fs::metadata(tree("cache")).unwrap().modified().unwrap(), before);
    assert!(!sector.file("scratch-key/cache").exists());
}
