//! `make bench`: the figures that the project promises, measured in one run, as a table (or `--json`).
//!
//! Every comparison alternates its two sides in the same run. Each figure shows its median, how many runs it had and
//! their minimum and maximum, so that the noise of the machine is seen beside it; each promise shows whether it holds.
//! Exit 1 when one is missed. `--no-cold` leaves out compiling everything from nothing.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sp_tests::{Cluster, Setup, parameters, process::bin_dir};

/// Rounds of each comparison; `SP_BENCH_ROUNDS` changes it. What takes many minutes runs once.
const ROUNDS: usize = 3;

const COMPILING: &str = "compiling everything from nothing";

fn main() -> Result<ExitCode> {
    let has = |flag: &str| std::env::args().any(|a| a == flag);
    let rounds = std::env::var("SP_BENCH_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(ROUNDS).max(1);
    let mut report = Report { json: has("--json"), lines: vec![] };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    report.say(&format!("{cores} cores, load at the start {load}"));
    report.show(overhead(rounds)?);
    report.show(vec![demo("make demo, parameters cached, binaries built", 480.0, &[])?]);
    report.show(vec![demo_without_parameters()?]);
    report.show(parameters()?);
    report.show(kernels()?);
    if has("--no-cold") {
        report.say(&format!("{COMPILING:<62} not measured (COLD=0)"));
    } else {
        report.show(vec![compile()?]);
    }
    let missed = report.lines.iter().filter(|line| line.holds() == Some(false)).count();
    if report.json {
        let lines: Vec<_> = report.lines.iter().map(Line::json).collect();
        println!("{}", json!({"cores": cores, "load": load, "lines": lines, "missed": missed}));
    }
    report.say(&format!("{missed} promises missed"));
    Ok(ExitCode::from(u8::from(missed > 0)))
}

/// Everything so far.
struct Report {
    json: bool,
    lines: Vec<Line>,
}

impl Report {
    /// Each figure is printed as soon as it is there: the whole takes most of an hour.
    fn show(&mut self, lines: Vec<Line>) {
        lines.iter().for_each(|line| self.say(&line.text()));
        self.lines.extend(lines);
    }

    fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// What was promised of a figure.
#[derive(Clone, Copy)]
enum Promise {
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// One figure of the table.
struct Line {
    what: String,
    unit: &'static str,
    /// Of every run, rising.
    values: Vec<f64>,
    promise: Promise,
    note: String,
}

impl Line {
    fn new(what: &str, unit: &'static str, mut values: Vec<f64>, promise: Promise) -> Self {
        values.sort_by(f64::total_cmp);
        Self { what: what.to_owned(), unit, values, promise, note: String::new() }
    }

    fn median(&self) -> f64 {
        self.values[self.values.len() / 2]
    }

    /// Does the promise hold? None where there is none.
    fn holds(&self) -> Option<bool> {
        match self.promise {
            Promise::None => None,
            Promise::AtMost(limit) => Some(self.median() <= limit),
            Promise::AtLeast(limit) => Some(self.median() >= limit),
        }
    }

    fn json(&self) -> Value {
        let promise = match self.promise {
            Promise::None => Value::Null,
            Promise::AtMost(limit) => json!({"at_most": limit}),
            Promise::AtLeast(limit) => json!({"at_least": limit}),
        };
        json!({
            "what": self.what, "unit": self.unit, "values": self.values, "median": self.median(),
            "promise": promise, "holds": self.holds(), "note": self.note,
        })
    }

    fn text(&self) -> String {
        let runs = match self.values.len() {
            1 => "1 run".to_owned(),
            runs => format!("{runs} runs"),
        };
        let spread = format!("{:.2} .. {:.2}", self.values[0], self.values[self.values.len() - 1]);
        let verdict = if self.holds() == Some(true) { "holds" } else { "MISSED" };
        let promise = match self.promise {
            Promise::None => String::new(),
            Promise::AtMost(limit) => format!("promised: at most {limit:.2}, {verdict}"),
            Promise::AtLeast(limit) => format!("promised: at least {limit:.2}, {verdict}"),
        };
        let text = format!(
            "{:<62} {:>9.2} {:<5} ({runs}, {spread:<17}) {promise} {}",
            self.what,
            self.median(),
            self.unit,
            self.note
        );
        text.trim_end().to_owned()
    }
}

/// Sealing one CC sector through the cluster, chain waits taken off, against upstream's calls in one plain process.
fn overhead(rounds: usize) -> Result<Vec<Line>> {
    let (mut plain, mut cluster) = (vec![], vec![]);
    for round in 1..=rounds {
        eprintln!("overhead: round {round} of {rounds}");
        plain.push(plain_seal()?);
        cluster.push(cluster_seal()?);
    }
    // Round by round, so that what disturbs the machine disturbs both sides.
    let over = plain.iter().zip(&cluster).map(|(plain, cluster)| cluster - plain * 1.10).collect();
    let over =
        Line { note: "(beyond 1.10 x)".into(), ..Line::new("cluster overhead", "s", over, Promise::AtMost(2.0)) };
    Ok(vec![
        Line::new("seal 2 KiB, upstream's calls in one process", "s", plain, Promise::None),
        Line::new("seal 2 KiB, through the cluster without chain waits", "s", cluster, Promise::None),
        over,
    ])
}

fn plain_seal() -> Result<f64> {
    let report = run_json(
        Command::new(bin_dir()?.join("examples/plain_seal")).env("FIL_PROOFS_PARAMETER_CACHE", parameters::dir()?),
    )?;
    report["total_s"].as_f64().context("plain_seal printed no total")
}

fn cluster_seal() -> Result<f64> {
    let mut cluster = Cluster::start(Setup::two_sealing())?;
    cluster.ctl_json(&["sectors", "pledge"])?;
    cluster.wait_for_state(&[0], &["Proving"], Duration::from_secs(900))?;
    let status = cluster.ctl_json(&["sectors", "status", "0", "--log"])?;
    let log = status["log"].as_array().context("no log")?;
    let at = |entry: Option<&Value>| entry.and_then(|e| e["unix_ms"].as_f64()).context("the log has no such entry");
    let event = |text: &'static str| log.iter().find(|e| e["event"].as_str().is_some_and(|t| t.contains(text)));
    let first = at(log.first())?;
    let proving = at(event("-> Proving"))?;
    let waited = at(event("WaitSeed -> "))? - at(event("-> WaitSeed"))?;
    Ok((proving - first - waited) / 1000.0)
}

/// Our parameter generator against upstream's, in CPU time, as `bench_params` measures it: upstream's on smaller circuits
/// of the same kind, scaled, with what a constraint costs in both sizes beside it.
fn parameters() -> Result<Vec<Line>> {
    eprintln!("parameters: ours and upstream's");
    let report = run_json(&mut Command::new(bin_dir()?.join("examples/bench_params")))?;
    let number = |of: &Value, key: &str| of[key].as_f64().with_context(|| format!("bench_params printed no {key}"));
    let mut lines = vec![];
    for circuit in report["small_circuits"].as_array().context("bench_params printed no circuits")? {
        let name = format!("parameters of {}", circuit["circuit"].as_str().unwrap_or_default());
        let cost = number(circuit, "upstream_cpu_us_per_constraint")?;
        for (whose, key, note) in [
            ("upstream", "upstream_cpu_s", format!("({cost:.0} us per constraint)")),
            ("ours", "ours_cpu_s", "(same bytes)".to_owned()),
        ] {
            let line = Line::new(&format!("{name}: {whose}"), "cpu-s", vec![number(circuit, key)?], Promise::None);
            lines.push(Line { note, ..line });
        }
    }
    let porep = &report["porep_2kib"];
    for (what, unit, key, promise) in [
        ("upstream, scaled", "cpu-s", "upstream_cpu_s_scaled", Promise::None),
        ("ours", "cpu-s", "ours_cpu_s", Promise::None),
        ("upstream to ours", "x", "ratio", Promise::AtLeast(12.0)),
        ("peak memory", "MiB", "ours_peak_rss_mib", Promise::AtMost(6144.0)),
    ] {
        let what = format!("parameters of the 2 KiB PoRep: {what}");
        lines.push(Line::new(&what, unit, vec![number(porep, key)?], promise));
    }
    Ok(lines)
}

/// The kernels against upstream's, in the build that gives upstream its SHA instructions. A machine without them has no
/// such build, and upstream none of them.
fn kernels() -> Result<Vec<Line>> {
    eprintln!("kernels: ours and upstream's");
    let (dir, example) = (bin_dir()?, "examples/bench_sdr");
    let with_sha = dir.parent().context("no target directory")?.join("upstream-sha/debug").join(example);
    let report = run_json(&mut Command::new(if with_sha.is_file() { with_sha } else { dir.join(example) }))?;
    let fair = report["upstream_with_sha"].as_bool().unwrap_or(false);
    let mut lines = vec![];
    for line in report["lines"].as_array().context("bench_sdr printed no lines")? {
        let text = |key: &str| line[key].as_str().with_context(|| format!("bench_sdr printed no {key}"));
        let values = line["values"].as_array().context("bench_sdr printed no values")?;
        let promise = line["at_least"].as_f64().filter(|_| fair).map_or(Promise::None, Promise::AtLeast);
        lines.push(Line::new(
            text("what")?,
            unit(text("unit")?),
            values.iter().flat_map(Value::as_f64).collect(),
            promise,
        ));
    }
    Ok(lines)
}

fn unit(text: &str) -> &'static str {
    ["ns", "cpu-s"].into_iter().find(|unit| *unit == text).unwrap_or("x")
}

/// The whole demo, with binaries built.
fn demo(what: &str, limit_s: f64, env: &[(&str, &std::path::Path)]) -> Result<Line> {
    eprintln!("{what}");
    let start = Instant::now();
    let mut command = Command::new(bin_dir()?.join("sp-ctl"));
    command.arg("demo").envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status()?.success() {
        bail!("the demo failed; run `make demo` to see why");
    }
    Ok(Line::new(what, "s", vec![start.elapsed().as_secs_f64()], Promise::AtMost(limit_s)))
}

/// The demo with an empty parameter directory: it makes the parameters first.
fn demo_without_parameters() -> Result<Line> {
    let empty = tempfile::tempdir()?;
    demo("make demo, no parameters yet, binaries built", 720.0, &[("FIL_PROOFS_PARAMETER_CACHE", empty.path())])
}

/// Everything that the demo needs, compiled from nothing into a directory that is removed afterwards.
fn compile() -> Result<Line> {
    eprintln!("{COMPILING}");
    let empty = tempfile::tempdir()?;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no repository")?;
    let start = Instant::now();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    command.current_dir(root).env("CARGO_TARGET_DIR", empty.path());
    if !command.status()?.success() {
        bail!("it does not compile");
    }
    Ok(Line::new(COMPILING, "s", vec![start.elapsed().as_secs_f64()], Promise::AtMost(720.0)))
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
