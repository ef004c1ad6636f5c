//! A storage path that blocks for ever, as a mount does whose server is gone: whoever has nothing to do with it does not feel
//! it, a worker can be started again meanwhile, and it is taken up again when it answers.
//!
//! The path is covered by a FUSE file system whose server never says a word, which is ended by cutting its connection. Where
//! nothing can be mounted, the test of sp-worker with a disk that blocks has to do.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::{AttemptId, FileKind, FindSectorRequest, ReadFileRequest, Replica};
use sp_tests::mounts::{DeadMount, with_own_mounts};
use sp_tests::operation::Operation;
use sp_tests::{Cluster, Setup, audit, wait};
use tonic::transport::Channel;

const LIMIT: Duration = Duration::from_secs(90);

/// Reads that are compared.
const READS: usize = 200;

/// Reads of what hangs, all at once.
const HANGING_READS: usize = 40;

/// The worker that seals and stores, and its paths: where it seals, where finished files are, and what is going to hang.
const WORKER: &str = "keeper";
const PATHS: [(&str, &str); 3] = [("bench", "--seal"), ("shelf", "--store"), ("nas", "--store")];

#[test]
fn a_path_that_blocks_for_ever_is_felt_by_nobody_else() {
    with_own_mounts("a_path_that_blocks_for_ever_is_felt_by_nobody_else", hang_and_recover);
}

#[test]
#[ignore = "minutes: part of make test-long"]
fn a_worker_is_started_again_while_a_path_blocks() {
    with_own_mounts("a_worker_is_started_again_while_a_path_blocks", hang_and_start_again);
}

fn hang_and_recover() {
    let sealing = vec![(WORKER.to_owned(), ["--no-local-storage", "--commit=false"].map(String::from).to_vec())];
    let mut cluster = Cluster::start(Setup { sealing, ..Setup::default() }).unwrap();
    let stores = PATHS.map(|(name, purpose)| attach(&cluster, name, purpose));
    let numbers = cluster.pledge(2).unwrap();
    cluster.wait_for_state(&numbers, &["Committing2"], LIMIT).unwrap();
    for (number, store) in numbers.iter().zip(&stores[1..]) {
        Operation::Finalize(*number).see_to_its_end(&cluster).unwrap();
        Operation::Move(*number, store.clone()).see_to_its_end(&cluster).unwrap();
    }
    audit::clean(&cluster).unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (elsewhere, hanging) = (
        runtime.block_on(Reader::of(&cluster, numbers[0], &stores[1])),
        runtime.block_on(Reader::of(&cluster, numbers[1], &stores[2])),
    );
    assert!(runtime.block_on(hanging.clone().read()).is_ok());
    let before = runtime.block_on(elsewhere.clone().time(READS));

    let mount = DeadMount::over(&cluster.dir().join("nas"));
    let began = Instant::now();
    let waiting: Vec<_> = (0..HANGING_READS).map(|_| runtime.spawn(hanging.clone().read())).collect();
    let more = cluster.pledge(2).unwrap();
    let mut during = Vec::new();
    let mut listed = Duration::ZERO;
    // Before anybody has noticed, while it is noticed, and after.
    while began.elapsed() < Duration::from_secs(15) || trouble(&cluster, &stores[2]).is_none() {
        assert!(began.elapsed() < LIMIT, "nobody notices that it hangs\n{}", cluster.tails());
        during.extend(runtime.block_on(elsewhere.clone().time(READS / 10)));
        let asked = Instant::now();
        cluster.ctl_json(&["storage", "list"]).unwrap();
        listed = listed.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    let reason = trouble(&cluster, &stores[2]).unwrap();
    assert!(reason.contains("not answered"), "{reason}");
    cluster.wait_for_state(&more, &["Committing2"], LIMIT).unwrap();
    for read in waiting.into_iter().filter(|read| read.is_finished()) {
        assert!(runtime.block_on(read).unwrap().is_err(), "it cannot be read");
    }

    let (before, during) = (quantiles(before), quantiles(during));
    println!("reads of another path, median and p90: {before:?}, while one hangs {during:?}; list at most {listed:?}");
    let slack = Duration::from_millis(20);
    assert!(during.0 <= before.0 * 2 + slack && during.1 <= before.1 * 2 + slack, "{before:?}, then {during:?}");
    assert!(listed <= Duration::from_secs(1), "{listed:?}");
    wait::until("a child that tries the path", LIMIT, || Ok((!disk_children(&cluster).is_empty()).then_some(())))
        .unwrap();

    drop(mount);
    let well = || Ok(trouble(&cluster, &stores[2]).is_none().then_some(()));
    wait::until("the path to be well again", LIMIT, well).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert!(runtime.block_on(hanging.read()).is_ok(), "what lies there can be read again");
    audit::clean(&cluster).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
}

/// What is called again and again on a mount that does not answer is in children; the worker starts without it.
fn hang_and_start_again() {
    let sealing = vec![(WORKER.to_owned(), ["--no-local-storage", "--commit=false"].map(String::from).to_vec())];
    let mut cluster = Cluster::start(Setup { sealing, ..Setup::default() }).unwrap();
    let stores = PATHS.map(|(name, purpose)| attach(&cluster, name, purpose));
    let mount = DeadMount::over(&cluster.dir().join("nas"));
    let noticed = || Ok(trouble(&cluster, &stores[2]).filter(|reason| reason.contains("not answered")));
    wait::until("the path to be put aside", LIMIT, noticed).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    for _ in 0..2 {
        wait::until("a child that tries the path", LIMIT, || Ok((!disk_children(&cluster).is_empty()).then_some(())))
            .unwrap();
        cluster.kill9(WORKER).unwrap();
        cluster.restart(WORKER).unwrap();
        let more = cluster.pledge(1).unwrap();
        cluster.wait_for_state(&more, &["Committing2"], LIMIT).unwrap();
    }
    assert!(trouble(&cluster, &stores[2]).is_some(), "it is there, and put aside");
    assert!(disk_children(&cluster).len() <= 1, "one child for the path, however often it is tried");
    drop(mount);
    let well = || Ok(trouble(&cluster, &stores[2]).is_none().then_some(()));
    wait::until("the path to be well again", LIMIT, well).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    audit::clean(&cluster).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
}

/// Children of the worker that do file operations, by their records.
fn disk_children(cluster: &Cluster) -> Vec<String> {
    let names = fs::read_dir(cluster.data_dir(WORKER).join("children")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("disk-")).collect()
}

/// Attaches a path; its id.
fn attach(cluster: &Cluster, name: &str, purpose: &str) -> String {
    let path = cluster.dir().join(name);
    fs::create_dir(&path).unwrap();
    let path = path.display().to_string();
    let attached = cluster.ctl_json(&["storage", "attach", "--worker", WORKER, "--init", purpose, &path]);
    let attached = attached.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    attached["store"].as_str().unwrap().to_owned()
}

/// What `storage list` says is wrong with a path.
fn trouble(cluster: &Cluster, store: &str) -> Option<String> {
    let rows = cluster.ctl_json(&["storage", "list"]).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["store"] == store).cloned().unwrap_or(Value::Null);
    (row["healthy"] != true).then(|| row["unhealthy_reason"].as_str().unwrap_or_default().to_owned())
}

