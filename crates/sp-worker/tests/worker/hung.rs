//! A path that hangs, in the time before anybody has noticed: what has nothing to do with it goes on.

use std::path::Path;
use std::time::Instant;

use sp_sectors::Store;

use super::paths::{second_path, trouble};
use super::*;
use crate::support::HangingDisk;

/// Longer than two reads of a stream, so that one that has begun goes on reading.
const LARGE: usize = 12 << 20;

/// Streams of what hangs: more than may read at once.
const STREAMS: usize = 20;

/// Well before a path that hangs is put aside.
const SOON: Duration = Duration::from_secs(4);

/// A worker with a second path that can hang.
async fn with_second_path(fakes: &Fakes, machine: &mut Machine) -> (HangingDisk, String) {
    let disk = HangingDisk::new(machine.disk.clone(), "/more");
    machine.start_on(Arc::new(disk.clone()));
    fakes.registered(1).await;
    (disk, second_path(fakes).await)
}

#[tokio::test]
async fn a_task_whose_files_are_elsewhere_goes_on() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let sealed = machine.publish(FileKind::Sealed, b"plaintext of the sector");
    let first = sealed.id.store.to_string();
    machine.executor.hold();
    let (disk, _) = with_second_path(&fakes, &mut machine).await;
    disk.hang(true);
    let began = Instant::now();
    let pc2 = assign("5.1", TaskKind::PreCommit2, Params::PreCommit2(v1::PreCommit2Params { phase1: vec![] }));
    let pc2 = with_output(with_input(pc2, &sealed, &[]), FileKind::Sealed, &first);
    fakes.assign(with_output(pc2, FileKind::Cache, &first)).await;
    eventually("the executor", || (machine.executor.starts("PC2") == 1).then_some(())).await;
    machine.disk.create_dir_all(format!("{DATA_DIR}/storage/.sp/work/5.1/cache/s-t01000-3").as_ref()).unwrap();
    machine.executor.release();
    done(&fakes.result("5.1").await);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    disk.hang(false);
}

/// Its task runs elsewhere, and the call that hangs is left behind.
#[tokio::test]
async fn an_attempt_that_cannot_begin_on_its_path_is_given_up() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let (disk, second) = with_second_path(&fakes, &mut machine).await;
    disk.hang(true);
    fakes.assign(pledge("5.1", &second)).await;
    let failure = failed(&fakes.result("5.1").await).clone();
    assert!(failure.code == "SP-UNAVAILABLE" && failure.message.contains("/more is put aside"), "{failure:?}");
    assert_eq!(machine.executor.starts("AP"), 0);
    // When the path is back it works again.
    disk.hang(false);
    trouble(&fakes, &second, str::is_empty).await;
    fakes.assign(pledge("6.1", &second)).await;
    done(&fakes.result("6.1").await);
}

#[tokio::test]
async fn reads_that_hang_stop_no_others() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let elsewhere = machine.publish(FileKind::Sealed, &[7; 3000]);
    let (disk, _) = with_second_path(&fakes, &mut machine).await;
    let hanging = publish_large(&machine, "/more".as_ref());
    let url = fakes.registered(2).await.data_url;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = open(&url, &hanging).await;
        assert!(stream.message().await.unwrap().is_some());
        streams.push(stream);
    }
    disk.hang(true);
    let drain = |mut stream: tonic::Streaming<v1::FileChunk>| async move {
        while stream.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let drained: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(drain(stream))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    for _ in 0..10 {
        let read = drain(open(&url, &elsewhere).await);
        tokio::time::timeout(SOON, read).await.expect("a read of another path waits").unwrap();
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for stream in drained {
        let refused = stream.await.unwrap().unwrap_err();
        assert!(refused.message().contains("not answered"), "{refused}");
    }
    disk.hang(false);
}

fn publish_large(machine: &Machine, path: &Path) -> ReplicaInfo {
    let attempt = "901.1".parse().unwrap();
    let store = Store::open(Arc::new(machine.disk.clone()), path, &[attempt].into()).unwrap();
    let file = store.work(attempt).unwrap().path(SECTOR, FileKind::Sealed);
    machine.disk.create_new(&file).unwrap().write_at(&vec![5; LARGE], 0).unwrap();
    let made = store.publish(attempt, &[(SECTOR, FileKind::Sealed)]).unwrap().remove(0);
    store.discard(attempt).unwrap();
    made
}

/// Over a connection of its own: one that nobody reads from holds up the others on it.
async fn open(url: &str, replica: &ReplicaInfo) -> tonic::Streaming<v1::FileChunk> {
    let client = DataPlaneClient::connect(url.to_owned()).await.unwrap();
    let attempt = Some(v1::AttemptId { task: 70, number: 1 });
    let ask = v1::ReadFileRequest { replica: Some(replica.clone().into()), attempt, ..Default::default() };
    client.max_decoding_message_size(4 << 20).read_file(ask).await.unwrap().into_inner()
}
