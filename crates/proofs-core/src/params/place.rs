//! Where parameters are: the directory, the marker that calls it insecure, and publishing files in it whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sp_types::SectorSize;
use storage_proofs_core::parameter_cache::PARAMETERS;

use super::error::ParamsError;
use super::trapdoor::PUBLISHED_SEED;
use super::{Kind, digest, file_stem, layout};

/// Upstream's variable for the parameter directory.
pub const PARAMETER_CACHE_ENV: &str = "FIL_PROOFS_PARAMETER_CACHE";
/// Name of the file that marks a directory of development parameters.
pub const INSECURE_MARKER: &str = "INSECURE-DEVELOPMENT-PARAMETERS";

/// Extension of the record of what digest a generated parameter file has.
pub(crate) const RECORD: &str = "digest";

/// Name of the lock under which a directory becomes one of development parameters, and published files become visible.
const CLAIM_LOCK: &str = ".directory.lock";

/// How long one process waits for another that generates the same set. The largest set that can be generated takes
/// less.
const LOCK_WAIT: Duration = Duration::from_secs(2 * 3600);
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The paths of one parameter set.
pub(crate) struct Paths {
    pub(crate) dir: PathBuf,
    pub(crate) stem: String,
}

/// The directory that is used when none is named: `FIL_PROOFS_PARAMETER_CACHE` if set, else a directory of our own for
/// development parameters, `sp-cluster/parameters-dev` below `XDG_CACHE_HOME` or `~/.cache`. Never upstream's default,
/// where a miner's published parameters may lie.
pub fn default_dir() -> Result<PathBuf, ParamsError> {
    variable(PARAMETER_CACHE_ENV).map(PathBuf::from).or_else(development_dir).ok_or(ParamsError::NoDirectory)
}

/// The directory of our own for development parameters.
pub(crate) fn development_dir() -> Option<PathBuf> {
    choose_dir(variable("XDG_CACHE_HOME"), variable("HOME"))
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn choose_dir(cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // A relative XDG_CACHE_HOME is to be ignored, says its specification.
    let cache = cache.map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = cache.or_else(|| home.map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("sp-cluster").join("parameters-dev"))
}

/// Whether proofs for the parameters in `dir` can be forged, as far as one can tell: it is marked, or holds a
/// verifying key that is not a published one, or cannot be read. A missing or empty directory holds nothing insecure.
pub fn is_insecure(dir: &Path) -> bool {
    if dir.join(INSECURE_MARKER).exists() {
        return true;
    }
    let Ok(files) = parameter_files(dir) else { return true };
    files.iter().any(|name| !has_key(dir, name, &published_digest).unwrap_or(false))
}

/// The name of a file in `dir` with a verifying key that is not the published one. A parameter file that is too short
/// to have a key is damaged rather than foreign.
pub(crate) fn foreign_file<'a>(
    dir: &Path,
    published: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<Option<String>, ParamsError> {
    for name in parameter_files(dir)? {
        match has_key(dir, &name, published) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Ok(false) => return Ok(Some(name)),
            Err(error) => return Err(ParamsError::io("read", &dir.join(name))(error)),
        }
    }
    Ok(None)
}

/// Whether the verifying key in a file is the published one.
fn has_key<'a>(dir: &Path, name: &str, published: &dyn Fn(&str) -> Option<&'a str>) -> io::Result<bool> {
    let (path, key_name) = (dir.join(name), name.replace(".params", ".vk"));
    let key = if name.ends_with(".vk") { fs::read(&path) } else { layout::read_key(&path) }?;
    Ok(published(&key_name) == Some(digest::of_bytes(&key).as_str()))
}

/// The digest of a file in upstream's manifest of published parameters.
pub(crate) fn published_digest(name: &str) -> Option<&'static str> {
    PARAMETERS.get(name).map(|data| data.digest.as_str())
}

