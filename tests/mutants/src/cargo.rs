//! Runs tests of the copy, in a target directory of its own, and reads what came of them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No test runs longer: a bug may make it wait for ever.
const LIMIT: Duration = Duration::from_secs(600);

/// How tests of the copy are run.
pub(crate) struct Cargo {
    tree: PathBuf,
    target: PathBuf,
}

/// What came of a test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At least one test ran, and none failed.
    Passed,
    /// These failed.
    Failed(Vec<String>),
    /// There is no such test.
    None,
    /// It does not compile.
    Broken(String),
    /// It was stopped.
    TooLong,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Passed => "it passes".to_owned(),
            Self::Failed(names) => format!("{} failed", names.join(", ")),
            Self::None => "no test has this name".to_owned(),
            Self::Broken(errors) => format!("it does not compile:\n{errors}"),
            Self::TooLong => format!("no end after {} s", LIMIT.as_secs()),
        }
    }
}

impl Cargo {
    pub(crate) fn new(tree: &Path, target: &Path) -> Self {
        Self { tree: tree.to_path_buf(), target: target.to_path_buf() }
    }

    /// `cargo test` with these arguments, separated by blanks.
    pub(crate) fn test(&self, arguments: &str) -> Result<Outcome, String> {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let (status, errors) = self.run(&[&["test", "--locked", "--no-run"], arguments.as_slice()].concat())?;
        match status {
            None => return Ok(Outcome::TooLong),
            Some(false) => return Ok(Outcome::Broken(errors)),
            Some(true) => {}
        }
        let (status, output) = self.run(&[&["test", "--locked"], arguments.as_slice()].concat())?;
        Ok(match status {
            None => Outcome::TooLong,
            Some(_) => read(&output),
        })
    }

    /// True: it went well; none: it was stopped. And what it said.
    fn run(&self, arguments: &[&str]) -> Result<(Option<bool>, String), String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let log = self.target.with_extension("log");
        let both = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = both.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = Command::new(cargo);
        command.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target);
        // Every bug compiles the crate anew and runs it for seconds.
        command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.args(["--config", "profile.dev.package.sp-sched-core.opt-level=0"]).args(arguments);
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null()).stdout(both).stderr(errors);
        let mut child = command.spawn().map_err(|e| format!("cargo: {e}"))?;
        let status = wait(&mut child)?;
        let mut said = String::new();
        let mut file = std::fs::File::open(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        file.read_to_string(&mut said).map_err(|e| format!("{}: {e}", log.display()))?;
        Ok((status, said))
    }
}

fn wait(child: &mut Child) -> Result<Option<bool>, String> {
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(|e| format!("cargo: {e}"))? {
            Some(status) => return Ok(Some(status.success())),
            None if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(50)),
            None => {
                // Its tests end with the pipe that cargo held, or by themselves.
                child.kill().and_then(|()| child.wait()).map_err(|e| format!("cargo: {e}"))?;
                return Ok(None);
            }
        }
    }
}

/// The names of the tests that ran, as the test harness prints them.
fn read(output: &str) -> Outcome {
    let verdicts = output.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    let verdicts: Vec<(&str, &str)> = verdicts.collect();
    let failed: Vec<String> =
        verdicts.iter().filter(|(_, v)| v.ends_with("FAILED")).map(|(n, _)| (*n).to_owned()).collect();
    let passed = verdicts.iter().any(|(_, v)| v.ends_with("ok"));
    match (failed.is_empty(), passed) {
        (false, _) => Outcome::Failed(failed),
        (true, true) => Outcome::Passed,
        (true, false) => Outcome::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_says_which_tests_failed() {
        let output = "running 2 tests\ntest a::b ... ok\ntest c ... FAILED\n\ntest result: FAILED. 1 passed\n";
        assert_eq!(read(output), Outcome::Failed(vec!["c".to_owned()]));
        assert_eq!(read("test a ... ok\ntest result: ok. 1 passed\n"), Outcome::Passed);
        assert_eq!(read("running 0 tests\n\ntest result: ok. 0 passed\n"), Outcome::None);
    }
}
