//! A path on disk: layout, `sectorstore.json`, manifests, work directories, publish, fetch, delete.
//!
//! Everything goes through the narrow [`Disk`] interface, so the same code runs on the machine's disks ([`RealDisk`])
//! and on a simulated one that loses what was not synced ([`MemDisk`]). Nothing here knows of tasks or networks.
//!
//! A published replica is never modified in place: a new version of it is made in a work directory and takes its place
//! in one step. That is why a work directory may share (hard-link) the files of a published one.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod disk;
mod error;
mod layout;
mod manifest;
mod partial;
mod receiver;
mod store;
mod store_meta;

pub use disk::{
    Disk, DiskFile, DiskLock, Entry, Loss, MemDisk, Metadata, PageBuffer, RealDisk, RealFile, Sharing, Space, exists,
    make_dirs, read_all, remove_any, write_whole,
};
pub use error::StoreError;
pub use layout::Layout;
pub use manifest::{
    CHUNK_BYTES, FILE_BYTES_MAX, FILES_MAX, HEAD_BYTES_MAX, Manifest, ManifestError, ManifestFile, ManifestHead,
    NAME_BYTES_MAX, chunk_digest, chunk_digests,
};
pub use partial::{Filled, RleError, TrailerError};
pub use receiver::{Chunk, Missing, ReceiveError, Receiver, Shared, share};
pub use store::{
    CopyMode, Cut, Deleted, Listed, Output, ReplicaFile, Scrub, ScrubFault, ScrubReason, ScrubStep, Scrubbed, Seen,
    Store, StoreStat, Stray, WorkDir,
};
pub use store_meta::{KnownPaths, LocalPath, StorageConfig, StoreMeta};
