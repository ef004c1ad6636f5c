//! Are the parameters fit for a real network? Asked of `sp-verify`, as the scheduler itself links no proofs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sp_net::Env;
use tokio::process::Command;

/// The answer takes a look at each file's head.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Does this directory hold anything but published parameters, marked as such or not? `sp-verify` goes by the digests:
/// the marker alone is easily lost when files are copied. The error says why it cannot be told.
pub async fn parameters_are_insecure(env: &Env, program: &Path, parameters: &Path) -> Result<bool, String> {
    let mut command = Command::new(program);
    command.args(["params", "list", "--json", "--dir"]).arg(parameters);
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let shown = program.display();
    let output = match env.timeout(ANSWER_LIMIT, command.output()).await {
        Ok(output) => output.map_err(|e| format!("cannot start {shown}: {e}; name it with --verify-bin"))?,
        Err(elapsed) => return Err(format!("{shown} does not say what parameters there are: {elapsed}")),
    };
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let told = answer["insecure"].as_bool();
    told.ok_or_else(|| format!("{shown} does not say what parameters there are ({})", output.status))
}

/// Refuses to go by insecure parameters on a real network: only a clear no lets the scheduler start.
pub async fn refuse_insecure_parameters(
    env: &Env,
    program: &Path,
    parameters: &Path,
    network: &str,
) -> Result<(), String> {
    if !parameters_are_insecure(env, program, parameters).await? {
        return Ok(());
    }
    Err(format!(
        "the parameters in {} are INSECURE development parameters, or cannot be read, and network `{network}` must not \
         use them; give --parameters a directory with the published ones",
        parameters.display()
    ))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn only_a_clear_no_lets_the_scheduler_start() {
        let dir = tempfile::tempdir().expect("temp dir");
        let program = dir.path().join("sp-verify");
        for (answer, fine) in [(r#"{"insecure":false}"#, true), (r#"{"insecure":true}"#, false), ("", false)] {
            std::fs::write(&program, format!("#!/bin/sh\necho '{answer}'\n")).expect("written");
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
            let insecure = parameters_are_insecure(&Env::real(), &program, dir.path()).await.ok();
            assert_eq!(insecure, (!answer.is_empty()).then_some(!fine), "{answer}");
            let refused = refuse_insecure_parameters(&Env::real(), &program, dir.path(), "mainnet").await;
            assert_eq!(refused.is_ok(), fine, "{answer}: {refused:?}");
        }
        let missing = refuse_insecure_parameters(&Env::real(), Path::new("/nonexistent"), dir.path(), "mainnet").await;
        assert!(missing.expect_err("not there").contains("--verify-bin"));
    }
}
