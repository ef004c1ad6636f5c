//! One path: what it is asked goes to its child. While it is given up whoever asks waits; what does no harm twice is asked
//! again of the next child, and of the rest nobody knows whether it was done, which is an error.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use sp_proto::v1::disk_answer::Answer;
use sp_proto::v1::disk_call::Call;
use sp_proto::v1::{self, DiskOpened};
use sp_sectors::{Disk, DiskFile, DiskLock, Entry, Metadata, Sharing, Space};

use super::file::PathFile;
use super::process::{Beside, Broken, Process};
use super::starter::{Started, Starter};
use super::wire;
use crate::children::LeftBehind;

/// A call that ends so many children is not asked of another one.
const TRIES: usize = 3;

/// How often it is looked whether a child of an earlier run is gone.
const LEFT_BEHIND_POLL: Duration = Duration::from_secs(1);

/// May a call be made again when nobody knows whether it was done?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

/// Who does what the path is asked.
enum Serving {
    /// Nobody yet: the first call starts a child.
    Idle,
    Child(Arc<Process>),
    /// It was given up: a look finds out when it answers.
    Aside,
    /// The path is used no more.
    LetGo,
}

struct State {
    serving: Serving,
    /// The child with which it is tried whether the path answers again.
    trying: Option<Arc<Process>>,
    /// Children that were given up and are not gone.
    dying: usize,
    /// Locks that threads hold, and of which child.
    locks: HashMap<ThreadId, Vec<Weak<Process>>>,
}

pub(super) struct PathDisk {
    root: PathBuf,
    starter: Arc<Starter>,
    state: Mutex<State>,
    changed: Condvar,
    me: Weak<Self>,
}

/// Holds a lock in a child, on behalf of the thread that asked for it.
struct HeldLock {
    path: Arc<PathDisk>,
    process: Arc<Process>,
    file: u64,
    holder: ThreadId,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.process.close(self.file);
        let mut state = self.path.state();
        if let Some(held) = state.locks.get_mut(&self.holder) {
            if let Some(at) = held.iter().position(|held| held.as_ptr() == Arc::as_ptr(&self.process)) {
                held.swap_remove(at);
            }
            if held.is_empty() {
                state.locks.remove(&self.holder);
            }
        }
    }
}

impl PathDisk {
    pub(super) fn new(root: &Path, starter: Arc<Starter>) -> Arc<Self> {
        let left_behind = starter.take_left_behind(root);
        let serving = if left_behind.is_empty() { Serving::Idle } else { Serving::Aside };
        let state = State { serving, trying: None, dying: left_behind.len(), locks: HashMap::new() };
        let new = |me: &Weak<Self>| Self {
            root: root.to_owned(),
            starter,
            state: Mutex::new(state),
            changed: Condvar::new(),
            me: me.clone(),
        };
        let path = Arc::new_cyclic(new);
        left_behind.into_iter().for_each(|left| path.wait_for_left_behind(left));
        path
    }

    /// Waits until the path may be asked: where it was given up, until it answers a child that is started for it.
    pub(super) fn look(&self) -> io::Result<()> {
        let mut state = self.state();
        loop {
            match state.serving {
                Serving::Idle | Serving::Child(_) => return Ok(()),
                Serving::LetGo => return Err(self.let_go_of()),
                // At most one child hangs in the kernel for each path.
                Serving::Aside if state.dying > 0 => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Serving::Aside => break,
            }
        }
        let process = self.start()?;
        state.trying = Some(process.clone());
        drop(state);
        // Any answer will do: what is wrong there is for others to find out.
        let answered = process.call(&wire::call(Call::Metadata(wire::bytes(&self.root))), Beside::Nothing);
        let mut state = self.state();
        let still = state.trying.take_if(|trying| Arc::ptr_eq(trying, &process)).is_some();
        if still && answered.is_ok() && matches!(state.serving, Serving::Aside) {
            tracing::info!(path = %self.root.display(), pid = process.pid(), "it answers again, to another child");
            state.serving = Serving::Child(process);
            self.changed.notify_all();
            return Ok(());
        }
        if still {
            state.dying += 1;
            process.kill();
        }
        Err(self.given_up())
    }

