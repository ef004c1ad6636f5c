//! Checks parameter files before a proof starts, so that a missing or cut one is named and never half read by upstream.
//!
//! These are the quick checks of shape, made before each proof; digests are for `sp-ctl params check`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use filecoin_proofs::MerkleTreeTrait;
use sp_types::{PostProof, RegisteredSealProof, RegisteredUpdateProof, SealFeature, SectorSize};
use storage_proofs_core::parameter_cache::{parameter_cache_dir, parameter_cache_srs_key_path};

use super::StageError;
use super::config::{porep_config, post_config, with_tree};
use super::error::guard;
use crate::params::{Kind, file_stem};

/// Uncompressed points of BLS12-381.
const G1_BYTES: u64 = 96;
const G2_BYTES: u64 = 192;
/// What comes before the list of input points in a verifying key: three points of G1, three of G2.
const KEY_HEAD_BYTES: u64 = 3 * G1_BYTES + 3 * G2_BYTES;
const COUNT_BYTES: u64 = 4;

/// Files of one parameter set.
struct Files {
    params: PathBuf,
    verifying_key: PathBuf,
}

/// One check: which stage asks, for which sector size.
#[derive(Clone, Copy)]
struct Check {
    stage: &'static str,
    size: SectorSize,
}

/// Checks the parameter files that C2 under `proof` reads: there, whole, and belonging together.
pub fn require_seal_parameters(proof: RegisteredSealProof) -> Result<(), StageError> {
    let check = Check { stage: "C2", size: proof.size };
    check.proving(&seal_files(check.stage, proof)?)?;
    check.aggregation(proof)
}

/// Checks the parameter files that a PoSt under `proof` reads: there, whole, and belonging together.
pub fn require_post_parameters(proof: PostProof) -> Result<(), StageError> {
    let check = Check { stage: "PoSt", size: proof.size };
    check.proving(&post_files(check.stage, proof)?)
}

/// Checks the parameter files that PR2 under `proof` reads: there, whole, and belonging together.
pub fn require_update_parameters(proof: RegisteredUpdateProof) -> Result<(), StageError> {
    let check = Check { stage: "PR2", size: proof.size };
    check.proving(&update_files(check.stage, proof)?)
}

/// Checks what verifying a seal proof reads.
pub(super) fn require_seal_verifying_key(stage: &'static str, proof: RegisteredSealProof) -> Result<(), StageError> {
    let check = Check { stage, size: proof.size };
    check.verifying_key(&seal_files(stage, proof)?.verifying_key)?;
    check.aggregation(proof)
}

/// Checks what verifying a PoSt proof reads.
pub(super) fn require_post_verifying_key(stage: &'static str, proof: PostProof) -> Result<(), StageError> {
    let check = Check { stage, size: proof.size };
    check.verifying_key(&post_files(stage, proof)?.verifying_key).map(drop)
}

/// Checks what verifying an update proof reads.
pub(super) fn require_update_verifying_key(
    stage: &'static str,
    proof: RegisteredUpdateProof,
) -> Result<(), StageError> {
    let check = Check { stage, size: proof.size };
    check.verifying_key(&update_files(stage, proof)?.verifying_key).map(drop)
}

fn seal_files(stage: &'static str, proof: RegisteredSealProof) -> Result<Files, StageError> {
    fn of<Tree: 'static + MerkleTreeTrait>(proof: RegisteredSealProof) -> anyhow::Result<Files> {
        let config = porep_config(proof)?;
        let verifying_key = config.get_cache_verifying_key_path::<Tree>()?;
        Ok(Files { params: config.get_cache_params_path::<Tree>()?, verifying_key })
    }
    guard(stage, || with_tree!(proof.size, of(proof)))
}

fn post_files(stage: &'static str, proof: PostProof) -> Result<Files, StageError> {
    fn of<Tree: 'static + MerkleTreeTrait>(proof: PostProof) -> anyhow::Result<Files> {
        let config = post_config(proof);
        let verifying_key = config.get_cache_verifying_key_path::<Tree>()?;
        Ok(Files { params: config.get_cache_params_path::<Tree>()?, verifying_key })
    }
    guard(stage, || with_tree!(proof.size, of(proof)))
}

fn update_files(stage: &'static str, proof: RegisteredUpdateProof) -> Result<Files, StageError> {
    guard(stage, || {
        let (dir, stem) = (parameter_cache_dir(), file_stem(Kind::Update, proof.size));
        Ok(Files { params: dir.join(format!("{stem}.params")), verifying_key: dir.join(format!("{stem}.vk")) })
    })
}

