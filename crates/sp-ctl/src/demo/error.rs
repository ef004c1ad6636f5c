//! How the demo fails: why, and which log says more.

use std::fmt::Display;

use super::cluster::Cluster;
use super::stage::Stage;
use crate::error::CommandError;

pub(super) type Result<T> = std::result::Result<T, DemoError>;

/// Why a step failed, the name of the process whose log says more, and what to do next if that is known.
#[derive(Debug)]
pub(super) struct DemoError {
    cause: anyhow::Error,
    log: Option<String>,
    hint: Option<String>,
}

impl DemoError {
    /// A reason in words.
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { cause: anyhow::anyhow!(cause.into()), log: None, hint: None }
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
        let plain = CommandError::failed(self.cause);
        if let Some(hint) = self.hint { plain.hint(hint) } else { plain }
    }

    /// Which step, why, and which log to read; the logs stay.
    pub(super) fn report(self, cluster: &Cluster, stage: &Stage) -> CommandError {
        let log = cluster.log_path(self.log.as_deref().unwrap_or("scheduler"));
        let read =
            format!("read {}; the other logs lie beside it, and {} is kept", log.display(), cluster.dir.display());
        let hint = self.hint.map_or_else(|| read.clone(), |hint| format!("{hint}; else {read}"));
        CommandError::failed(self.cause).context(format!("the demo failed in {}", stage.current_step())).hint(hint)
    }
}

impl From<anyhow::Error> for DemoError {
    fn from(cause: anyhow::Error) -> Self {
        Self { cause, log: None, hint: None }
    }
}

impl From<CommandError> for DemoError {
    fn from(failure: CommandError) -> Self {
        let hint = failure.advice().map(str::to_owned);
        Self { cause: failure.cause, log: None, hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_next_is_not_lost_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::create(Some(&dir.path().join("demo"))).unwrap();
        let failed = || DemoError::from(CommandError::failed("no sp-verify").hint("build it")).context("cannot start");
        assert_eq!(failed().into_plain().advice(), Some("build it"));
        let report = failed().log("seal-a").report(&cluster, &Stage::new());
        let advice = report.advice().unwrap();
        assert!(advice.starts_with("build it; else read ") && advice.contains("seal-a.log"), "{advice}");
        let plain = DemoError::new("nothing known").report(&cluster, &Stage::new());
        assert!(plain.advice().unwrap().starts_with("read "), "{plain:?}");
    }
}