    /// Ends the child, as far as it can be ended, and has everybody wait until the path answers another one.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        let (serving, trying) = (std::mem::replace(&mut state.serving, Serving::Aside), state.trying.take());
        let serving = match serving {
            Serving::Child(process) => Some(process),
            Serving::Idle | Serving::Aside => None,
            Serving::LetGo => {
                state.serving = Serving::LetGo;
                None
            }
        };
        for process in serving.into_iter().chain(trying) {
            tracing::warn!(path = %self.root.display(), pid = process.pid(), "its child does not answer and is given up");
            state.dying += 1;
            process.kill();
        }
        self.changed.notify_all();
    }

    /// Nobody waits for it any more.
    pub(super) fn let_go(&self) {
        self.give_up();
        self.state().serving = Serving::LetGo;
        self.changed.notify_all();
    }

    /// Has the child do something. What breaks is tried with the next one if that does no harm.
    pub(super) fn with<T>(
        &self,
        again: Again,
        mut work: impl FnMut(&Arc<Process>) -> Result<io::Result<T>, Broken>,
    ) -> io::Result<T> {
        for _ in 0..TRIES {
            let process = self.process()?;
            match work(&process) {
                Ok(done) => return done,
                Err(Broken) => self.broke(&process),
            }
            if again == Again::No {
                break;
            }
        }
        Err(self.given_up())
    }

    fn call(&self, again: Again, call: Call) -> io::Result<Answer> {
        let call = wire::call(call);
        self.with(again, |process| Ok(success(process.call(&call, Beside::Nothing)?)))
    }

    fn call_done(&self, again: Again, call: Call) -> io::Result<()> {
        match self.call(again, call)? {
            Answer::Done(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn opened(&self, again: Again, call: Call, path: &Path, writes: bool) -> io::Result<Box<dyn DiskFile>> {
        let call = wire::call(call);
        let me = self.me.upgrade().ok_or_else(|| self.let_go_of())?;
        self.with(again, |process| {
            let answer = process.call(&call, Beside::Nothing)?;
            Ok(success(answer).and_then(|answer| match answer {
                Answer::Opened(opened) => {
                    Ok(Box::new(PathFile::new(me.clone(), path, writes, process.clone(), &opened)) as Box<dyn DiskFile>)
                }
                other => Err(unexpected(&other)),
            }))
        })
    }

    /// The child that serves; starts the first one, and waits while the path is given up.
    fn process(&self) -> io::Result<Arc<Process>> {
        let mut state = self.state();
        loop {
            if self.has_lost_a_lock(&state) {
                return Err(self.given_up());
            }
            match &state.serving {
                Serving::Child(process) => return Ok(process.clone()),
                Serving::LetGo => return Err(self.let_go_of()),
                Serving::Aside => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Serving::Idle => {
                    let process = self.start()?;
                    state.serving = Serving::Child(process.clone());
                    return Ok(process);
                }
            }
        }
    }

    /// A lock is gone with the child that held it: what goes on under it would go on without.
    fn has_lost_a_lock(&self, state: &State) -> bool {
        let serves = |held: &Weak<Process>| match &state.serving {
            Serving::Child(process) => held.as_ptr() == Arc::as_ptr(process),
            _ => false,
        };
        state.locks.get(&thread::current().id()).is_some_and(|held| !held.iter().all(serves))
    }

    /// Starts a child and a thread that waits for its end.
    fn start(&self) -> io::Result<Arc<Process>> {
        let Started { process, mut child, record } = self.starter.start(&self.root)?;
        let (me, ended) = (self.me.clone(), process.clone());
        thread::Builder::new().name("disk reaper".into()).spawn(move || {
            let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            // Removed at the next start at the latest.
            let _ = std::fs::remove_file(record);
            ended.is_over();
            if let Some(path) = me.upgrade() {
                path.is_gone(&ended, &status);
            }
        })?;
        Ok(process)
    }

    fn is_gone(&self, process: &Arc<Process>, status: &str) {
        let mut state = self.state();
        if state.serves(process) {
            tracing::error!(path = %self.root.display(), pid = process.pid(), status, "its child has ended; another takes over");
            state.serving = Serving::Idle;
        } else if state.trying.take_if(|trying| Arc::ptr_eq(trying, process)).is_none() {
            state.dying = state.dying.saturating_sub(1);
        }
        self.changed.notify_all();
    }

    /// A child broke off: the next call starts another, unless it was given up.
    fn broke(&self, process: &Arc<Process>) {
        let mut state = self.state();
        if state.serves(process) {
            tracing::error!(path = %self.root.display(), pid = process.pid(), "its child has broken off; another takes over");
            state.serving = Serving::Idle;
            state.dying += 1;
            process.kill();
        }
    }

    fn wait_for_left_behind(&self, left: LeftBehind) {
        let me = self.me.clone();
        let wait = move || {
            tracing::error!(path = %left.root.display(), pid = left.pid, "a child of an earlier run hangs in the kernel");
            while left.is_alive() {
                thread::sleep(LEFT_BEHIND_POLL);
            }
            if let Some(path) = me.upgrade() {
                let mut state = path.state();
                state.dying = state.dying.saturating_sub(1);
                path.changed.notify_all();
            }
        };
        if let Err(error) = thread::Builder::new().name("disk reaper".into()).spawn(wait) {
            tracing::error!(%error, "no thread to wait for a child of an earlier run; its path stays put aside");
        }
    }

    /// What was being done may or may not have been done.
    fn given_up(&self) -> io::Error {
        let message = format!("{} does not answer, or has not answered to the end", self.root.display());
        io::Error::new(ErrorKind::TimedOut, message)
    }

    fn let_go_of(&self) -> io::Error {
        io::Error::new(ErrorKind::NotConnected, format!("{} is detached", self.root.display()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn serves(&self, process: &Arc<Process>) -> bool {
        matches!(&self.serving, Serving::Child(serving) if Arc::ptr_eq(serving, process))
    }
}

/// An answer, or the error that it is.
pub(super) fn success(answer: Answer) -> io::Result<Answer> {
    match answer {
        Answer::Failed(failure) => Err(wire::error(failure)),
        answer => Ok(answer),
    }
}

pub(super) fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("its child has answered something else: {answer:?}"))
}

impl Disk for PathDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call_done(Again::Yes, Call::CreateDirAll(wire::bytes(path)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opened(Again::Yes, Call::Open(wire::bytes(path)), path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opened(Again::Yes, Call::OpenWrite(wire::bytes(path)), path, true)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opened(Again::No, Call::CreateNew(wire::bytes(path)), path, true)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call_done(Again::Yes, Call::SyncDir(wire::bytes(path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::Rename(wire::names(from, to)))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::Replace(wire::names(from, to)))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::Exchange(wire::names(a, b)))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::RemoveFile(wire::bytes(path)))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::RemoveDirAll(wire::bytes(path)))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        match self.call(Again::Yes, Call::List(wire::bytes(path)))? {
            Answer::Entries(entries) => Ok(wire::listed(entries)),
            other => Err(unexpected(&other)),
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match self.call(Again::Yes, Call::Metadata(wire::bytes(path)))? {
            Answer::Metadata(found) => Ok(wire::looked(found)),
            other => Err(unexpected(&other)),
        }
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::HardLink(wire::names(from, to)))
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::Copy(wire::names(from, to)))
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_done(Again::No, Call::CloneFile(wire::names(from, to)))
    }

    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock> {
        let lock = v1::DiskLock { path: wire::bytes(path), shared: sharing == Sharing::Shared };
        let call = wire::call(Call::Lock(lock));
        let me = self.me.upgrade().ok_or_else(|| self.let_go_of())?;
        self.with(Again::Yes, |process| {
            let answer = process.call(&call, Beside::Nothing)?;
            Ok(success(answer).and_then(|answer| match answer {
                Answer::Opened(DiskOpened { file, .. }) => {
                    let holder = thread::current().id();
                    self.state().locks.entry(holder).or_default().push(Arc::downgrade(process));
                    Ok(Box::new(HeldLock { path: me.clone(), process: process.clone(), file, holder }) as DiskLock)
                }
                other => Err(unexpected(&other)),
            }))
        })
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        match self.call(Again::Yes, Call::Space(wire::bytes(path)))? {
            Answer::Space(found) => Ok(wire::measured(found)),
            other => Err(unexpected(&other)),
        }
    }
}
