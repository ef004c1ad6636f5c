//! An executor that writes a few bytes where the real one computes, counts its starts, and stops where the test says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use sp_env::BoxFuture;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{
    AddPieceOutput, ExecVanilla, Failure, NoOutput, Piece, PreCommit2Output, ProofOutput, ReplicaUpdateOutput,
};
use sp_sectors::{Disk, MemDisk, read_all};
use sp_worker::executor::{Answer, ExecError, Executor, Job};
use tokio::sync::watch;

/// A vanilla proof that no check passes.
pub const FORGED: &[u8] = b"forged";

/// What of an update's cache FRU removes.
pub const TREE_D: &str = "sc-02-data-tree-d.dat";

pub struct FakeExecutor {
    disk: MemDisk,
    starts: Mutex<BTreeMap<&'static str, u32>>,
    /// While false, a request waits after it was counted.
    open: watch::Sender<bool>,
}

impl FakeExecutor {
    pub fn new(disk: MemDisk) -> Self {
        Self { disk, starts: Mutex::default(), open: watch::Sender::new(true) }
    }

    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// After a crash nobody holds it.
    pub fn revive(&self) {
        self.release();
    }

    pub fn starts(&self, op: &str) -> u32 {
        self.starts.lock().unwrap().get(op).copied().unwrap_or(0)
    }
}

impl Executor for FakeExecutor {
    fn run(&self, job: Job) -> BoxFuture<Result<Answer, ExecError>> {
        let op = job.request.op.clone().unwrap();
        *self.starts.lock().unwrap().entry(name(&op)).or_default() += 1;
        let (disk, mut open) = (self.disk.clone(), self.open.subscribe());
        Box::pin(async move {
            tokio::select! {
                _ = open.wait_for(|open| *open) => match pretend(&disk, &op) {
                    Outcome::Failed(failure) => Err(ExecError::Refused(failure)),
                    outcome => Ok(outcome.into()),
                },
                () = job.cancel.cancelled() => Err(ExecError::Cancelled),
            }
        })
    }
}

fn name(op: &Op) -> &'static str {
    match op {
        Op::AddPiece(_) => "AP",
        Op::DataCid(_) => "DC",
        Op::PreCommit2(_) => "PC2",
        Op::Commit2(_) => "C2",
        Op::Vanilla(_) => "vanilla",
        Op::CheckVanilla(_) => "check",
        Op::WindowPost(_) => "WDP",
        Op::FinalizeReplicaUpdate(_) => "FRU",
        Op::RegenSectorKey(_) => "GSK",
        Op::Unseal(_) => "UNS",
        Op::ReadPiece(_) => "read",
        Op::CheckData(_) | Op::CheckReplica(_) => "commitment",
        _ => "other",
    }
}

