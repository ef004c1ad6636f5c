//! One child from the worker's side: its connections, one for each call that is under way, and its end.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, pidfd_send_signal};
use sp_net::frame;
use sp_proto::v1::{DiskCall, DiskFailure, disk_answer};

use super::handover::{self, Purpose};
use super::wire;

/// Connections that are kept for the next calls.
const IDLE_MAX: usize = 16;

/// The child did not answer to the end: it is gone, or was given up. Nobody knows whether it did what it was asked.
#[derive(Debug)]
pub(super) struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<frame::FrameError> for Broken {
    fn from(_: frame::FrameError) -> Self {
        Self
    }
}

/// What goes along with a call.
pub(super) enum Beside<'a> {
    Nothing,
    /// Bytes to be written.
    Bytes(&'a [u8]),
    /// Room for what is read.
    Room(&'a mut [u8]),
}

/// A running child.
pub(super) struct Process {
    pid: u32,
    handle: OwnedFd,
    control: UnixStream,
    /// Where files are closed; nothing ever waits for it.
    closing: UnixStream,
    idle: Mutex<Vec<Connection>>,
    /// All connections, so that whoever waits on one can be woken.
    open: Mutex<BTreeMap<u64, UnixStream>>,
    next: AtomicU64,
    over: AtomicBool,
}

struct Connection {
    number: u64,
    stream: BufReader<UnixStream>,
}

impl Process {
    /// `handle` is its pidfd, `control` the other end of what it has as stdin.
    pub(super) fn new(pid: u32, handle: OwnedFd, control: UnixStream) -> std::io::Result<Self> {
        let (closing, theirs) = UnixStream::pair()?;
        closing.set_nonblocking(true)?;
        handover::give(&control, theirs, Purpose::Closing)?;
        let (idle, open) = (Mutex::default(), Mutex::default());
        let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { pid, handle, control, closing, idle, open, next, over })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// One call and what came of it.
    pub(super) fn call(&self, call: &DiskCall, beside: Beside<'_>) -> Result<disk_answer::Answer, Broken> {
        // What this process lacks (open files) says nothing about the child.
        let mut connection = match self.connection()? {
            Ok(connection) => connection,
            Err(error) => return Ok(wire::failed(&error)),
        };
        match connection.exchange(call, beside) {
            Ok(answer) => {
                self.keep(connection);
                Ok(answer)
            }
            Err(broken) => {
                self.forget(connection.number);
                Err(broken)
            }
        }
    }

    /// Closes a file, without waiting for it. A child that hears nothing any more is given up soon, with all its files.
    pub(super) fn close(&self, file: u64) {
        let _ = (&self.closing).write_all(&file.to_be_bytes());
    }

    /// Ends it, and wakes all that wait for it. It may stay for as long as the kernel holds it.
    pub(super) fn kill(&self) {
        self.is_over();
        // Gone already is fine.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// It has ended: whoever waits for it hears of it.
    pub(super) fn is_over(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.idle().clear();
        for stream in std::mem::take(&mut *self.open()).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = self.closing.shutdown(Shutdown::Both);
        let _ = self.control.shutdown(Shutdown::Both);
    }

    fn connection(&self) -> Result<std::io::Result<Connection>, Broken> {
        if let Some(connection) = self.idle().pop() {
            return Ok(Ok(connection));
        }
        let made = UnixStream::pair().and_then(|(ours, theirs)| Ok((ours.try_clone()?, ours, theirs)));
        let (waker, ours, theirs) = match made {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        };
        handover::give(&self.control, theirs, Purpose::Calls)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(number, waker);
        // Ended between the two: nobody else would wake us.
        if self.over.load(Ordering::SeqCst) {
            self.forget(number);
            return Err(Broken);
        }
        Ok(Ok(Connection { number, stream: BufReader::new(ours) }))
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX && !self.over.load(Ordering::SeqCst) {
            idle.push(connection);
        } else {
            self.forget(connection.number);
        }
    }

    fn forget(&self, number: u64) {
        self.open().remove(&number);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, UnixStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn exchange(&mut self, call: &DiskCall, beside: Beside<'_>) -> Result<disk_answer::Answer, Broken> {
        frame::blocking::write(self.stream.get_mut(), call)?;
        let room = match beside {
            Beside::Nothing => &mut [],
            Beside::Bytes(bytes) => {
                self.stream.get_mut().write_all(bytes)?;
                &mut []
            }
            Beside::Room(room) => room,
        };
        let answer = self.answer()?;
        let disk_answer::Answer::Follows(bytes) = answer else { return Ok(answer) };
        let bytes_read = usize::try_from(bytes).ok().filter(|bytes| *bytes <= room.len()).ok_or(Broken)?;
        self.stream.read_exact(&mut room[..bytes_read])?;
        match self.answer()? {
            disk_answer::Answer::Done(_) => Ok(disk_answer::Answer::Bytes(bytes)),
            disk_answer::Answer::Failed(failure) => Ok(disk_answer::Answer::Failed(failure)),
            _ => Err(Broken),
        }
    }

    fn answer(&mut self) -> Result<disk_answer::Answer, Broken> {
        let answer = frame::blocking::read::<sp_proto::v1::DiskAnswer>(&mut self.stream)?.ok_or(Broken)?;
        let unknown = || {
            let message = "its child has given an answer that this version does not know".to_owned();
            disk_answer::Answer::Failed(DiskFailure { errno: 0, kind: String::new(), message })
        };
        Ok(answer.answer.unwrap_or_else(unknown))
    }
}