/// Reads the sealed file of a sector from the worker's data plane.
#[derive(Clone)]
struct Reader {
    client: DataPlaneClient<Channel>,
    replica: Replica,
}

impl Reader {
    async fn of(cluster: &Cluster, number: u64, store: &str) -> Self {
        let rows = cluster.ctl_json(&["storage", "list"]).unwrap();
        let row = rows.as_array().unwrap().iter().find(|row| row["store"] == store).unwrap();
        let url = row["urls"][0].as_str().unwrap().to_owned();
        let mut index = IndexClient::connect(cluster.url("index").unwrap()).await.unwrap();
        let ask = FindSectorRequest { miner: 1000, sector: number };
        let found = index.find_sector(ask).await.unwrap().into_inner().replicas;
        let is = |replica: &Replica| replica.kind() == FileKind::Sealed && replica.store == store;
        let replica = found.into_iter().find(is).unwrap();
        Self { client: DataPlaneClient::connect(url).await.unwrap(), replica }
    }

    async fn read(mut self) -> Result<usize, tonic::Status> {
        let attempt = Some(AttemptId { task: 1 << 40, number: 1 });
        let replica = Some(self.replica.clone());
        let ask = ReadFileRequest { replica, attempt, ..ReadFileRequest::default() };
        let (mut chunks, mut bytes) = (self.client.read_file(ask).await?.into_inner(), 0);
        while let Some(chunk) = chunks.message().await? {
            bytes += chunk.data.len();
        }
        assert_eq!(bytes, 2048);
        Ok(bytes)
    }

    /// How long each of so many reads takes, one after the other.
    async fn time(self, reads: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for _ in 0..reads {
            let began = Instant::now();
            self.clone().read().await.unwrap();
            times.push(began.elapsed());
        }
        times
    }
}

/// Median and ninth decile.
fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 9 / 10])
}