impl Check {
    /// A `.params` file begins with its verifying key, then come five lists of points, each behind its length.
    fn proving(self, files: &Files) -> Result<(), StageError> {
        let key = self.verifying_key(&files.verifying_key)?;
        let mut file = self.open(&files.params)?;
        let shape = params_shape(&mut file, key.len() as u64);
        let (found_key, expected) = shape.map_err(|e| self.unreadable(&files.params, e))?;
        if found_key != key {
            return Err(self.bad(&files.verifying_key, "does not belong to the .params file beside it".to_owned()));
        }
        let found = file.metadata().map_err(|e| self.unreadable(&files.params, e))?.len();
        if found != expected {
            return Err(self.bad(&files.params, format!("has {found} bytes instead of {expected}")));
        }
        Ok(())
    }

    /// Checks the length of a `.vk` file against the count in it, and returns its bytes.
    fn verifying_key(self, path: &Path) -> Result<Vec<u8>, StageError> {
        let key = fs::read(path).map_err(|e| self.unreadable(path, e))?;
        let count = key.get(KEY_HEAD_BYTES as usize..).and_then(|rest| rest.first_chunk()).copied();
        let expected = count.map(|n| KEY_HEAD_BYTES + COUNT_BYTES + u64::from(u32::from_be_bytes(n)) * G1_BYTES);
        if expected == Some(key.len() as u64) {
            return Ok(key);
        }
        Err(self.bad(path, format!("has {} bytes, which is no verifying key", key.len())))
    }

    /// Non-interactive proofs are aggregated under a file that all sizes share.
    fn aggregation(self, proof: RegisteredSealProof) -> Result<(), StageError> {
        if proof.feature != SealFeature::NonInteractive {
            return Ok(());
        }
        let path = guard(self.stage, || Ok(parameter_cache_srs_key_path("", 0)))?;
        self.open(&path).map(drop)
    }

    fn open(self, path: &Path) -> Result<File, StageError> {
        File::open(path).map_err(|e| self.unreadable(path, e))
    }

    fn unreadable(self, path: &Path, error: io::Error) -> StageError {
        match error.kind() {
            io::ErrorKind::NotFound => self.bad(path, "is missing".to_owned()),
            io::ErrorKind::UnexpectedEof => self.bad(path, "is cut off".to_owned()),
            _ => StageError::io(self.stage, path)(error),
        }
    }

    fn bad(self, path: &Path, problem: String) -> StageError {
        StageError::Parameters { stage: self.stage, file: path.to_owned(), size: self.size, problem }
    }
}

/// The first `key_bytes` of a `.params` file and the length that its counts say it has.
fn params_shape(file: &mut File, key_bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut key = vec![0; key_bytes as usize];
    file.read_exact(&mut key)?;
    let mut at = key_bytes;
    // h, l, a and b_g1 in G1, then b_g2.
    for point_bytes in [G1_BYTES, G1_BYTES, G1_BYTES, G1_BYTES, G2_BYTES] {
        let mut count = [0; COUNT_BYTES as usize];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut count)?;
        at += COUNT_BYTES + u64::from(u32::from_be_bytes(count)) * point_bytes;
    }
    Ok((key, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Check = Check { stage: "C2", size: SectorSize::KiB2 };

    fn key(points: u32) -> Vec<u8> {
        let mut bytes = vec![1; KEY_HEAD_BYTES as usize];
        bytes.extend(points.to_be_bytes());
        bytes.resize(bytes.len() + points as usize * G1_BYTES as usize, 2);
        bytes
    }

    fn params(key: &[u8]) -> Vec<u8> {
        let mut bytes = key.to_vec();
        for (count, point_bytes) in [(3, G1_BYTES), (2, G1_BYTES), (4, G1_BYTES), (1, G1_BYTES), (1, G2_BYTES)] {
            bytes.extend(u32::to_be_bytes(count));
            bytes.resize(bytes.len() + (u64::from(count) * point_bytes) as usize, 3);
        }
        bytes
    }

    #[test]
    fn whole_files_pass_and_damaged_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { params: dir.path().join("x.params"), verifying_key: dir.path().join("x.vk") };
        let text = || CHECK.proving(&files).map_err(|e| e.to_string());
        let fails = |text: Result<(), String>, words: &str| {
            let text = text.unwrap_err();
            assert!(text.contains(words) && text.contains("sp-ctl params generate --sector-size 2KiB"), "{text}");
        };
        fails(text(), "x.vk is missing");
        let key = key(5);
        fs::write(&files.verifying_key, &key).unwrap();
        fails(text(), "x.params is missing");
        let params = params(&key);
        for (bytes, words) in [
            (&params[..params.len() - 1], "x.params has"),
            (&params[..key.len() + 2], "x.params is cut off"),
            (&params[..10], "x.params is cut off"),
        ] {
            fs::write(&files.params, bytes).unwrap();
            fails(text(), words);
        }
        fs::write(&files.params, &params).unwrap();
        assert_eq!(text(), Ok(()));
        let mut other = key.clone();
        other[7] ^= 1;
        fs::write(&files.verifying_key, &other).unwrap();
        fails(text(), "x.vk does not belong");
        fs::write(&files.verifying_key, &key[..key.len() - 1]).unwrap();
        fails(text(), "which is no verifying key");
    }
}
