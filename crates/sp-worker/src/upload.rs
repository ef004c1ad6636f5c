//! Piece bytes on their way to an AP or DC attempt: written into its work directory, resumable, believed when whole.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sp_sectors::{Disk, DiskFile, exists, make_dirs, remove_any};
use sp_types::{AttemptId, ErrorCode};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// One expected upload.
pub(crate) struct Upload {
    pub(crate) attempt: AttemptId,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    total_bytes: u64,
    digest: [u8; 32],
    /// Held by whoever writes: one at a time.
    pub(crate) writer: tokio::sync::Mutex<()>,
    complete: CancellationToken,
}

/// Expected uploads by ticket.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Arc<Upload>>>);

impl Upload {
    pub(crate) fn new(
        attempt: AttemptId,
        disk: Arc<dyn Disk>,
        path: PathBuf,
        total_bytes: u64,
        digest: [u8; 32],
    ) -> Self {
        let (writer, complete) = (tokio::sync::Mutex::new(()), CancellationToken::new());
        Self { attempt, disk, path, total_bytes, digest, writer, complete }
    }

    /// Where the bytes lie.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Waits until all bytes are here and right.
    pub(crate) async fn completed(&self) {
        self.complete.cancelled().await;
    }

    /// Are all bytes here, durable, and right?
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.is_cancelled()
    }

    /// How many bytes have arrived. Blocks.
    pub(crate) fn received_bytes(&self) -> Result<u64, Failure> {
        match self.disk.metadata(&self.path) {
            Ok(found) => Ok(found.size_bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(self.failed(&e)),
        }
    }

    /// Takes the next bytes, which must start where the last ones ended. Blocks.
    pub(crate) fn append(&self, offset: u64, bytes: &[u8]) -> Result<u64, Failure> {
        let received = self.received_bytes()?;
        if offset != received {
            let message = format!("the upload goes on at byte {received}, not {offset}; ask for its status");
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.total_bytes {
            let message = format!("the piece was announced with {} bytes; more were sent", self.total_bytes);
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
        let write = || -> io::Result<()> { self.open()?.write_at(bytes, offset) };
        write().map_err(|e| self.failed(&e))?;
        Ok(end)
    }

    /// Once all bytes are here: makes them durable and compares their digest. A wrong piece is removed. Blocks.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        if self.is_complete() || self.received_bytes()? < self.total_bytes {
            return Ok(());
        }
        let found = self.sync_and_digest().map_err(|e| self.failed(&e))?;
        if found != self.digest {
            remove_any(&*self.disk, &self.path).map_err(|e| self.failed(&e))?;
            let (found, wanted) = (hex::encode(found), hex::encode(self.digest));
            let message = format!("the uploaded bytes have digest {found}, {wanted} was announced; send them again");
            return Err(Failure::new(ErrorCode::DigestMismatch, message));
        }
        self.complete.cancel();
        Ok(())
    }

    fn open(&self) -> io::Result<Box<dyn DiskFile>> {
        if exists(&*self.disk, &self.path)? {
            return self.disk.open_write(&self.path);
        }
        if let Some(dir) = self.path.parent() {
            make_dirs(&*self.disk, dir)?;
        }
        self.disk.create_new(&self.path)
    }

    fn sync_and_digest(&self) -> io::Result<[u8; 32]> {
        let file = self.open()?;
        file.sync()?;
        if let Some(dir) = self.path.parent() {
            self.disk.sync_dir(dir)?;
        }
        let (mut state, mut buffer, mut at) = (blake2s_simd::State::new(), vec![0; 1 << 20], 0);
        while at < self.total_bytes {
            let got = file.read_at(&mut buffer, at)?;
            if got == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
            }
            state.update(&buffer[..got]);
            at += got as u64;
        }
        Ok(*state.finalize().as_array())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            _ => ErrorCode::Internal,
        };
        Failure::new(code, format!("{}: {error}", self.path.display()))
    }
}

impl Uploads {
    pub(crate) fn expect(&self, ticket: &str, upload: Arc<Upload>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket.to_owned(), upload);
    }

    pub(crate) fn forget(&self, ticket: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket);
    }

    /// The upload of a ticket. Every unknown ticket gets the same answer.
    pub(crate) fn get(&self, ticket: &str) -> Result<Arc<Upload>, Failure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(ticket).cloned();
        known.ok_or_else(|| {
            Failure::new(ErrorCode::BadTicket, "no attempt waits for this ticket; ask the scheduler for a new one")
        })
    }
}

#[cfg(test)]
mod tests {
    use sp_sectors::MemDisk;

    use super::*;

    fn upload(disk: &MemDisk, digest: [u8; 32]) -> Upload {
        Upload::new("1.1".parse().unwrap(), Arc::new(disk.clone()), "/w/upload".into(), 6, digest)
    }

    fn digest(bytes: &[u8]) -> [u8; 32] {
        *blake2s_simd::blake2s(bytes).as_array()
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let disk = MemDisk::default();
        let first = upload(&disk, digest(b"abcdef"));
        assert_eq!(first.append(0, b"abc").unwrap(), 3);
        first.settle().unwrap();
        assert!(!first.is_complete());
        let second = upload(&disk, digest(b"abcdef"));
        assert_eq!(second.received_bytes().unwrap(), 3);
        assert_eq!(second.append(0, b"abc").unwrap_err().code, ErrorCode::BadRequest);
        second.append(3, b"def").unwrap();
        second.settle().unwrap();
        assert!(second.is_complete());
    }

    #[test]
    fn too_much_and_wrong_bytes_are_refused() {
        let disk = MemDisk::default();
        let upload = upload(&disk, digest(b"abcdef"));
        assert_eq!(upload.append(0, b"abcdefg").unwrap_err().code, ErrorCode::BadRequest);
        upload.append(0, b"abcdeX").unwrap();
        assert_eq!(upload.settle().unwrap_err().code, ErrorCode::DigestMismatch);
        assert_eq!(upload.received_bytes().unwrap(), 0, "it starts over");
        assert!(!upload.is_complete());
    }

    #[test]
    fn an_unknown_ticket_is_refused() {
        assert_eq!(Uploads::default().get("x").err().map(|f| f.code), Some(ErrorCode::BadTicket));
    }
}
