//! Starts the children, from one thread: the kernel's parent-death signal follows the thread that forked, so that thread
//! must live as long as the worker. What an earlier run has left and cannot be ended is known by its path.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::process::Process;
use crate::children::{LeftBehind, record};

/// How the children of paths are started.
#[derive(Debug, Clone, Default)]
pub struct DiskChildren {
    /// The program: this binary.
    pub program: PathBuf,
    /// Its arguments, the hidden subcommand first; the parent's process id is appended.
    pub arguments: Vec<OsString>,
    /// Where process records lie.
    pub data_dir: PathBuf,
    /// Children of an earlier run that do not end.
    pub left_behind: Vec<LeftBehind>,
}

/// A child that has been started, and the means to wait for its end.
pub(super) struct Started {
    pub(super) process: Arc<Process>,
    pub(super) child: Child,
    /// Names it for the next run of this worker.
    pub(super) record: PathBuf,
}

struct Order {
    root: PathBuf,
    started: mpsc::SyncSender<io::Result<Started>>,
}

pub(super) struct Starter {
    orders: Mutex<mpsc::Sender<Order>>,
    left_behind: Mutex<BTreeMap<PathBuf, Vec<LeftBehind>>>,
}

impl Starter {
    pub(super) fn new(children: DiskChildren) -> io::Result<Arc<Self>> {
        let (orders, received) = mpsc::channel::<Order>();
        let mut left_behind: BTreeMap<PathBuf, Vec<LeftBehind>> = BTreeMap::new();
        for left in &children.left_behind {
            left_behind.entry(left.root.clone()).or_default().push(left.clone());
        }
        std::thread::Builder::new().name("disk starter".into()).spawn(move || {
            for Order { root, started } in received {
                // Nobody who waits for it any more: the worker is going down, and the child sees its socket close.
                let _ = started.send(start(&children, &root));
            }
        })?;
        Ok(Arc::new(Self { orders: Mutex::new(orders), left_behind: Mutex::new(left_behind) }))
    }

    /// Starts a child for a path.
    pub(super) fn start(&self, root: &Path) -> io::Result<Started> {
        let gone = || io::Error::other("the thread that starts children has ended");
        let (started, received) = mpsc::sync_channel(1);
        let order = Order { root: root.to_owned(), started };
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).send(order).map_err(|_| gone())?;
        received.recv().map_err(|_| gone())?
    }

    /// Children of an earlier run that still hang in this path, for whoever has to wait for their end.
    pub(super) fn take_left_behind(&self, root: &Path) -> Vec<LeftBehind> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).remove(root).unwrap_or_default()
    }
}

fn start(children: &DiskChildren, root: &Path) -> io::Result<Started> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(&children.program)
        .arg0("sp-disk")
        .args(&children.arguments)
        .arg(std::process::id().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // A group of its own: Ctrl-C at the terminal reaches the worker, and its end the child.
        .process_group(0)
        .spawn()?;
    let made = || {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        // Not waited for yet, so the number is still its own.
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let record = record::write_disk(&children.data_dir, child.id(), root)?;
        Ok((Arc::new(Process::new(child.id(), handle, ours)?), record))
    };
    match made() {
        Ok((process, record)) => Ok(Started { process, child, record }),
        Err(error) => {
            // One that the next run could not find must not live. Gone already is fine.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}
