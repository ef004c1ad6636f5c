//! What the benchmark is when others start it: a window worker whose prover sleeps, its executor child, and a verifier that
//! says yes.
//!
//! The worker is the product's own, with its session, leases, children and challenge reads. Only the proving call is
//! another: it takes as long as it is told, and computes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sp_net::child::{guard_parent, move_stdout_aside};
use sp_net::frame::blocking::{read, write};
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::verify_response::Verdict;
use sp_proto::v1::{ExecRequest, Failure, ProofOutput, VerifyRequest, VerifyResponse};
use sp_types::{SectorSize, TaskKind};
use sp_worker::executor::Role;
use sp_worker::launch::{self, Launch};
use sp_worker::settings::Shared;

/// Says how long the prover sleeps, in milliseconds.
const SLEEP: &str = "SP_BENCH_POST_SLEEP_MS";

/// Length of a proof of one partition, as the chain wants it.
const PROOF_BYTES: usize = 192;

/// Challenge reads at once, as `sp-post-worker` has them.
const PARALLEL_READS: usize = 32;

/// This program, to be started as a worker or a verifier.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// The environment of a worker whose prover sleeps so long.
pub(crate) fn sleeping(time: Duration) -> Vec<(String, String)> {
    vec![(SLEEP.into(), time.as_millis().to_string())]
}

/// Is it started as one of these? Then it is that until it ends.
pub(crate) fn serve(arguments: &[String]) -> Option<Result<ExitCode>> {
    let (first, rest) = arguments.split_first()?;
    let served = match first.as_str() {
        "run" => worker(rest),
        "executor" => executor(rest),
        "disk" => parent(rest).and_then(sp_worker::disks::serve),
        "serve" => verifier(rest),
        // Of the verifier: what it says of the parameters decides nothing on network dev.
        "params" => params(rest),
        _ => return None,
    };
    Some(served.map(|()| ExitCode::SUCCESS))
}

/// A window worker, told what the harness tells `sp-post-worker`.
fn worker(arguments: &[String]) -> Result<()> {
    sp_net::logs::init("bench-post-worker")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(launch::launch(Launch {
        service: "bench-post-worker",
        shared: shared(arguments)?,
        tasks: vec![TaskKind::GenerateWindowPost],
        sizes: vec![SectorSize::KiB2],
        parameters: std::env::temp_dir(),
        pools: vec![(Role::Prover, 1), (Role::Reader, 2)],
        warm: false,
        gpus_usable: false,
        post_parallel_reads: PARALLEL_READS,
        post_read_timeout: Duration::ZERO,
    }))
}

fn shared(arguments: &[String]) -> Result<Shared> {
    let mut shared = Shared::default();
    let mut arguments = arguments.iter();
    while let Some(flag) = arguments.next() {
        if flag == "--windowpost" {
            continue;
        }
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?.clone();
        match flag.as_str() {
            "--data-dir" => shared.data_dir = Some(value.into()),
            "--cluster" => shared.cluster = value,
            "--network" => shared.network = value,
            "--listen" => shared.listen = Some(value.parse()?),
            "--index" => shared.index = Some(value),
            "--scheduler" => shared.scheduler = Some(value),
            "--name" => shared.name = Some(value),
            "--host-id" => shared.host_id = Some(value),
            _ => bail!("unknown flag {flag}"),
        }
    }
    Ok(shared)
}

fn executor(arguments: &[String]) -> Result<()> {
    let time = std::env::var(SLEEP).ok().and_then(|ms| ms.parse().ok()).map_or(Duration::ZERO, Duration::from_millis);
    sp_worker::children::serve(parent(arguments)?, move |request| execute(request, time))
}

/// Reads are real; proving is not.
fn execute(request: &ExecRequest, time: Duration) -> Result<Outcome, Failure> {
    match &request.op {
        Some(Op::WindowPost(_)) => {
            std::thread::sleep(time);
            Ok(Outcome::Proof(ProofOutput { proof: vec![7; PROOF_BYTES], self_verified: true }))
        }
        _ => sp_executor::execute(sp_executor::Options::default(), request),
    }
}

fn verifier(arguments: &[String]) -> Result<()> {
    let mut answers = move_stdout_aside()?;
    let at = arguments.iter().position(|flag| flag == "--parent").context("no --parent")?;
    guard_parent(parent(&arguments[at + 1..])?)?;
    let mut questions = std::io::stdin().lock();
    while let Some(VerifyRequest { request, what: _ }) = read(&mut questions)? {
        write(&mut answers, &VerifyResponse { request, verdict: Some(Verdict::Valid(true)) })?;
    }
    Ok(())
}

fn params(arguments: &[String]) -> Result<()> {
    let dir = arguments.last().map(Path::new).context("which parameters?")?;
    println!("{}", serde_json::json!({"dir": dir, "insecure": true}));
    Ok(())
}

/// The process that started this one.
fn parent(arguments: &[String]) -> Result<u32> {
    arguments.first().context("no parent")?.parse().context("the parent is a process id")
}
