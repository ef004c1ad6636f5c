//! How the demo fails: why, and which log says more.

use std::fmt::Display;

use super::cluster::Cluster;
use super::stage::Stage;
use crate::error::CommandError;

pub(super) type Result<T> = std::result::Result<T, DemoError>;

/// Why a step failed, and the name of the process whose log says more.
#[derive(Debug)]
pub(super) struct DemoError {
    cause: anyhow::Error,
    log: Option<String>,
}

impl DemoError {
    /// A reason in words.
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { cause: anyhow::anyhow!(cause.into()), log: None }
    }

    /// Names the process whose log says more; the first one named stays.
    pub(super) fn log(mut self, name: &str) -> Self {
        self.log.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Says what was being done.
    pub(super) fn context(mut self, doing: impl Display + Send + Sync + 'static) -> Self {
        self.cause = self.cause.context(doing);
        self
    }

    /// Before there is a cluster there is no step and no log.
    pub(super) fn into_plain(self) -> CommandError {
        CommandError::failed(self.cause)
    }

    /// Which step, why, and which log to read; the logs stay.
    pub(super) fn report(self, cluster: &Cluster, stage: &Stage) -> CommandError {
        let log = cluster.log_path(self.log.as_deref().unwrap_or("scheduler"));
        let hint =
            format!("read {}; the other logs lie beside it, and {} is kept", log.display(), cluster.dir.display());
        CommandError::failed(self.cause).context(format!("the demo failed in {}", stage.current_step())).hint(hint)
    }
}

impl From<anyhow::Error> for DemoError {
    fn from(cause: anyhow::Error) -> Self {
        Self { cause, log: None }
    }
}

impl From<CommandError> for DemoError {
    fn from(failure: CommandError) -> Self {
        Self { cause: failure.cause, log: None }
    }
}
