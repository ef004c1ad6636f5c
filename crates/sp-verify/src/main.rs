//! `sp-verify`: upstream's verifier and the parameter tools, in a process of their own.
//!
//! Exit codes of `verify`: 0 valid, 1 invalid, 2 nothing could be decided. Of `params`: 0 ok, 1 failed, 2 usage.
#![forbid(unsafe_code)]
// This binary is a leaf: it reads files and clocks itself, and the simulation never links it.
#![allow(clippy::disallowed_methods)]

mod document;
mod fetch;
mod judge;
mod params;
mod progress;
mod serve;

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use proofs_core::params::{PARAMETER_CACHE_ENV, default_dir, is_insecure};
use serde_json::{Value, json};

use crate::document::Nothing;

/// A proof document is some kilobytes; the largest (a deadline of 32 GiB sectors) some megabytes.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;

#[derive(Parser)]
#[command(
    name = "sp-verify",
    version,
    about = "Verify Filecoin proofs with upstream's verifier; make, fetch and check parameters"
)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Verify the JSON of `sectors proof --json` or `proving compute ... --json`: exit 0 valid, 1 invalid, 2 undecided
    Verify(VerifyArgs),
    /// Make, fetch, check and list proof parameters
    #[command(subcommand)]
    Params(params::Params),
    /// Answer verify requests on stdin and stdout until stdin ends
    #[command(hide = true)]
    Serve(ServeArgs),
}

#[derive(Args)]
struct VerifyArgs {
    /// File with the proof, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Directory of the parameters [default: FIL_PROOFS_PARAMETER_CACHE, else the development directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ServeArgs {
    /// Process that started this one; it is ended when that one ends
    #[arg(long)]
    parent: Option<u32>,
    /// Network that the proofs are for; any but `dev` refuses to verify under development parameters
    #[arg(long, default_value = "dev")]
    network: String,
}

fn main() -> ExitCode {
    let (result, error_code) = match Cli::parse().command {
        Subcommands::Verify(args) => (verify(&args), 2),
        Subcommands::Params(command) => (params::run(&command), 1),
        Subcommands::Serve(args) => (settle_parameter_dir(None).and_then(|dir| serve::run(&args, &dir)), 1),
    };
    result.unwrap_or_else(|error| {
        eprintln!("sp-verify: {error:#}");
        ExitCode::from(error_code)
    })
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let dir = settle_parameter_dir(args.dir.as_deref())?;
    let text = read_document(&args.file)?;
    let claims = document::parse(&text).with_context(|| format!("{} is no proof document", args.file.display()))?;
    let mut parts = Vec::new();
    for statement in claims.statements {
        let valid = statement.judge().map_err(|error| anyhow!("cannot decide: {error}"))?;
        parts.push((statement.to_string(), valid));
    }
    // Of nothing nothing is proven.
    let valid = !parts.is_empty() && parts.iter().all(|(_, valid)| *valid);
    let report = Report { valid, insecure: is_insecure(&dir), parts, nothing: claims.nothing };
    if args.json {
        say(report.json())
    } else {
        report.lines().into_iter().for_each(say)
    }
    Ok(ExitCode::from(u8::from(!valid)))
}

/// What is said of a document.
struct Report {
    valid: bool,
    insecure: bool,
    parts: Vec<(String, bool)>,
    nothing: Vec<Nothing>,
}

impl Report {
    fn json(&self) -> Value {
        let parts: Vec<_> = self.parts.iter().map(|(what, valid)| json!({"what": what, "valid": valid})).collect();
        let skipped = |n: &Nothing| json!({"partition": n.partition, "skipped_sectors": n.skipped});
        let nothing: Vec<_> = self.nothing.iter().map(skipped).collect();
        json!({"valid": self.valid, "insecure_parameters": self.insecure, "parts": parts, "without_claim": nothing})
    }

    fn lines(&self) -> Vec<String> {
        let word = |valid| if valid { "valid" } else { "invalid" };
        let part = |(what, valid): &(String, bool)| format!("{}: {what}", word(*valid));
        let nothing = |n: &Nothing| {
            format!("no claim: partition {} skipped all of its {} sectors and proves nothing", n.partition, n.skipped)
        };
        let under = if self.insecure { " under INSECURE development parameters" } else { "" };
        let last = if self.parts.is_empty() {
            "invalid: every sector was skipped, nothing is proven".to_owned()
        } else {
            format!("{}{under}", word(self.valid))
        };
        self.parts.iter().map(part).chain(self.nothing.iter().map(nothing)).chain([last]).collect()
    }
}

/// A line of output. A reader that went away (`| head`) has seen what it wanted.
fn say(line: impl Display) {
    if let Err(error) = writeln!(stdout(), "{line}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("sp-verify: cannot write to standard output: {error}");
    }
}

fn read_document(file: &Path) -> anyhow::Result<String> {
    let source: Box<dyn Read> = match file {
        file if file == Path::new("-") => Box::new(stdin()),
        file => Box::new(File::open(file).with_context(|| format!("cannot open {}", file.display()))?),
    };
    let mut text = String::new();
    source
        .take(DOCUMENT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", file.display()))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        bail!("{} is larger than {} MiB, which no proof document is", file.display(), DOCUMENT_BYTES_MAX >> 20);
    }
    Ok(text)
}

/// The directory of the parameters. Upstream reads it from the environment once per process; where it says something
/// else, this process starts over with the right environment.
fn settle_parameter_dir(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = wanted.map_or_else(default_dir, |dir| Ok(dir.to_owned()))?;
    if std::env::var_os(PARAMETER_CACHE_ENV).as_deref() == Some(OsStr::new(&dir)) {
        return Ok(dir);
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let error = Command::new(program).args(std::env::args_os().skip(1)).env(PARAMETER_CACHE_ENV, &dir).exec();
    Err(error).context("cannot start over with the parameter directory in the environment")
}
