//! PC1 where an earlier run of the same attempt was cut off: sound layers are gone on with, the rest is made anew.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sp_executor::{Options, execute};
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecAddPiece, ExecPreCommit1, ExecRequest};
use tempfile::TempDir;

fn run(op: Op) -> Outcome {
    let request = ExecRequest { seal_proof: 5, miner: 1000, sector: 3, op: Some(op), ..Default::default() };
    execute(Options::default(), &request).unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// The work directory of an attempt that has done PC1.
struct Attempt {
    dir: TempDir,
    pc1: ExecPreCommit1,
    phase1: Vec<u8>,
    files: Vec<Vec<u8>>,
}

impl Attempt {
    fn done() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let pledge = ExecAddPiece { unsealed: path("unsealed"), ..Default::default() };
        let Outcome::AddPiece(zeros) = run(Op::AddPiece(pledge)) else { panic!("no AP") };
        let pc1 = ExecPreCommit1 {
            ticket: vec![1; 32],
            pieces: zeros.pieces,
            unsealed: path("unsealed"),
            sealed: path("sealed"),
            cache: path("cache"),
        };
        let mut attempt = Self { dir, pc1, phase1: vec![], files: vec![] };
        attempt.phase1 = attempt.again();
        attempt.files = attempt.read();
        attempt
    }

    fn again(&self) -> Vec<u8> {
        let Outcome::PreCommit1(output) = run(Op::PreCommit1(self.pc1.clone())) else { panic!("no PC1") };
        output.phase1
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn layer(&self, number: usize) -> PathBuf {
        self.file(&format!("cache/sc-02-data-layer-{number}.dat"))
    }

    fn read(&self) -> Vec<Vec<u8>> {
        let names = ["sealed", "cache/sc-02-data-tree-d.dat"].map(|name| self.file(name));
        names.into_iter().chain([self.layer(1), self.layer(2)]).map(|path| fs::read(path).unwrap()).collect()
    }

    fn makes_the_same_again(&self, what: &str) {
        assert_eq!(self.again(), self.phase1, "{what}");
        assert!(self.read() == self.files, "{what}: other files");
    }
}

/// Kept open, so that the file system gives its number to no other file.
fn held(path: &Path) -> (fs::File, u64) {
    (fs::File::open(path).unwrap(), inode(path))
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_finished_layer_is_kept_and_the_next_one_is_made() {
    let attempt = Attempt::done();
    let (first, (_file, second)) = (inode(&attempt.layer(1)), held(&attempt.layer(2)));
    fs::write(attempt.layer(2), [0; 2048]).unwrap();
    attempt.makes_the_same_again("a layer that was being written");
    assert_eq!(inode(&attempt.layer(1)), first, "the finished layer was made again");
    assert_ne!(inode(&attempt.layer(2)), second, "the other one was not");
    fs::remove_file(attempt.file("sealed")).unwrap();
    fs::write(attempt.file("sealed.part"), b"half").unwrap();
    attempt.makes_the_same_again("the copy of the data was cut off");
    assert_eq!(inode(&attempt.layer(1)), first);
}

/// Upstream's own code keeps none; nor does a run that ended before it had begun one.
#[test]
fn what_has_no_journal_is_cleared() {
    let attempt = Attempt::done();
    let (_file, first) = held(&attempt.layer(1));
    fs::remove_file(attempt.file("cache.pc1")).unwrap();
    fs::write(attempt.layer(1), [7; 2048]).unwrap();
    fs::write(attempt.file("sealed"), b"half").unwrap();
    attempt.makes_the_same_again("leftovers without a journal");
    assert_ne!(inode(&attempt.layer(1)), first);
}
