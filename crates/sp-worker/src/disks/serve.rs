//! The child's side: does the calls that it is asked for, each connection in a thread of its own, until the worker is gone.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sp_net::{child, frame};
use sp_proto::v1::disk_answer::Answer;
use sp_proto::v1::disk_call::Call;
use sp_proto::v1::{DiskCall, DiskDone, DiskNames, DiskOpened, DiskSpan};
use sp_sectors::{Disk, DiskFile, DiskLock, PageBuffer, RealDisk, RealFile, Sharing};

use super::handover::{self, Purpose};
use super::wire;

/// What is taken from the socket before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// Open files and locks, by their numbers.
#[derive(Default)]
struct Files {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Opened>>,
}

#[derive(Clone)]
enum Opened {
    File(Arc<RealFile>),
    /// Held until it is forgotten.
    Lock(#[expect(dead_code, reason = "it is there to be dropped")] Arc<DiskLock>),
}

/// Serves the worker until it is gone; then the process ends, whatever it is doing.
pub fn serve(parent: u32) -> anyhow::Result<()> {
    child::guard_parent(parent)?;
    let control = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    let files = Arc::new(Files::default());
    while let Some((stream, purpose)) = handover::take(&control)? {
        let files = files.clone();
        let work = move || match purpose {
            Purpose::Calls => answer_calls(&files, stream),
            Purpose::Closing => close_files(&files, stream),
        };
        std::thread::Builder::new().name("disk calls".into()).spawn(work)?;
    }
    // Threads that hang do not keep it.
    std::process::exit(0)
}

/// Ends with the connection: nobody is there who could be told more.
fn close_files(files: &Files, mut stream: UnixStream) {
    let mut number = [0; 8];
    while stream.read_exact(&mut number).is_ok() {
        files.open().remove(&u64::from_be_bytes(number));
    }
}

fn answer_calls(files: &Files, stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(DiskCall { call })) = frame::blocking::read(&mut stream) {
        let answered = match call {
            Some(Call::ReadAt(span)) => read(files, span, stream.get_mut()),
            Some(Call::WriteAt(span)) => {
                let written = write(files, span, &mut stream);
                written.and_then(|answer| say(stream.get_mut(), answer))
            }
            Some(call) => {
                let answer = files.does(call).unwrap_or_else(|error| wire::failed(&error));
                say(stream.get_mut(), answer)
            }
            None => say(stream.get_mut(), wire::failed(&io::ErrorKind::Unsupported.into())),
        };
        if answered.is_err() {
            return;
        }
    }
}

fn say(stream: &mut UnixStream, answer: Answer) -> io::Result<()> {
    frame::blocking::write(stream, &wire::answer(answer)).map_err(io::Error::other)
}

/// From the file to the socket within the kernel. What cannot be read is made up for with zeros, so that the connection
/// goes on, and the answer behind them says why.
fn read(files: &Files, span: DiskSpan, stream: &mut UnixStream) -> io::Result<()> {
    let DiskSpan { file, offset, size_bytes } = span;
    let found = files.file(file).and_then(|file| Ok((file.size_bytes()?, file)));
    let (file, there) = match found {
        Ok((there, file)) => (file, there),
        Err(error) => return say(stream, wire::failed(&error)),
    };
    let promised = size_bytes.min(there.saturating_sub(offset));
    say(stream, Answer::Follows(promised))?;
    let (mut at, end) = (offset, offset + promised);
    let mut outcome = Answer::Done(DiskDone {});
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(&*stream, &*file, Some(&mut at), wanted) {
            Ok(0) => {
                let gone = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read");
                outcome = wire::failed(&gone);
                break;
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::INVAL) => return by_hand(&file, at, end, stream),
            Err(error) => {
                outcome = wire::failed(&error.into());
                break;
            }
        }
    }
    fill(stream, end - at)?;
    say(stream, outcome)
}

/// A file system whose files cannot be sent from within the kernel.
fn by_hand(file: &RealFile, mut at: u64, end: u64, stream: &mut UnixStream) -> io::Result<()> {
    let mut buffer = PageBuffer::new(BUFFER_BYTES);
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let outcome = match file.read_at(&mut buffer[..wanted], at) {
            Ok(0) => wire::failed(&io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => {
                stream.write_all(&buffer[..got])?;
                at += got as u64;
                continue;
            }
            Err(error) => wire::failed(&error),
        };
        fill(stream, end - at)?;
        return say(stream, outcome);
    }
    say(stream, Answer::Done(DiskDone {}))
}

