//! `make bench`: the figures that the project promises, measured in one run, as a table (or `--json`).
//!
//! Every comparison alternates its two sides in the same run; the table shows minimum, median and maximum, so that the
//! noise of the machine is seen beside the figure.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sp_tests::figures::Line;
use sp_tests::{Cluster, Setup, process::bin_dir};

/// Rounds of each comparison; `SP_BENCH_ROUNDS` changes it.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let rounds = std::env::var("SP_BENCH_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(ROUNDS).max(1);
    let json = std::env::args().any(|a| a == "--json");
    let mut report = vec![];
    // Each figure is printed as soon as it is there: the whole takes a quarter of an hour.
    let mut show = |lines: Vec<Line>| {
        for line in lines {
            if !json {
                println!("{}", line.text());
            }
            report.push(as_json(&line));
        }
    };
    show(overhead(rounds)?);
    show(vec![demo("make demo, parameters cached, binaries built", 480, &[])?]);
    show(vec![demo_without_parameters()?]);
    show(parameters()?);
    if std::env::args().any(|a| a == "--cold") {
        show(vec![compile()?]);
    }
    if json {
        println!("{}", Value::from(report));
    }
    Ok(())
}

fn as_json(line: &Line) -> Value {
    json!({ "what": line.what, "unit": line.unit, "values": line.values, "median": line.median(), "promise": line.note })
}

/// Sealing one CC sector through the cluster, chain waits taken off, against upstream's calls in one plain process.
fn overhead(rounds: usize) -> Result<Vec<Line>> {
    let (mut plain, mut cluster) = (vec![], vec![]);
    for round in 1..=rounds {
        eprintln!("overhead: round {round} of {rounds}");
        plain.push(plain_seal()?);
        cluster.push(cluster_seal()?);
    }
    let plain = Line::new("seal 2 KiB, upstream's calls in one process", "s", plain);
    let cluster = Line::new("seal 2 KiB, through the cluster without chain waits", "s", cluster);
    let allowed = plain.median() * 1.10 + 2.0;
    let rest = cluster.median() - plain.median();
    let promise = format!("promised: at most {:.2} s in all (1.10 x + 2 s)", allowed);
    let difference = Line::new("cluster overhead (medians)", "s", vec![rest]).note(promise);
    Ok(vec![plain, cluster, difference])
}

fn plain_seal() -> Result<f64> {
    let report = run_json(
        Command::new(bin_dir()?.join("examples/plain_seal")).env("FIL_PROOFS_PARAMETER_CACHE", parameter_dir()?),
    )?;
    report["total_s"].as_f64().context("plain_seal printed no total")
}

fn cluster_seal() -> Result<f64> {
    let mut cluster = Cluster::start(Setup::two_sealing())?;
    cluster.ctl_json(&["sectors", "pledge"])?;
    cluster.wait_for_state(&[0], &["Proving"], Duration::from_secs(300))?;
    let status = cluster.ctl_json(&["sectors", "status", "0", "--log"])?;
    let log = status["log"].as_array().context("no log")?;
    let at = |entry: Option<&Value>| entry.and_then(|e| e["unix_ms"].as_f64()).context("the log has no such entry");
    let event = |text: &'static str| log.iter().find(|e| e["event"].as_str().is_some_and(|t| t.contains(text)));
    let first = at(log.first())?;
    let proving = at(event("-> Proving"))?;
    let waited = at(event("WaitSeed -> "))? - at(event("-> WaitSeed"))?;
    Ok((proving - first - waited) / 1000.0)
}

/// Our parameter generator against upstream's, in CPU time, as `bench_params` measures it.
fn parameters() -> Result<Vec<Line>> {
    eprintln!("parameters: ours and upstream's");
    let report = run_json(&mut Command::new(bin_dir()?.join("examples/bench_params")))?;
    let list = report["lines"].as_array().context("bench_params printed no lines")?;
    let line = |v: &Value| {
        let what = v["what"].as_str().unwrap_or_default();
        let unit = if v["unit"] == "x" { "x" } else { "cpu-s" };
        let value = v["value"].as_f64().unwrap_or(f64::NAN);
        Line::new(what, unit, vec![value]).note(v["promise"].as_str().unwrap_or_default())
    };
    Ok(list.iter().map(line).collect())
}

/// The whole demo, with binaries built.
fn demo(what: &str, limit_s: u64, env: &[(&str, &std::path::Path)]) -> Result<Line> {
    eprintln!("{what}");
    let start = Instant::now();
    let mut command = Command::new(bin_dir()?.join("sp-ctl"));
    command.arg("demo").envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status()?.success() {
        bail!("the demo failed; run `make demo` to see why");
    }
    let took = start.elapsed().as_secs_f64();
    Ok(Line::new(what, "s", vec![took]).note(format!("promised: at most {limit_s} s")))
}

/// The demo with an empty parameter directory: it makes the parameters first.
fn demo_without_parameters() -> Result<Line> {
    let empty = tempfile::tempdir()?;
    demo("make demo, no parameters yet, binaries built", 720, &[("FIL_PROOFS_PARAMETER_CACHE", empty.path())])
}

/// Everything that the demo needs, compiled from nothing (`--cold`).
fn compile() -> Result<Line> {
    eprintln!("compiling everything from nothing");
    let empty = tempfile::tempdir()?;
    let start = Instant::now();
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--locked", "--workspace", "--bins"]).env("CARGO_TARGET_DIR", empty.path());
    if !command.status()?.success() {
        bail!("it does not compile");
    }
    let took = start.elapsed().as_secs_f64();
    Ok(Line::new("compiling everything from nothing", "s", vec![took]).note("promised: at most 720 s"))
}

/// Runs a program and parses the last line it prints.
fn run_json(command: &mut Command) -> Result<Value> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("it printed nothing")?;
    serde_json::from_str(last).with_context(|| format!("no JSON: {last}"))
}

/// Where the development parameters are.
fn parameter_dir() -> Result<String> {
    let report = run_json(Command::new(bin_dir()?.join("sp-verify")).args(["params", "list", "--json"]))?;
    Ok(report["dir"].as_str().context("sp-verify params list names no directory")?.to_owned())
}
