//! An executor that writes a few bytes where the real one computes, counts its starts, and stops where the test says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use sp_env::BoxFuture;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{AddPieceOutput, NoOutput, PreCommit2Output, ProofOutput};
use sp_sectors::{Disk, MemDisk, read_all};
use sp_worker::executor::{ExecError, Executor, Job};
use tokio::sync::watch;

/// A vanilla proof that no check passes.
pub const FORGED: &[u8] = b"forged";

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
    fn run(&self, job: Job) -> BoxFuture<Result<Outcome, ExecError>> {
        let op = job.request.op.clone().unwrap();
        *self.starts.lock().unwrap().entry(name(&op)).or_default() += 1;
        let (disk, mut open) = (self.disk.clone(), self.open.subscribe());
        Box::pin(async move {
            tokio::select! {
                _ = open.wait_for(|open| *open) => Ok(pretend(&disk, &op)),
                () = job.cancel.cancelled() => Err(ExecError::Cancelled),
            }
        })
    }
}

fn name(op: &Op) -> &'static str {
    match op {
        Op::AddPiece(_) => "AP",
        Op::PreCommit2(_) => "PC2",
        Op::Commit2(_) => "C2",
        Op::Vanilla(_) => "vanilla",
        Op::CheckVanilla(_) => "check",
        Op::WindowPost(_) => "WDP",
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
        Op::Vanilla(op) => Outcome::Data(read_all(disk, Path::new(&op.sealed), 1 << 20).unwrap()),
        Op::CheckVanilla(op) => Outcome::Valid(op.vanilla != FORGED),
        Op::WindowPost(op) => Outcome::Proof(ProofOutput { proof: op.vanilla.concat(), self_verified: true }),
        _ => Outcome::None(NoOutput {}),
    }
}

fn write(disk: &MemDisk, path: &str, bytes: &[u8]) {
    let file = disk.create_new(Path::new(path)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
}