fn pretend(disk: &MemDisk, op: &Op) -> Outcome {
    match op {
        Op::AddPiece(op) => {
            let data = match op.source.as_str() {
                "" => vec![0; 2048],
                source => read_all(disk, Path::new(source), 1 << 20).unwrap(),
            };
            write(disk, &op.unsealed, &data);
            Outcome::AddPiece(AddPieceOutput { pieces: vec![], comm_d: vec![1; 32] })
        }
        Op::DataCid(op) => {
            // The data itself, so that the test sees that it was there.
            let data = read_all(disk, Path::new(&op.source), 1 << 20).unwrap();
            Outcome::DataCid(Piece { padded_bytes: op.piece.unwrap().padded_bytes, commitment: data })
        }
        Op::PreCommit2(op) => {
            // In place, as upstream does.
            let file = disk.open_write(Path::new(&op.sealed)).unwrap();
            file.write_at(b"encoded", 0).unwrap();
            file.sync().unwrap();
            write(disk, &format!("{}/p_aux", op.cache), b"aux");
            Outcome::PreCommit2(PreCommit2Output { comm_r: vec![2; 32], comm_d: vec![1; 32] })
        }
        Op::Commit2(op) => {
            let proof = read_all(disk, Path::new(&op.vanilla), 64 << 20).unwrap();
            Outcome::Proof(ProofOutput { proof: proof[..4].to_vec(), self_verified: true })
        }
        Op::Vanilla(op) => vanilla(disk, op),
        Op::ReadCommR(op) => match read_all(disk, &Path::new(&op.cache).join("p_aux"), 100) {
            Ok(p_aux) => Outcome::Data(p_aux),
            Err(_) => Outcome::Failed(Failure { code: "SP-FILE-MISSING".to_owned(), message: "no p_aux".to_owned() }),
        },
        Op::CheckVanilla(op) => Outcome::Valid(op.vanilla != FORGED),
        Op::WindowPost(op) => Outcome::Proof(ProofOutput { proof: op.vanilla.concat(), self_verified: true }),
        Op::ReplicaUpdate(op) => {
            let old = [&op.sealed, &op.unsealed].map(|path| read_all(disk, Path::new(path), 1 << 20).unwrap());
            write(disk, &op.update, &old.concat());
            disk.create_dir_all(Path::new(&op.update_cache)).unwrap();
            for name in ["p_aux", TREE_D] {
                write(disk, &format!("{}/{name}", op.update_cache), name.as_bytes());
            }
            Outcome::ReplicaUpdate(ReplicaUpdateOutput { comm_r: vec![4; 32], comm_d: vec![3; 32] })
        }
        Op::FinalizeReplicaUpdate(op) => {
            disk.remove_file(&Path::new(&op.update_cache).join(TREE_D)).unwrap();
            Outcome::None(NoOutput {})
        }
        Op::RegenSectorKey(op) => {
            // What it goes by, so that the test sees that it was there.
            let p_aux = read_all(disk, &Path::new(&op.cache).join("p_aux"), 100).unwrap();
            write(disk, &op.sealed, &p_aux);
            Outcome::None(NoOutput {})
        }
        Op::Unseal(op) => {
            let from = if op.update.is_empty() { &op.sealed } else { &op.update };
            write(disk, &op.unsealed, &read_all(disk, Path::new(from), 1 << 20).unwrap());
            Outcome::None(NoOutput {})
        }
        Op::ReadPiece(op) => {
            // Padding and all: the test knows no Fr32.
            let file = read_all(disk, Path::new(&op.unsealed), 1 << 20).unwrap();
            let start = (op.offset / 127 * 128) as usize;
            Outcome::Data(file[start..start + op.size_bytes as usize].to_vec())
        }
        Op::CheckData(op) => commitment(disk, &op.unsealed, &op.comm_d),
        Op::CheckReplica(op) => commitment(disk, &op.sealed, &op.comm_r),
        _ => Outcome::None(NoOutput {}),
    }
}

/// The first 32 bytes of a file are its commitment.
fn commitment(disk: &MemDisk, path: &str, known: &[Vec<u8>]) -> Outcome {
    let bytes = read_all(disk, Path::new(path), 1 << 20).unwrap();
    match known.is_empty() || known.iter().any(|known| bytes.starts_with(known)) {
        true => Outcome::None(NoOutput {}),
        false => {
            let message = format!("{path} has another commitment");
            Outcome::Failed(Failure { code: "SP-DIGEST-MISMATCH".to_owned(), message })
        }
    }
}

/// The replica's bytes. One that begins with 32 equal bytes has these for its commitment and answers for no other.
fn vanilla(disk: &MemDisk, op: &ExecVanilla) -> Outcome {
    let replica = read_all(disk, Path::new(&op.sealed), 1 << 20).unwrap();
    match replica.first_chunk::<32>() {
        Some(named) if *named == [named[0]; 32] && *named != *op.comm_r => {
            let message = format!("{} is of another replica", op.sealed);
            Outcome::Failed(Failure { code: "SP-DIGEST-MISMATCH".to_owned(), message })
        }
        _ => Outcome::Data(replica),
    }
}

fn write(disk: &MemDisk, path: &str, bytes: &[u8]) {
    let file = disk.create_new(Path::new(path)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
}
