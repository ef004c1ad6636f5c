//! Bringing a replica from another store of the same file system without copying its bytes.

use std::io::ErrorKind;
use std::path::Path;

use sp_env::{CrashPoint, crash_point};
use sp_types::{FileKind, SectorId};

use super::file_path;
use crate::disk::{exists, make_dirs};
use crate::error::{Doing, StoreError};
use crate::manifest::Manifest;
use crate::store::{Store, WorkDir};

/// How a replica came without being copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// Its files share blocks with those of the other store; whoever writes to one does not change the other.
    Clones,
    /// Its file is the other store's, under a second name.
    Link,
    /// Not at all: it has to be copied.
    Nothing,
}

/// Puts the files of a published replica of another store into a work directory without copying them, where the file
/// system can. What is there already stays. Nothing is checked: [`super::Receiver::open`] does that, as with whatever
/// else it finds, and every byte is read for it.
///
/// `link` allows a second name for a file that cannot be cloned. Only for a replica that nobody is going to write to:
/// of any kind but sealed and update it is ignored, since stages write into their caches and unsealed files.
pub fn share(
    work: &WorkDir,
    from: &Store,
    sector: SectorId,
    manifest: &Manifest,
    link: bool,
) -> Result<Shared, StoreError> {
    let (disk, kind) = (work.store().disk(), manifest.kind());
    let (source, target) = (from.replica_path(sector, kind), work.path(sector, kind));
    if let Some(dir) = if kind.is_directory() { Some(target.as_path()) } else { target.parent() } {
        make_dirs(disk, dir).doing("create", dir)?;
    }
    let link = link && matches!(kind, FileKind::Sealed | FileKind::Update);
    let mut how = Shared::Nothing;
    for file in manifest.files() {
        let (from, to) = (file_path(&source, file), file_path(&target, file));
        if exists(disk, &to).doing("read", &to)? {
            continue;
        }
        match without_copying(work, &from, &to, link)? {
            Shared::Nothing => return Ok(Shared::Nothing),
            other => how = other,
        }
        crash_point(CrashPoint::WorkerMidShare);
    }
    Ok(how)
}

fn without_copying(work: &WorkDir, from: &Path, to: &Path, link: bool) -> Result<Shared, StoreError> {
    let disk = work.store().disk();
    let elsewhere = |kind| matches!(kind, ErrorKind::Unsupported | ErrorKind::CrossesDevices);
    match disk.clone_file(from, to) {
        Err(e) if elsewhere(e.kind()) => {}
        other => return other.map(|()| Shared::Clones).doing("clone", from),
    }
    if !link {
        return Ok(Shared::Nothing);
    }
    match disk.hard_link(from, to) {
        Err(e) if elsewhere(e.kind()) || e.kind() == ErrorKind::PermissionDenied => Ok(Shared::Nothing),
        other => other.map(|()| Shared::Link).doing("link", from),
    }
}
