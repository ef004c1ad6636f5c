//! Looking at parameters that are there: present, of the right structure, with the digest that was published or
//! recorded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use group::Curve;
use sp_types::SectorSize;
use storage_proofs_core::parameter_cache::CacheEntryMetadata;

use super::error::{ParamsError, remedy};
use super::kind::domain_log2;
use super::layout::{KEY_HEAD_BYTES, Layout, LayoutError, read_key};
use super::place::{Paths, RECORD, published_digest};
use super::trapdoor::Trapdoor;
use super::{Kind, digest};

/// Where parameters come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The network's trusted set-up, by upstream's manifest.
    Published,
    /// Our published seed: insecure.
    Development,
    /// Neither; somebody generated them. To be taken for insecure, and whether they are whole cannot be told: upstream
    /// publishes a digest for every kind and size, so these have none that anybody knows.
    Unknown,
}

impl Origin {
    /// Whether proofs for such parameters can be forged.
    pub fn is_insecure(self) -> bool {
        self != Self::Published
    }

    /// How it is called where it is shown.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Development => "INSECURE development",
            Self::Unknown => "INSECURE (unknown origin)",
        }
    }
}

/// A parameter set that passed.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Which set.
    pub kind: Kind,
    /// For which sectors.
    pub size: SectorSize,
    /// The parameter file.
    pub path: PathBuf,
    /// Its parts.
    pub layout: Layout,
    /// Where it comes from, by its verifying key.
    pub origin: Origin,
    /// The digest of the parameter file, where it was computed; unless the origin is unknown, the published or recorded
    /// one.
    pub digest: Option<String>,
}

/// Checks a parameter set whole, reading every byte: the files present, structure and length right for the circuit, the
/// key that of the parameters, and the digests those that were published or recorded. Of a set of unknown origin it
/// gives the digest, which there is nothing to compare with.
pub fn check(kind: Kind, size: SectorSize, dir: &Path) -> Result<Checked, ParamsError> {
    let mut checked = check_structure(kind, size, dir)?;
    let paths = Paths::new(kind, size, dir);
    let found = digest::of_file(&checked.path).map_err(ParamsError::io("read", &checked.path))?;
    let expected = match checked.origin {
        Origin::Published => published_digest(&paths.name("params")).map(str::to_owned),
        Origin::Development => Some(development_digest(kind, size, &paths)?),
        Origin::Unknown => None,
    };
    expect_digest(kind, size, &checked.path, expected.as_deref(), &found)?;
    checked.digest = Some(found);
    Ok(checked)
}

/// As [`check`], without digesting the parameter file: quick at any size.
pub fn check_structure(kind: Kind, size: SectorSize, dir: &Path) -> Result<Checked, ParamsError> {
    let paths = Paths::new(kind, size, dir);
    let path = paths.file("params");
    let layout = read_layout(kind, size, &path)?;
    let key_path = paths.file("vk");
    let key = fs::read(&key_path).map_err(missing_or("read", kind, size, &key_path))?;
    let own_key = read_key(&path).map_err(ParamsError::io("read", &path))?;
    if key != own_key {
        let problem = format!("it is not the verifying key in {}", paths.name("params"));
        return Err(damaged(kind, size, &key_path, problem));
    }
    let origin = if published_digest(&paths.name("vk")) == Some(digest::of_bytes(&key).as_str()) {
        Origin::Published
    } else if key.starts_with(&key_head(&Trapdoor::development(kind, size))) {
        let expected = digest::recorded(kind, size).map(|recorded| recorded.vk);
        expect_digest(kind, size, &key_path, expected, &digest::of_bytes(&key))?;
        Origin::Development
    } else {
        Origin::Unknown
    };
    check_meta(kind, size, &paths, origin)?;
    Ok(Checked { kind, size, path, layout, origin, digest: None })
}

/// Layout and digest of a parameter file that is the development one, whole.
pub(crate) fn development_set(kind: Kind, size: SectorSize, paths: &Paths) -> Result<(Layout, String), ParamsError> {
    let path = paths.file("params");
    let layout = read_layout(kind, size, &path)?;
    let digest = digest::of_file(&path).map_err(ParamsError::io("read", &path))?;
    recorded_or_trapdoor(kind, size, &path, &digest)?;
    expect_digest(kind, size, &path, Some(&development_digest(kind, size, paths)?), &digest)?;
    Ok((layout, digest))
}

