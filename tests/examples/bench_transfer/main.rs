//! Transfers: between two worker processes, against `curl` from nginx and an rsync daemon, and what a cut costs.
//!
//! Each transfer ends with fsync. The three alternate in the same run. CPU seconds are those of both ends, with what
//! the kernel does on their behalf; ours compare every byte with its digest, and rsync has sums of its own.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

mod cut;
mod options;
mod peers;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use sp_tests::figures::{self, Line, Promise, Table};
use sp_tests::spent::Spent;

use crate::options::Options;
use crate::peers::{Ours, Paths, Peer, Source};

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    println!("transfers: {} MiB, {}; median (least .. most of runs)", options.mib, figures::machine());
    let mut table = Table::default();
    if options.does("disk") {
        compare(&options, &options.dir, "on disk", &mut table)?;
    }
    if options.does("memory") {
        compare(&options, Path::new("/dev/shm"), "in memory", &mut table)?;
    }
    if options.does("cut") {
        cut::measure(&options, &mut table)?;
    }
    Ok(table.end())
}

/// One way of transferring, with what its runs took.
struct Side {
    peer: Box<dyn Peer>,
    seconds: Vec<f64>,
    cpu_per_gib: Vec<f64>,
}

fn compare(options: &Options, place: &Path, what: &str, table: &mut Table) -> Result<()> {
    table.heading(&format!("{what} ({})", place.display()));
    let dir = tempfile::Builder::new().prefix("sp-bench-transfer-").tempdir_in(place)?;
    let source = Source::make(dir.path(), options.mib)?;
    let mut sides =
        vec![Side::new(Ours::start(&source, Paths::Own)?), Side::new(Ours::start(&source, Paths::Children)?)];
    for peer in [peers::nginx(&source)?, peers::rsync(&source)?] {
        match peer {
            Ok(peer) => sides.push(Side { peer, seconds: vec![], cpu_per_gib: vec![] }),
            Err(missing) => table.unmeasured(format!("{what}: against {missing}, which is not installed here")),
        }
    }
    let target = dir.path().join("to");
    for run in 0..options.runs {
        // Another one begins each time: who comes after whom is no advantage.
        for at in 0..sides.len() {
            let next = (run + at) % sides.len();
            sides[next].run(&source, &target)?;
        }
    }
    let gib = options.mib as f64 / 1024.0;
    for (at, side) in sides.iter().enumerate() {
        let name = side.peer.name();
        let rate = side.seconds.iter().map(|seconds| gib / seconds).collect();
        table.show(Line::new(format!("{what}: {name}"), "GiB/s", rate));
        // What children spend is not seen, and half of it would be misleading.
        if at == 0 || !side.peer.is_ours() {
            table.show(Line::new(format!("{what}: {name}, CPU of both ends"), "s/GiB", side.cpu_per_gib.clone()));
        }
    }
    let (ours, others) = sides.split_first().context("nothing was measured")?;
    for other in others {
        // Run by run, so that what disturbs the machine disturbs both.
        let faster = other.seconds.iter().zip(&ours.seconds).map(|(other, ours)| other / ours).collect();
        let line = Line::new(format!("{what}: speed of ours to {}", other.peer.name()), "x", faster);
        if other.peer.is_ours() {
            table.show(line);
            continue;
        }
        table.show(line.promised(Promise::AtLeast(1.0)));
        let cheaper = other.cpu_per_gib.iter().zip(&ours.cpu_per_gib).map(|(other, ours)| other / ours).collect();
        let line = Line::new(format!("{what}: CPU of {} to ours", other.peer.name()), "x", cheaper);
        table.show(line.note("more is better for ours"));
    }
    for (end, peaks) in ours.peer.peaks_mib() {
        let line = Line::new(format!("{what}: peak memory of our {end}"), "MiB", peaks);
        table.show(line.promised(Promise::AtMost(64.0)));
    }
    Ok(())
}

impl Side {
    fn new(peer: impl Peer + 'static) -> Self {
        Self { peer: Box::new(peer), seconds: vec![], cpu_per_gib: vec![] }
    }

    /// One transfer into an empty directory, ended by fsync.
    fn run(&mut self, source: &Source, target: &Path) -> Result<()> {
        let _ = std::fs::remove_dir_all(target);
        std::fs::create_dir_all(target)?;
        let before = Spent::now(&self.peer.servers())?;
        let began = Instant::now();
        let file = self.peer.fetch(source, target).with_context(|| self.peer.name())?;
        std::fs::File::open(&file)?.sync_all()?;
        self.seconds.push(began.elapsed().as_secs_f64());
        let cpu = Spent::now(&self.peer.servers())?.since(&before);
        self.cpu_per_gib.push(cpu * 1024.0 / source.mib as f64);
        anyhow::ensure!(std::fs::metadata(&file)?.len() == source.mib << 20, "{} is not whole", file.display());
        std::fs::remove_dir_all(target)?;
        Ok(())
    }
}
