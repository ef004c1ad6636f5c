//! The challenge reads of a large partition: from two data planes 5 ms away each way, against reading the same files here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sp_net::Env;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{self, assign::Params, task_done::Output, task_result};
use sp_sectors::{Disk, LocalPath, RealDisk, StorageConfig, Store, StoreMeta};
use sp_tests::figures::{Line, Promise, Table};
use sp_tests::process::{Process, tail};
use sp_tests::{shelf, spent};
use sp_types::{RegisteredSealProof, SectorSize, StoreId};
use tokio::runtime::Runtime;

use crate::direct::Director;
use crate::options::Options;
use crate::proxy::Proxy;

const SECTORS: u64 = 500;

const HOLDERS: u64 = 2;

/// What their names begin with.
const HOLDER: &str = "holder";

/// On the way to a data plane, and back.
const DELAY: Duration = Duration::from_millis(5);

/// Promised of the reads from afar to those from here.
const RATIO: f64 = 1.3;

const MINER: u64 = 1000;

/// Nobody listens there: PoSt does without the index.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What reading everything has taken.
struct Cost {
    seconds: f64,
    reader_s: f64,
    holders_s: f64,
}

/// Two workers that read, one with the files and one without, and two that have them too.
struct Scene {
    director: Director,
    sectors: Vec<v1::PostSector>,
    far: Vec<v1::Input>,
    attempts: u64,
    _ways: Vec<Proxy>,
    processes: BTreeMap<String, Process>,
    _dir: tempfile::TempDir,
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    table.heading(&format!(
        "challenge reads of {SECTORS} sectors by a window worker, as it measures them; two data planes that are {} ms \
         away each way, on the same cores",
        DELAY.as_millis()
    ));
    let mut scene = runtime.block_on(Scene::start())?;
    let (mut here, mut afar) = (Vec::new(), Vec::new());
    for run in 0..=options.runs {
        let (near, far) = (scene.cost_of("near", runtime)?, scene.cost_of("far", runtime)?);
        // The first run starts the children.
        if run > 0 {
            here.push(near);
            afar.push(far);
        }
    }
    // Run by run, so that what disturbs the machine disturbs both.
    let ratio = here.iter().zip(&afar).map(|(here, afar)| afar.seconds / here.seconds).collect();
    let each = |costs: &[Cost], of: fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<f64>>();
    let per_sector = |cpu_s: f64| cpu_s * 1e3 / SECTORS as f64;
    table.show(Line::new("read here", "s", each(&here, |cost| cost.seconds)));
    table.show(Line::new("read from two data planes", "s", each(&afar, |cost| cost.seconds)));
    table.show(Line::new("from afar to here", "x", ratio).promised(Promise::AtMost(RATIO)));
    for (what, costs, of) in [
        ("CPU for a sector: read here", &here, (|cost| cost.reader_s) as fn(&Cost) -> f64),
        ("CPU for a sector: read by the two who have it", &afar, |cost| cost.holders_s),
        ("CPU for a sector: asked for, and checked here", &afar, |cost| cost.reader_s),
    ] {
        table.show(Line::new(what, "ms", each(costs, of).into_iter().map(per_sector).collect()));
    }
    Ok(())
}

