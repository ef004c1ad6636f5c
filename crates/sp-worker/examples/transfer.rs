//! The two ends of a transfer as processes of their own, for `make bench`: a worker's data plane over a store, and a
//! worker that fetches from it. Both are the product's own code; scheduler and index are not there and not missed.
//!
//! `transfer make DIR BYTES` publishes a file of random bytes, `transfer serve DIR` serves it until its input ends,
//! `transfer fetch DIR URL STORE ROOT` brings it and makes it durable. Each prints one line of JSON. With DISK_CHILDREN set
//! to `always` each path has a child of its own for its file operations: `transfer disk PARENT`.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sp_env::BoxFuture;
use sp_net::Env;
use sp_proto::v1;
use sp_sectors::{CHUNK_BYTES, Disk, RealDisk, Store, StoreMeta};
use sp_types::{FileKind, HostCapacity, HostId, ResourceTable, SectorId, StoreId, TaskKind};
use sp_worker::disks::{DiskChildren, DiskChildrenFor, Disks};
use sp_worker::executor::{Answer, ExecError, Executor, Job};
use sp_worker::{Options, Transfers, Worker};

const SECTOR: SectorId = SectorId { miner: 1000, number: 1 };

const KIND: FileKind = FileKind::Sealed;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", dir, bytes] => make(dir.as_ref(), bytes.parse()?),
        ["serve", dir] => serve(dir.as_ref()).await,
        ["disk", parent] => sp_worker::disks::serve(parent.parse()?),
        ["fetch", dir, url, store, root] => fetch(dir.as_ref(), url, store, root).await,
        _ => bail!("usage: transfer make DIR BYTES | serve DIR | fetch DIR URL STORE ROOT"),
    }
}

fn storage(dir: &Path) -> Result<Store> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let path = dir.join("storage");
    if path.is_dir() {
        return Ok(Store::open(disk, &path, &Default::default())?);
    }
    let meta = StoreMeta::new(&StoreId::new(Env::real().uuid())?, true, true);
    Ok(Store::init(disk, &path, &meta)?)
}

fn make(dir: &Path, bytes: u64) -> Result<()> {
    let store = storage(dir)?;
    let work = store.work("1.1".parse()?)?;
    let file = RealDisk.create_new(&work.path(SECTOR, KIND))?;
    let (mut chunk, mut state) = (vec![0; CHUNK_BYTES as usize], 1u64);
    for offset in (0..bytes).step_by(CHUNK_BYTES as usize) {
        for word in chunk.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
        }
        file.write_at(&chunk[..(bytes - offset).min(CHUNK_BYTES) as usize], offset)?;
    }
    let made = store.publish(work.attempt(), &[(SECTOR, KIND)])?.remove(0);
    store.discard(work.attempt())?;
    let path = store.replica_path(SECTOR, KIND);
    println!(
        "{{\"store\":\"{}\",\"root\":\"{}\",\"path\":\"{}\"}}",
        made.id.store,
        hex::encode(made.id.root),
        path.display()
    );
    Ok(())
}

async fn serve(dir: &Path) -> Result<()> {
    let worker = worker(dir, true).await?;
    let ended = async {
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![])).await;
    };
    worker.run(Box::pin(ended)).await.context("serving")
}

async fn fetch(dir: &Path, url: &str, store: &str, root: &str) -> Result<()> {
    let target = storage(dir)?.id().to_string();
    let worker = worker(dir, false).await?;
    let kind = v1::FileKind::from(KIND) as i32;
    let source = v1::Source { store: store.to_owned(), data_url: url.to_owned() };
    let input =
        v1::Input { kind, root: hex::decode(root)?, size_bytes: 0, sources: vec![source], sector: SECTOR.number };
    let assign = v1::Assign {
        attempt: Some("2.1".parse::<sp_types::AttemptId>()?.into()),
        task: v1::TaskKind::from(TaskKind::Fetch) as i32,
        miner: SECTOR.miner,
        sector: SECTOR.number,
        seal_proof: 5,
        inputs: vec![input],
        outputs: vec![v1::Output { kind, store: target, reserved_bytes: 0 }],
        params: Some(v1::assign::Params::Fetch(v1::FetchParams {})),
        ..Default::default()
    };
    for path in worker.bring_inputs(assign).await.map_err(anyhow::Error::msg)? {
        RealDisk.open(&path)?.sync()?;
        println!("{{\"path\":\"{}\",\"peak_kib\":{}}}", path.display(), peak_kib()?);
    }
    Ok(())
}

async fn worker(dir: &Path, announce: bool) -> Result<Worker> {
    let setting = |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let usual = Transfers::default();
    let options = Options {
        service: "transfer",
        name: "transfer".into(),
        cluster: "bench".into(),
        scheduler: NOWHERE.into(),
        index: NOWHERE.into(),
        data_dir: std::path::absolute(dir)?,
        home: "/".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        metrics: None,
        announce,
        local_storage: true,
        parallel_fetch_limit: 5,
        transfers: Transfers { streams: setting("STREAMS", usual.streams as u64) as usize, ..usual },
        tasks: vec![TaskKind::Fetch],
        seal_proofs: vec![],
        resources: ResourceTable::default(),
        builtin: false,
        post_parallel_reads: 0,
        post_read_timeout: std::time::Duration::ZERO,
        host: HostId::new("bench-boot")?,
        pid: std::process::id(),
        build: "bench".into(),
        capacity: Arc::new(HostCapacity::default),
        limits: Default::default(),
    };
    let children = DiskChildren {
        program: "/proc/self/exe".into(),
        arguments: vec!["disk".into()],
        data_dir: options.data_dir.clone(),
        left_behind: vec![],
    };
    let which = match std::env::var("DISK_CHILDREN").as_deref() {
        Ok("always") => DiskChildrenFor::Always,
        _ => DiskChildrenFor::Never,
    };
    let disks = Arc::new(Disks::new(which, children)?);
    Ok(Worker::open(Env::real(), disks, Arc::new(Nothing), options).await?)
}

/// Most memory that this process has had.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}

/// Computes nothing.
struct Nothing;

impl Executor for Nothing {
    fn run(&self, _: Job) -> BoxFuture<Result<Answer, ExecError>> {
        Box::pin(async { Err(ExecError::Crashed("nothing is computed here".to_owned())) })
    }
}