fn fill(stream: &mut UnixStream, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes), stream).map(drop)
}

/// Takes all that was sent also when it cannot be written, so that the connection goes on.
fn write(files: &Files, span: DiskSpan, stream: &mut impl Read) -> io::Result<Answer> {
    let DiskSpan { file, offset, size_bytes } = span;
    let mut outcome = files.file(file);
    let mut buffer = vec![0; BUFFER_BYTES.min(usize::try_from(size_bytes).unwrap_or(BUFFER_BYTES))];
    let mut come = 0;
    while come < size_bytes {
        let next = usize::try_from(size_bytes - come).unwrap_or(usize::MAX).min(buffer.len());
        stream.read_exact(&mut buffer[..next])?;
        if let Ok(file) = &outcome
            && let Err(error) = file.write_at(&buffer[..next], offset + come)
        {
            outcome = Err(error);
        }
        come += next as u64;
    }
    Ok(outcome.map_or_else(|error| wire::failed(&error), |_| Answer::Done(DiskDone {})))
}

impl Files {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: u64) -> io::Result<Arc<RealFile>> {
        match self.open().get(&number) {
            Some(Opened::File(file)) => Ok(file.clone()),
            _ => Err(io::Error::other(format!("no file {number} is open"))),
        }
    }

    fn keep(&self, id: u64, opened: Opened) -> Answer {
        let file = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(file, opened);
        Answer::Opened(DiskOpened { file, id })
    }

    fn keep_file(&self, file: RealFile) -> io::Result<Answer> {
        Ok(self.keep(file.id()?, Opened::File(Arc::new(file))))
    }

    fn does(&self, call: Call) -> io::Result<Answer> {
        let (disk, path) = (RealDisk, wire::path);
        let done = |()| Answer::Done(DiskDone {});
        let both = |DiskNames { from, to }| (path(from), path(to));
        match call {
            Call::CreateDirAll(at) => disk.create_dir_all(&path(at)).map(done),
            Call::Open(at) => self.keep_file(disk.file(&path(at))?),
            Call::OpenWrite(at) => self.keep_file(disk.file_to_write(&path(at))?),
            Call::CreateNew(at) => self.keep_file(disk.new_file(&path(at))?),
            Call::SyncDir(at) => disk.sync_dir(&path(at)).map(done),
            Call::Rename(names) => {
                let (from, to) = both(names);
                disk.rename(&from, &to).map(done)
            }
            Call::Replace(names) => {
                let (from, to) = both(names);
                disk.replace(&from, &to).map(done)
            }
            Call::Exchange(names) => {
                let (a, b) = both(names);
                disk.exchange(&a, &b).map(done)
            }
            Call::RemoveFile(at) => disk.remove_file(&path(at)).map(done),
            Call::RemoveDirAll(at) => disk.remove_dir_all(&path(at)).map(done),
            Call::List(at) => Ok(Answer::Entries(wire::entries(disk.list(&path(at))?))),
            Call::Metadata(at) => Ok(Answer::Metadata(wire::metadata(disk.metadata(&path(at))?))),
            Call::HardLink(names) => {
                let (from, to) = both(names);
                disk.hard_link(&from, &to).map(done)
            }
            Call::Copy(names) => {
                let (from, to) = both(names);
                disk.copy(&from, &to).map(done)
            }
            Call::CloneFile(names) => {
                let (from, to) = both(names);
                disk.clone_file(&from, &to).map(done)
            }
            Call::Lock(lock) => {
                let sharing = if lock.shared { Sharing::Shared } else { Sharing::Alone };
                let held = disk.lock(&path(lock.path), sharing)?;
                Ok(self.keep(0, Opened::Lock(Arc::new(held))))
            }
            Call::Space(at) => Ok(Answer::Space(wire::space(disk.space(&path(at))?))),
            Call::Sync(file) => self.file(file)?.sync().map(done),
            Call::SizeBytes(file) => Ok(Answer::Bytes(self.file(file)?.size_bytes()?)),
            Call::SetSize(span) => self.file(span.file)?.set_size(span.size_bytes).map(done),
            Call::NextData(span) => {
                let next = self.file(span.file)?.next_data(span.offset)?;
                Ok(next.map_or(Answer::Done(DiskDone {}), Answer::Bytes))
            }
            Call::IsShared(file) => Ok(Answer::IsSo(self.file(file)?.is_shared()?)),
            Call::ReadAt(_) | Call::WriteAt(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}