/// The digest of a development parameter file: where it is the same everywhere and known, that one, else the one that
/// its generation wrote down.
fn development_digest(kind: Kind, size: SectorSize, paths: &Paths) -> Result<String, ParamsError> {
    if let Some(recorded) = digest::recorded(kind, size) {
        return Ok(recorded.params.to_owned());
    }
    let path = paths.file(RECORD);
    let record = fs::read(&path).map_err(missing_or("read", kind, size, &path))?;
    digest::parse_record(&record).ok_or_else(|| damaged(kind, size, &path, "it holds no digest".to_owned()))
}

/// The metadata say the sector size. They come with every development set; upstream does not publish any, and makes them
/// when it wants them.
fn check_meta(kind: Kind, size: SectorSize, paths: &Paths, origin: Origin) -> Result<(), ParamsError> {
    let path = paths.file("meta");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && origin != Origin::Development => return Ok(()),
        read => read.map_err(missing_or("read", kind, size, &path))?,
    };
    match serde_json::from_slice(&bytes) {
        Ok(CacheEntryMetadata { sector_size }) if sector_size == size.bytes() => Ok(()),
        _ => Err(damaged(kind, size, &path, format!("it does not say that a sector has {} bytes", size.bytes()))),
    }
}

/// A digest must be the recorded one; where none is recorded, the key must at least be the development trapdoor's.
pub(crate) fn recorded_or_trapdoor(kind: Kind, size: SectorSize, path: &Path, found: &str) -> Result<(), ParamsError> {
    if let Some(recorded) = digest::recorded(kind, size) {
        return expect_digest(kind, size, path, Some(recorded.params), found);
    }
    let key = read_key(path).map_err(ParamsError::io("read", path))?;
    if key.starts_with(&key_head(&Trapdoor::development(kind, size))) {
        return Ok(());
    }
    Err(damaged(kind, size, path, "it was not made from the published development seed".to_owned()))
}

/// The part of a verifying key that depends on the trapdoor alone.
fn key_head(trapdoor: &Trapdoor) -> Vec<u8> {
    let Trapdoor { g1, g2, alpha, beta, gamma, delta, .. } = trapdoor;
    let mut head = Vec::with_capacity(KEY_HEAD_BYTES as usize);
    head.extend((g1 * alpha).to_affine().to_uncompressed());
    head.extend((g1 * beta).to_affine().to_uncompressed());
    head.extend((g2 * beta).to_affine().to_uncompressed());
    head.extend((g2 * gamma).to_affine().to_uncompressed());
    head.extend((g1 * delta).to_affine().to_uncompressed());
    head.extend((g2 * delta).to_affine().to_uncompressed());
    head
}

fn read_layout(kind: Kind, size: SectorSize, path: &Path) -> Result<Layout, ParamsError> {
    let layout = Layout::read(path).map_err(|error| match error {
        LayoutError::Io(error) => missing_or("read", kind, size, path)(error),
        LayoutError::Wrong(problem) => damaged(kind, size, path, problem),
    })?;
    let expected = (1u64 << domain_log2(kind, size)) - 1;
    if u64::from(layout.blocks[0]) != expected {
        let problem = format!("its h part has {} points, the circuit needs {expected}", layout.blocks[0]);
        return Err(damaged(kind, size, path, problem));
    }
    Ok(layout)
}

fn expect_digest(
    kind: Kind,
    size: SectorSize,
    path: &Path,
    expected: Option<&str>,
    found: &str,
) -> Result<(), ParamsError> {
    match expected {
        Some(expected) if expected != found => {
            Err(damaged(kind, size, path, format!("its digest is {found}, not {expected}")))
        }
        _ => Ok(()),
    }
}

fn damaged(kind: Kind, size: SectorSize, path: &Path, problem: String) -> ParamsError {
    ParamsError::Damaged { path: path.to_owned(), problem, remedy: remedy(kind, size) }
}

fn missing_or(
    action: &'static str,
    kind: Kind,
    size: SectorSize,
    path: &Path,
) -> impl FnOnce(io::Error) -> ParamsError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => ParamsError::Missing { remedy: remedy(kind, size), path },
        _ => ParamsError::Io { action, path, source: error },
    }
}
