//! An open file of a path: opened again with the next child when its own is gone, if it is still the same file.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sp_proto::v1::disk_answer::Answer;
use sp_proto::v1::disk_call::Call;
use sp_proto::v1::{DiskOpened, DiskSpan};
use sp_sectors::DiskFile;

use super::path::{Again, PathDisk, success, unexpected};
use super::process::{Beside, Broken, Process};
use super::wire;

pub(super) struct PathFile {
    disk: Arc<PathDisk>,
    path: PathBuf,
    writes: bool,
    /// Which file it is (inode number).
    id: u64,
    handle: Mutex<Handle>,
}

/// Where it is open.
#[derive(Clone)]
struct Handle {
    process: Arc<Process>,
    file: u64,
}

impl PathFile {
    pub(super) fn new(
        disk: Arc<PathDisk>,
        path: &Path,
        writes: bool,
        process: Arc<Process>,
        opened: &DiskOpened,
    ) -> Self {
        let handle = Mutex::new(Handle { process, file: opened.file });
        Self { disk, path: path.to_owned(), writes, id: opened.id, handle }
    }

    /// Its number with this child, which opens it if it has not.
    fn with(&self, process: &Arc<Process>) -> Result<io::Result<u64>, Broken> {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&handle.process, process) {
            return Ok(Ok(handle.file));
        }
        let path = wire::bytes(&self.path);
        let open = wire::call(if self.writes { Call::OpenWrite(path) } else { Call::Open(path) });
        let opened = match success(process.call(&open, Beside::Nothing)?) {
            Ok(Answer::Opened(opened)) => opened,
            Ok(other) => return Ok(Err(unexpected(&other))),
            Err(error) => return Ok(Err(error)),
        };
        if opened.id != self.id {
            process.close(opened.file);
            let message = format!("{} is another file since its path has answered again", self.path.display());
            return Ok(Err(io::Error::new(ErrorKind::NotFound, message)));
        }
        *handle = Handle { process: process.clone(), file: opened.file };
        Ok(Ok(opened.file))
    }

    /// A call about it, which does no harm twice.
    fn call<'a>(&self, call: impl Fn(u64) -> Call, mut beside: impl FnMut() -> Beside<'a>) -> io::Result<Answer> {
        self.disk.with(Again::Yes, |process| {
            let file = match self.with(process)? {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            Ok(success(process.call(&wire::call(call(file)), beside())?))
        })
    }

    fn done(&self, call: impl Fn(u64) -> Call) -> io::Result<()> {
        match self.call(call, || Beside::Nothing)? {
            Answer::Done(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

impl Drop for PathFile {
    fn drop(&mut self) {
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        handle.process.close(handle.file);
    }
}

impl DiskFile for PathFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let size_bytes = buffer.len() as u64;
        let answer = self.disk.with(Again::Yes, |process| {
            let file = match self.with(process)? {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            let call = wire::call(Call::ReadAt(DiskSpan { file, offset, size_bytes }));
            Ok(success(process.call(&call, Beside::Room(&mut *buffer))?))
        })?;
        match answer {
            Answer::Bytes(bytes) => usize::try_from(bytes).map_err(io::Error::other),
            other => Err(unexpected(&other)),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let size_bytes = bytes.len() as u64;
        let call = |file| Call::WriteAt(DiskSpan { file, offset, size_bytes });
        match self.call(call, || Beside::Bytes(bytes))? {
            Answer::Done(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.done(Call::Sync)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        match self.call(Call::SizeBytes, || Beside::Nothing)? {
            Answer::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(&other)),
        }
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.done(|file| Call::SetSize(DiskSpan { file, offset: 0, size_bytes }))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        match self.call(|file| Call::NextData(DiskSpan { file, offset, size_bytes: 0 }), || Beside::Nothing)? {
            Answer::Bytes(at) => Ok(Some(at)),
            Answer::Done(_) => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    fn is_shared(&self) -> io::Result<bool> {
        match self.call(Call::IsShared, || Beside::Nothing)? {
            Answer::IsSo(is_so) => Ok(is_so),
            other => Err(unexpected(&other)),
        }
    }
}
