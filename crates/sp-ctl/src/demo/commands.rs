//! The commands of the demo: our own command line as a child process, printed as a user would type it.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::error::{DemoError, Result};
use super::progress::Follow;
use super::stage::Stage;
use crate::sibling;

/// No command of the demo takes longer; computing a proof is the longest, and what it waits for gives up before and
/// says why.
const COMMAND_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Runs commands against one scheduler.
pub(super) struct Commands<'a> {
    pub(super) stage: &'a Stage,
    pub(super) scheduler_url: String,
}

impl Commands<'_> {
    /// `sp-ctl ARGUMENTS`: what it printed.
    pub(super) async fn text(&self, arguments: &[&str]) -> Result<String> {
        self.text_of(arguments, Follow::Nothing).await
    }

    /// The same for one that takes long.
    pub(super) async fn text_of(&self, arguments: &[&str], follow: Follow) -> Result<String> {
        self.stage.command(&format!("sp-ctl {}", arguments.join(" ")));
        self.followed(follow, self.checked(arguments, None)).await
    }

    /// `sp-ctl ARGUMENTS --json`: what it printed, as text and parsed.
    pub(super) async fn json(&self, arguments: &[&str]) -> Result<(String, Value)> {
        self.json_of(arguments, Follow::Nothing).await
    }

    /// The same for one that takes long.
    pub(super) async fn json_of(&self, arguments: &[&str], follow: Follow) -> Result<(String, Value)> {
        let arguments = [arguments, &["--json"]].concat();
        let text = self.text_of(&arguments, follow).await?;
        let value = serde_json::from_str(&text).with_context(|| format!("sp-ctl {}", arguments.join(" ")))?;
        Ok((text, value))
    }

    /// `sp-ctl verify -` with this document: fails unless upstream's verifier says that it is valid.
    pub(super) async fn verify(&self, document: &str) -> Result<()> {
        self.stage.command("sp-ctl verify -");
        let said = self.followed(Follow::Verifier, self.checked(&["verify", "-"], Some(document))).await;
        let said = said.map_err(|failure| failure.context("upstream's verifier did not accept the proof"))?;
        said.lines().for_each(|line| self.stage.line(&format!("verifier: {line}")));
        Ok(())
    }

    async fn checked(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let output = self.output(arguments, input).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        // Whatever it said, on one line.
        let said = format!("{} {}", text(&output.stdout), text(&output.stderr));
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(DemoError::new(format!("`sp-ctl {}` failed ({}): {said}", arguments.join(" "), output.status)))
    }

    async fn output(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = Command::new(sibling::path("sp-ctl")?);
        command.args(arguments).env("SP_CTL_SCHEDULER", &self.scheduler_url).env("NO_COLOR", "1");
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        // In a group of its own: Ctrl-C is ours to handle, and dropping the command ends it.
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().context("cannot run sp-ctl")?;
        let mut stdin = child.stdin.take();
        let run = async {
            if let (Some(stdin), Some(input)) = (&mut stdin, input) {
                // A child that does not read to the end says why itself.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            drop(stdin);
            child.wait_with_output().await
        };
        let ended = tokio::time::timeout(COMMAND_LIMIT, run).await;
        let limit = || format!("`sp-ctl {}` did not end within {} s", arguments.join(" "), COMMAND_LIMIT.as_secs());
        Ok(ended.map_err(|_| DemoError::new(limit()))?.context("cannot wait for sp-ctl")?)
    }
}
