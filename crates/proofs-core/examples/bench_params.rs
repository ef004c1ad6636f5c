//! Measures parameter generation against bellperson's and prints JSON: CPU time of both on the SHA-256 circuits that
//! fill the PoRep circuit, in two sizes (the cost per constraint shows the scaling), and of ours on the 2 KiB PoRep
//! itself.
//!
//! With `--full`, bellperson makes the 2 KiB PoRep too (20 CPU-minutes, 5 GiB), and the bytes are compared.
// A measurement reads files and clocks itself.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bellperson::gadgets::boolean::{AllocatedBit, Boolean};
use bellperson::gadgets::sha256::sha256;
use bellperson::groth16::generate_random_parameters;
use bellperson::{Circuit, ConstraintSystem, SynthesisError};
use blstrs::{Bls12, Scalar};
use filecoin_proofs::PoRepConfig;
use filecoin_proofs::constants::{DefaultPieceHasher, SectorShape2KiB};
use filecoin_proofs::parameters::public_params;
use proofs_core::params::{Kind, development_rng, generate, write_for_circuit};
use serde_json::{Value, json};
use sp_types::{RegisteredSealProof, SectorSize};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_porep::stacked::{StackedCompound, StackedDrg};

/// SHA-256 blocks of the two small circuits: about 2^15 and 2^17 constraints.
const BLOCKS: [usize; 2] = [1, 4];

const SIZE: SectorSize = SectorSize::KiB2;
/// Clock ticks per second in /proc, a constant of the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// The hash of a message of so many SHA-256 blocks, padding included.
struct Hash(usize);

impl Circuit<Scalar> for Hash {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let bit = |i| Ok(AllocatedBit::alloc(cs.namespace(|| format!("bit {i}")), None)?.into());
        let message: Vec<Boolean> = (0..self.0 * 512 - 72).map(bit).collect::<Result<_, SynthesisError>>()?;
        sha256(cs.namespace(|| "hash"), &message).map(drop)
    }
}

/// A writer that keeps only a digest's worth: whether two writers saw the same.
#[derive(Clone)]
struct Seen(blake2b_simd::State);

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// CPU and wall seconds of some work, and its result.
fn measure<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, f64, T)> {
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    let result = work()?;
    Ok((cpu_seconds()? - cpu, wall.elapsed().as_secs_f64(), result))
}

/// User and system time of the whole process so far.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field, the name, may hold blanks; it ends at the last parenthesis.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).context("/proc/self/stat is short");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Peak resident memory so far.
fn peak_rss_mib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}

fn small_circuit(blocks: usize) -> Result<(f64, Value)> {
    let rng = || development_rng(Kind::Porep, SIZE);
    let (mut ours, mut theirs) = (Seen(blake2b_simd::State::new()), Seen(blake2b_simd::State::new()));
    let (our_cpu, our_wall, constraints) = measure(|| write_for_circuit(|| Hash(blocks), &mut rng(), &mut ours))?;
    let (their_cpu, their_wall, ()) =
        measure(|| Ok(generate_random_parameters::<Bls12, _, _>(Hash(blocks), &mut rng())?.write(&mut theirs)?))?;
    ensure!(ours.0.finalize() == theirs.0.finalize(), "the parameters of {blocks} blocks differ from bellperson's");
    let per_constraint = their_cpu / constraints as f64;
    let report = json!({
        "circuit": format!("sha256 of {blocks} blocks"), "constraints": constraints, "same_bytes": true,
        "upstream_cpu_s": their_cpu, "upstream_wall_s": their_wall,
        "upstream_cpu_us_per_constraint": per_constraint * 1e6,
        "ours_cpu_s": our_cpu, "ours_wall_s": our_wall,
        "ours_cpu_us_per_constraint": our_cpu / constraints as f64 * 1e6,
        "ratio": their_cpu / our_cpu,
    });
    eprintln!("{report}");
    Ok((per_constraint, report))
}