/// Names of the parameter and key files in a directory; none if there is no directory.
fn parameter_files(dir: &Path) -> Result<Vec<String>, ParamsError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(ParamsError::io("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(ParamsError::io("list", dir))?.file_name().to_string_lossy().into_owned();
        if name.starts_with('v') && (name.ends_with(".params") || name.ends_with(".vk")) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes `dir` a directory of development parameters: creates and marks it. One that holds other parameters is
/// refused.
pub(crate) fn claim_dir(dir: &Path) -> Result<(), ParamsError> {
    fs::create_dir_all(dir).map_err(ParamsError::io("create directory", dir))?;
    let marker = dir.join(INSECURE_MARKER);
    if marker.exists() {
        return Ok(());
    }
    // The marker is there before the first parameter file: files without it came from elsewhere. It is looked for once
    // more, as another process may have claimed the directory and begun in the meantime.
    let refuse_foreign = || match parameter_files(dir)?.pop() {
        Some(found) if !marker.exists() => Err(ParamsError::ForeignFiles { dir: dir.to_owned(), found }),
        _ => Ok(()),
    };
    refuse_foreign()?;
    let _lock = lock_claims(dir)?;
    if marker.exists() {
        return Ok(());
    }
    // Published files become visible under this lock: from here on there will be none.
    refuse_foreign()?;
    let text = format!(
        "INSECURE development parameters.\n\nThe trapdoor of every parameter set in this directory is made from the published text\n\n    \
         {PUBLISHED_SEED}\n\nso anybody can forge proofs for them. Use them on development networks only.\n"
    );
    write_whole(&dir.join(format!(".{INSECURE_MARKER}.partial")), &marker, text.as_bytes())
}

/// Takes the lock under which the nature of a directory is decided.
pub(crate) fn lock_claims(dir: &Path) -> Result<File, ParamsError> {
    lock(&dir.join(CLAIM_LOCK), LOCK_WAIT, &|| ())
}

/// Takes a lock file; it is freed when the file is closed, at the latest by the end of the process.
pub(crate) fn lock(path: &Path, longest: Duration, waiting: &dyn Fn()) -> Result<File, ParamsError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(ParamsError::io("create", path))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(error)) => return Err(ParamsError::io("lock", path)(error)),
            Err(fs::TryLockError::WouldBlock) if start.elapsed() > longest => {
                return Err(ParamsError::Busy { lock: path.to_owned(), waited_s: longest.as_secs() });
            }
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                std::thread::sleep(LOCK_POLL);
            }
        }
    }
}

impl Paths {
    pub(crate) fn new(kind: Kind, size: SectorSize, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), stem: file_stem(kind, size) }
    }

    pub(crate) fn name(&self, extension: &str) -> String {
        format!("{}.{extension}", self.stem)
    }

    /// The file with this extension.
    pub(crate) fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(self.name(extension))
    }

    /// Where it is while it is being written: only the holder of the lock writes there.
    pub(crate) fn aside(&self, extension: &str) -> PathBuf {
        self.dir.join(format!(".{}.partial", self.name(extension)))
    }

    /// Takes the lock of the set.
    pub(crate) fn lock(&self, waiting: &dyn Fn()) -> Result<File, ParamsError> {
        lock(&self.dir.join(format!(".{}.lock", self.stem)), LOCK_WAIT, waiting)
    }

    /// Removes what an interrupted run left. The caller holds the lock, so nobody is writing it.
    pub(crate) fn clean(&self) -> Result<(), ParamsError> {
        for path in ["params", "vk", "meta", RECORD].map(|extension| self.aside(extension)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ParamsError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Publishes a small file whole.
    pub(crate) fn publish(&self, extension: &str, bytes: &[u8]) -> Result<(), ParamsError> {
        write_whole(&self.aside(extension), &self.file(extension), bytes)
    }
}

fn write_whole(aside: &Path, path: &Path, bytes: &[u8]) -> Result<(), ParamsError> {
    let mut file = File::create(aside).map_err(ParamsError::io("create", aside))?;
    file.write_all(bytes).map_err(ParamsError::io("write", aside))?;
    publish(&file, aside, path)
}

/// Makes a finished file visible under its name, durably.
pub(crate) fn publish(file: &File, aside: &Path, path: &Path) -> Result<(), ParamsError> {
    file.sync_all().map_err(ParamsError::io("sync", aside))?;
    fs::rename(aside, path).map_err(ParamsError::io("publish", path))?;
    let dir = path.parent().expect("a file in a directory");
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ParamsError::io("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_is_never_upstreams() {
        let os = |text: &str| Some(OsString::from(text));
        assert_eq!(choose_dir(os("/c"), os("/h")), Some("/c/sp-cluster/parameters-dev".into()));
        assert_eq!(choose_dir(os("c"), os("/h")), Some("/h/.cache/sp-cluster/parameters-dev".into()));
        assert_eq!(choose_dir(None, None), None);
    }
}