impl Scene {
    async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sp-bench-post-").tempdir()?;
        let (director, address) = Director::start().await?;
        let (mut processes, mut ways, mut far, mut sectors) = (BTreeMap::new(), vec![], vec![], vec![]);
        let mut shelves = Vec::new();
        for holder in 0..HOLDERS {
            let numbers = holder * SECTORS / HOLDERS..(holder + 1) * SECTORS / HOLDERS;
            let path = dir.path().join(format!("shelf-{holder}"));
            let store = stock(&path, numbers.clone())?;
            let name = format!("{HOLDER}-{holder}");
            let flags = ["--no-default"];
            let paths = std::slice::from_ref(&path);
            processes.insert(name.clone(), start(dir.path(), &name, "sp-sealing-worker", &flags, paths, address)?);
            let data_plane = director.data_url(&name).await?;
            let way = Proxy::start(data_plane.trim_start_matches("http://").parse()?, DELAY).await?;
            for number in numbers {
                sectors.push(sector(&path, number)?);
                far.push(input(number, &store, &way.url()));
            }
            ways.push(way);
            shelves.push(path);
        }
        for (name, paths) in [("near", &shelves[..]), ("far", &[])] {
            let reader = start(dir.path(), name, "sp-post-worker", &["--windowpost"], paths, address)?;
            processes.insert(name.into(), reader);
            director.data_url(name).await?;
        }
        Ok(Self { director, sectors, far, attempts: 0, _ways: ways, processes, _dir: dir })
    }

    /// What it takes to have this worker read everything.
    fn cost_of(&mut self, worker: &str, runtime: &Runtime) -> Result<Cost> {
        let before = (self.spent(worker)?, self.spent(HOLDER)?);
        let seconds = self.read_s(worker, runtime)?;
        Ok(Cost { seconds, reader_s: self.spent(worker)? - before.0, holders_s: self.spent(HOLDER)? - before.1 })
    }

    /// CPU seconds of those whose names begin so.
    fn spent(&self, name: &str) -> Result<f64> {
        let these = self.processes.iter().filter(|(known, _)| known.starts_with(name));
        these.map(|(_, process)| spent::with_children(process.pid())).sum()
    }

    /// Seconds that this worker takes to read a challenge of every sector.
    fn read_s(&mut self, worker: &str, runtime: &Runtime) -> Result<f64> {
        self.attempts += 1;
        let params = v1::CheckParams {
            // Another challenge each time.
            randomness: vec![self.attempts as u8; 32],
            sectors: self.sectors.clone(),
            read_timeout_ms: 60_000,
            partition_timeout_ms: 0,
            parallel_reads: 0,
        };
        let assign = v1::Assign {
            attempt: Some(v1::AttemptId { task: self.attempts, number: 1 }),
            task: v1::TaskKind::WindowPost as i32,
            miner: MINER,
            seal_proof: RegisteredSealProof::v1_1(SectorSize::KiB2).id(),
            inputs: self.far.clone(),
            params: Some(Params::Check(params)),
            ..Default::default()
        };
        let result = runtime.block_on(self.director.run(worker, assign))?;
        let logs = || self.processes.values().map(|process| tail(&process.log)).collect::<Vec<_>>().join("\n");
        let Some(task_result::Outcome::Done(v1::TaskDone { output: Some(Output::Post(post)), .. })) = result.outcome
        else {
            bail!("{worker} did not read: {:?}\n{}", result.outcome, logs());
        };
        ensure!(post.skipped.is_empty(), "{worker} left out {:?}\n{}", post.skipped, logs());
        Ok(result.fetch_ms as f64 / 1e3)
    }
}

/// Makes a path with these sectors; says what its store is called.
fn stock(path: &Path, numbers: std::ops::Range<u64>) -> Result<String> {
    shelf::fill(path, numbers)?;
    let meta = StoreMeta::new(&StoreId::new(Env::real().uuid())?, false, true);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Store::init(disk, path, &meta)?;
    Ok(meta.id)
}

/// Starts a worker with these paths.
fn start(
    dir: &Path,
    name: &str,
    program: &str,
    flags: &[&str],
    paths: &[PathBuf],
    scheduler: std::net::SocketAddr,
) -> Result<Process> {
    let data = dir.join(name);
    std::fs::create_dir(&data)?;
    let storage_paths = paths.iter().map(|path| LocalPath { path: path.display().to_string() }).collect();
    StorageConfig { storage_paths }.write(&RealDisk, &data.join("storage.json"))?;
    let mut arguments: Vec<String> = vec!["run".into(), "--data-dir".into(), data.display().to_string()];
    arguments.extend(["--scheduler".into(), format!("http://{scheduler}"), "--index".into(), NOWHERE.into()]);
    arguments.extend(["--name".into(), name.into(), "--listen".into(), "127.0.0.1:0".into()]);
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    Process::start(program, &arguments, &[], &dir.join(format!("{name}.log")))
}

/// A sector as a PoSt names it.
fn sector(path: &Path, number: u64) -> Result<v1::PostSector> {
    let cache = path.join(format!("cache/s-t0{MINER}-{number}")).display().to_string();
    let op = Some(Op::ReadCommR(v1::ExecReadCommR { cache }));
    let request = v1::ExecRequest { op, ..Default::default() };
    let answer = sp_executor::execute(sp_executor::Options::default(), &request);
    let Ok(Outcome::Data(comm_r)) = answer else { bail!("sector {number} has no comm_r: {answer:?}") };
    Ok(v1::PostSector { number, comm_r, seal_proof: RegisteredSealProof::v1_1(SectorSize::KiB2).id() })
}

/// Who has the replica of a sector.
fn input(sector: u64, store: &str, data_url: &str) -> v1::Input {
    let source = v1::Source { store: store.to_owned(), data_url: data_url.to_owned() };
    v1::Input { kind: v1::FileKind::Sealed as i32, root: vec![], size_bytes: 2048, sources: vec![source], sector }
}