fn main() -> Result<()> {
    let full = std::env::args().any(|arg| arg == "--full");
    let dir = tempfile::tempdir().context("cannot make a directory to work in")?;
    let (cpu, wall, report) = measure(|| Ok(generate(Kind::Porep, SIZE, dir.path(), &|_| ())?))?;
    let memory = peak_rss_mib()?;
    let constraints = report.constraints.context("the parameters were there already")?;
    eprintln!("2 KiB PoRep: {cpu:.1} CPU-s, {wall:.1} s, {memory} MiB");

    let small = BLOCKS.map(small_circuit).into_iter().collect::<Result<Vec<_>>>()?;
    let per_constraint = small.last().context("two circuits")?.0;
    let scaled = per_constraint * constraints as f64;
    let mut porep = json!({
        "constraints": constraints, "ours_cpu_s": cpu, "ours_wall_s": wall, "ours_peak_rss_mib": memory,
        "ours_cpu_us_per_constraint": cpu / constraints as f64 * 1e6,
        "upstream_cpu_s_scaled": scaled, "ratio": scaled / cpu,
    });
    if full {
        let measured = upstream_porep(&report.files[0].path)?;
        porep["upstream_cpu_s_measured"] = json!(measured);
        porep["ratio_measured"] = json!(measured / cpu);
        porep["same_bytes"] = json!(true);
    }
    let circuits: Vec<_> = small.into_iter().map(|(_, report)| report).collect();
    println!("{}", json!({"lines": lines(&circuits, &porep), "small_circuits": circuits, "porep_2kib": porep}));
    Ok(())
}

/// The rows of the table that `make bench` prints.
fn lines(circuits: &[Value], porep: &Value) -> Vec<Value> {
    let line = |what: String, unit: &str, value: &Value, promise: String| json!({"what": what, "unit": unit, "value": value, "promise": promise});
    let mut lines = Vec::new();
    for circuit in circuits {
        let name =
            format!("{}, {} constraints", circuit["circuit"].as_str().unwrap_or_default(), circuit["constraints"]);
        let scaling =
            format!("{:.0} us per constraint", circuit["upstream_cpu_us_per_constraint"].as_f64().unwrap_or(0.0));
        lines.push(line(format!("parameters of {name}: upstream"), "cpu-s", &circuit["upstream_cpu_s"], scaling));
        lines.push(line(format!("parameters of {name}: ours"), "cpu-s", &circuit["ours_cpu_s"], "same bytes".into()));
    }
    let (upstream, ratio, how) = match porep.get("upstream_cpu_s_measured") {
        Some(measured) => (measured, &porep["ratio_measured"], "measured, same bytes"),
        None => (&porep["upstream_cpu_s_scaled"], &porep["ratio"], "scaled by constraints"),
    };
    let memory = format!("peak memory {} MiB, promised: at most 6144", porep["ours_peak_rss_mib"]);
    lines.push(line("parameters of the 2 KiB PoRep: upstream".into(), "cpu-s", upstream, how.into()));
    lines.push(line("parameters of the 2 KiB PoRep: ours".into(), "cpu-s", &porep["ours_cpu_s"], memory));
    lines.push(line("parameters of the 2 KiB PoRep: ratio".into(), "x", ratio, "promised: at least 12".into()));
    lines
}

/// CPU seconds of bellperson for the 2 KiB PoRep; its bytes must be those of our file.
fn upstream_porep(ours: &Path) -> Result<f64> {
    let porep_id = RegisteredSealProof::v1_1(SIZE).porep_id();
    let params =
        public_params::<SectorShape2KiB>(&PoRepConfig::new_groth16(SIZE.bytes(), porep_id, ApiVersion::V1_1_0))?;
    type Compound = StackedCompound<SectorShape2KiB, DefaultPieceHasher>;
    type Scheme<'a> = StackedDrg<'a, SectorShape2KiB, DefaultPieceHasher>;
    let mut theirs = Seen(blake2b_simd::State::new());
    let (cpu, _, ()) = measure(|| {
        let circuit = <Compound as CompoundProof<'_, Scheme<'_>, _>>::blank_circuit(&params);
        let made = generate_random_parameters::<Bls12, _, _>(circuit, &mut development_rng(Kind::Porep, SIZE))?;
        Ok(made.write(&mut theirs)?)
    })?;
    let mut digest = Seen(blake2b_simd::State::new());
    io::copy(&mut BufReader::with_capacity(1 << 20, File::open(ours)?), &mut digest)?;
    ensure!(digest.0.finalize() == theirs.0.finalize(), "the 2 KiB PoRep parameters differ from bellperson's");
    Ok(cpu)
}
