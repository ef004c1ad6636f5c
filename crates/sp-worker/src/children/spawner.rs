//! One thread that starts every child: the kernel's parent-death signal follows the thread that forked, so that thread
//! must live as long as the worker.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::gpus::Variable;
use super::{ChildConfig, record};

/// A started process with what belongs to it on disk.
pub(super) struct Started {
    pub(super) process: Child,
    /// Names it for the next run of this worker.
    pub(super) record: PathBuf,
    /// Its temporary directory, if it has one of its own.
    pub(super) tmpdir: Option<PathBuf>,
}

/// Variables on top of every child's, and whom to tell.
type Order = (Vec<Variable>, oneshot::Sender<io::Result<Started>>);

pub(super) struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    pub(super) fn start(config: ChildConfig) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel::<Order>();
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            for (number, (variables, order)) in receiver.into_iter().enumerate() {
                // A receiver that is gone means the worker is going down; the child sees its pipe close.
                let _ = order.send(start_child(&config, &variables, number));
            }
        })?;
        Ok(Self { orders })
    }

    pub(super) async fn spawn(&self, variables: Vec<Variable>) -> io::Result<Started> {
        let gone = || io::Error::other("the thread that starts children has ended");
        let (sender, receiver) = oneshot::channel();
        self.orders.send((variables, sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

fn start_child(config: &ChildConfig, variables: &[Variable], number: usize) -> io::Result<Started> {
    let mut command = Command::new(&config.program);
    command
        .arg0("sp-executor")
        .args(&config.arguments)
        .arg(std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // A group of its own: Ctrl-C at the terminal reaches the worker, which ends its children in order.
        .process_group(0);
    for (name, value) in config.environment.iter().chain(variables) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let tmpdir = match config.own_tmpdir {
        true => {
            let path = config.data_dir.join(record::TMP_DIRECTORY).join(format!("child-{number}"));
            std::fs::create_dir_all(&path)?;
            command.env("TMPDIR", &path);
            Some(path)
        }
        false => None,
    };
    let mut process = command.spawn()?;
    match record::write(&config.data_dir, process.id()) {
        Ok(record) => Ok(Started { process, record, tmpdir }),
        Err(error) => {
            // A child that the next run could not find must not live.
            process.kill()?;
            process.wait()?;
            Err(error)
        }
    }
}
