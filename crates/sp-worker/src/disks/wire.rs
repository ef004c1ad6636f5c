//! What is said to a child and by it, and back into what the calls of a disk give.

use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sp_proto::v1::{self, disk_answer, disk_call};
use sp_sectors::{Entry, Metadata, Space};

/// Kinds of errors that do not come from the system and that callers tell apart.
const KINDS: [(ErrorKind, &str); 6] = [
    (ErrorKind::NotFound, "not found"),
    (ErrorKind::AlreadyExists, "already exists"),
    (ErrorKind::Unsupported, "unsupported"),
    (ErrorKind::InvalidInput, "invalid input"),
    (ErrorKind::UnexpectedEof, "unexpected end"),
    (ErrorKind::WriteZero, "write zero"),
];

pub(super) fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

pub(super) fn names(from: &Path, to: &Path) -> v1::DiskNames {
    v1::DiskNames { from: bytes(from), to: bytes(to) }
}

pub(super) fn call(call: disk_call::Call) -> v1::DiskCall {
    v1::DiskCall { call: Some(call) }
}

pub(super) fn answer(answer: disk_answer::Answer) -> v1::DiskAnswer {
    v1::DiskAnswer { answer: Some(answer) }
}

pub(super) fn failed(error: &io::Error) -> disk_answer::Answer {
    let kind = KINDS.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, name)| name);
    disk_answer::Answer::Failed(v1::DiskFailure {
        errno: error.raw_os_error().unwrap_or(0),
        kind: kind.to_owned(),
        message: error.to_string(),
    })
}

pub(super) fn error(failure: v1::DiskFailure) -> io::Error {
    let v1::DiskFailure { errno, kind, message } = failure;
    if errno != 0 {
        return io::Error::from_raw_os_error(errno);
    }
    let kind = KINDS.iter().find(|(_, name)| *name == kind).map_or(ErrorKind::Other, |(kind, _)| *kind);
    io::Error::new(kind, message)
}

pub(super) fn entries(entries: Vec<Entry>) -> v1::DiskEntries {
    let entry = |Entry { name, is_dir }| v1::DiskEntry { name, is_dir };
    v1::DiskEntries { entries: entries.into_iter().map(entry).collect() }
}

pub(super) fn listed(entries: v1::DiskEntries) -> Vec<Entry> {
    let entry = |v1::DiskEntry { name, is_dir }| Entry { name, is_dir };
    entries.entries.into_iter().map(entry).collect()
}

pub(super) fn metadata(found: Metadata) -> v1::DiskMetadata {
    let Metadata { is_dir, size_bytes, allocated_bytes, id } = found;
    v1::DiskMetadata { is_dir, size_bytes, allocated_bytes, id }
}

pub(super) fn looked(found: v1::DiskMetadata) -> Metadata {
    let v1::DiskMetadata { is_dir, size_bytes, allocated_bytes, id } = found;
    Metadata { is_dir, size_bytes, allocated_bytes, id }
}

pub(super) fn space(found: Space) -> v1::DiskSpace {
    let Space { capacity_bytes, available_bytes } = found;
    v1::DiskSpace { capacity_bytes, available_bytes }
}

pub(super) fn measured(found: v1::DiskSpace) -> Space {
    let v1::DiskSpace { capacity_bytes, available_bytes } = found;
    Space { capacity_bytes, available_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_what_callers_tell_apart() {
        let over = |e: &io::Error| match failed(e) {
            disk_answer::Answer::Failed(failure) => error(failure),
            other => panic!("{other:?}"),
        };
        for errno in [2, 5, 13, 17, 28, 30, 116, 122] {
            let e = io::Error::from_raw_os_error(errno);
            assert_eq!((over(&e).raw_os_error(), over(&e).kind()), (Some(errno), e.kind()));
        }
        for (kind, _) in KINDS {
            let e = io::Error::new(kind, "as it was said");
            assert_eq!((over(&e).kind(), over(&e).to_string()), (kind, "as it was said".to_owned()));
        }
        assert_eq!(over(&io::Error::other("odd")).to_string(), "odd");
    }
}
