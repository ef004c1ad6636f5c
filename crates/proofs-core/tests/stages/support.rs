//! A sector on disk, taken through the stages, and a process with the development parameters.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proofs_core::stages::{self, PostSector, SealCommitments, SectorContext};
use sp_types::{PieceInfo, ProverId, RegisteredSealProof, SealFeature, SectorSize};
use tempfile::TempDir;

pub(crate) const TICKET: [u8; 32] = [0x11; 32];
pub(crate) const SEED: [u8; 32] = [0x22; 32];
pub(crate) const MINER: u64 = 1000;

const PARAMETERS: &str = "FIL_PROOFS_PARAMETER_CACHE";

/// Runs the named test with the development parameters.
pub(crate) fn with_parameters(name: &str, test: impl FnOnce()) {
    if env::var_os(PARAMETERS).is_some() {
        return test();
    }
    in_child(name, &development_parameters());
}

/// Runs the named test with the development parameters in a directory of its own, where it may add files.
pub(crate) fn with_own_parameters(name: &str, test: impl FnOnce()) {
    const CHILD: &str = "own-parameters";
    if env::var_os(PARAMETERS).is_some_and(|dir| Path::new(&dir).ends_with(CHILD)) {
        return test();
    }
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(CHILD);
    fs::create_dir(&dir).unwrap();
    let from = env::var_os(PARAMETERS).map_or_else(development_parameters, PathBuf::from);
    for name in names(&from).iter().filter(|name| name.starts_with("v28-")) {
        std::os::unix::fs::symlink(from.join(name), dir.join(name)).unwrap();
    }
    in_child(name, &dir);
}

fn development_parameters() -> PathBuf {
    let home = env::var_os("HOME").expect("HOME is set");
    Path::new(&home).join(".cache/sp-cluster/parameters-dev")
}

/// Runs the named test with a parameter directory that holds nothing.
pub(crate) fn without_parameters(name: &str, test: impl FnOnce()) {
    const CHILD: &str = "no-parameters-here";
    if env::var_os(PARAMETERS).is_some_and(|dir| Path::new(&dir).ends_with(CHILD)) {
        return test();
    }
    let dir = tempfile::tempdir().unwrap();
    in_child(name, &dir.path().join(CHILD));
}

/// Upstream reads the place of the parameters from the environment, once: the test runs itself in a child that has it.
fn in_child(name: &str, parameters: &Path) {
    let child = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(PARAMETERS, parameters)
        .status();
    assert!(child.unwrap().success(), "{name} failed with parameters from {}; see above", parameters.display());
}

pub(crate) fn context(feature: SealFeature, number: u64) -> SectorContext {
    let proof = RegisteredSealProof { size: SectorSize::KiB2, feature };
    SectorContext { proof, prover_id: ProverId::of_miner(MINER), number }
}

/// A sector with its files in a directory of its own.
pub(crate) struct Sector {
    pub(crate) dir: TempDir,
    pub(crate) ctx: SectorContext,
    pub(crate) pieces: Vec<PieceInfo>,
}

impl Sector {
    /// AP: `data` as the first piece if there is any, another one behind it where it fits, zeros between and after them.
    pub(crate) fn add_piece(ctx: SectorContext, data: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let unsealed = dir.path().join("unsealed");
        let mut pieces = Vec::new();
        if !data.is_empty() {
            let bytes = data.len() as u64;
            let padded = sp_types::padded_for(bytes).unwrap();
            pieces.push(stages::add_piece(&mut &*data, bytes, padded, &[], &unsealed).unwrap());
            if padded <= 1024 {
                pieces.extend(stages::fill_before(1024, &pieces, &unsealed).unwrap());
                pieces.push(stages::add_piece(&mut &[5u8; 900][..], 900, 1024, &pieces, &unsealed).unwrap());
            }
        }
        pieces.extend(stages::fill_with_zeros(ctx.proof, &pieces, &unsealed).unwrap());
        Self { dir, ctx, pieces }
    }

    /// A sector sealed up to PC2.
    pub(crate) fn sealed(ctx: SectorContext, data: &[u8]) -> (Self, SealCommitments) {
        let sector = Self::add_piece(ctx, data);
        let phase1 = sector.pc1();
        let comms = stages::pc2(&sector.ctx, &phase1, &sector.cache(), &sector.file("sealed")).unwrap();
        (sector, comms)
    }

    pub(crate) fn pc1(&self) -> Vec<u8> {
        let (unsealed, sealed) = (self.file("unsealed"), self.file("sealed"));
        let out = stages::pc1(&self.ctx, TICKET, &self.pieces, &unsealed, &sealed, &self.cache()).unwrap();
        assert_eq!(out.comm_d, stages::comm_d(self.ctx.proof, &self.pieces).unwrap());
        assert!(out.phase1.len() < 64 << 10);
        out.phase1
    }

    pub(crate) fn c1(&self, comms: &SealCommitments) -> Vec<u8> {
        stages::c1(&self.ctx, TICKET, SEED, comms, &self.pieces, &self.cache(), &self.file("sealed")).unwrap()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.file("cache")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its name in a PoSt.
    pub(crate) fn in_post(&self, comms: &SealCommitments) -> PostSector {
        PostSector { number: self.ctx.number, comm_r: comms.comm_r }
    }

    /// Flips one bit in the middle of a file.
    pub(crate) fn damage(&self, name: &str) {
        let path = self.file(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn cache_names(&self) -> Vec<String> {
        names(&self.cache())
    }
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Data with no pattern that Fr32 padding could hide.
pub(crate) fn data(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}
