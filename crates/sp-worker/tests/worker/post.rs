//! Window PoSt: challenges are read here and elsewhere, and what cannot be read costs no more than its sector.

use std::time::Duration;

use sp_proto::v1;
use sp_proto::v1::assign::Params;
use sp_proto::v1::task_done::Output;
use sp_types::{FileKind, ReplicaInfo, TaskKind};

use super::support::{FORGED, Fakes, Machine, assign, with_input};
use super::{ALL, done};

#[tokio::test]
async fn a_post_reads_local_and_remote_sectors_and_skips_the_rest() {
    let fakes = Fakes::start().await;
    let (_holder, sealed, url) = holder_of(b"remote").await;
    let mut prover = Machine::new(&fakes, &ALL);
    prover.start();
    fakes.registered(1).await;
    let post = window_post(&fakes, "4.1", &[3, 9], &sealed, &[&url]).await;
    assert_eq!(post.proof, b"remote");
    assert_eq!(post.skipped.iter().map(|s| s.number).collect::<Vec<_>>(), [9]);
    assert!(post.skipped[0].reason.contains("SP-FILE-MISSING"), "{:?}", post.skipped);
}

#[tokio::test]
async fn a_holder_that_answers_wrong_costs_at_most_its_sector() {
    let fakes = Fakes::start().await;
    let (_liar, _, bad) = holder_of(FORGED).await;
    let (_holder, sealed, good) = holder_of(b"remote").await;
    let mut prover = Machine::new(&fakes, &ALL);
    prover.start();
    fakes.registered(1).await;
    let post = window_post(&fakes, "4.1", &[3], &sealed, &[&bad, &good]).await;
    assert_eq!((post.proof.as_slice(), post.skipped.len()), (b"remote".as_slice(), 0));
    assert_eq!(prover.executor.starts("check"), 2);
    let post = window_post(&fakes, "5.1", &[3], &sealed, &[&bad]).await;
    assert!(post.proof.is_empty());
    let reason = &post.skipped[0].reason;
    assert!(reason.contains(&bad) && reason.contains("does not answer the challenge"), "{reason}");
    assert_eq!(prover.executor.starts("WDP"), 1);
}

#[tokio::test]
async fn the_holders_of_a_sector_share_one_limit() {
    let fakes = Fakes::start().await;
    let (_holder, sealed, _) = holder_of(b"remote").await;
    // They take connections and never say a word.
    let silent = [(); 6].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let urls = silent.each_ref().map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    let mut prover = Machine::new(&fakes, &ALL);
    // The worker's own limit is the shorter one.
    prover.options.post_read_timeout = Duration::from_millis(100);
    prover.start();
    fakes.registered(1).await;
    let urls = urls.each_ref().map(String::as_str);
    let post = window_post(&fakes, "4.1", &[3], &sealed, &urls).await;
    let reason = &post.skipped[0].reason;
    assert!(reason.contains("within the 0.3 s") && !reason.contains(urls[5]), "{reason}");
}

#[tokio::test]
async fn what_hangs_costs_its_sectors_and_not_the_partition() {
    let fakes = Fakes::start().await;
    let (_holder, sealed, good) = holder_of(b"remote").await;
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = format!("http://{}", silent.local_addr().unwrap());
    let mut prover = Machine::new(&fakes, &ALL);
    // One that hangs is in the way of all that come after it.
    prover.options.post_parallel_reads = 1;
    prover.start();
    fakes.registered(1).await;
    let mut params = params(&[3, 7, 8, 9]);
    (params.read_timeout_ms, params.partition_timeout_ms) = (60_000, 1_000);
    let assignment = assign("4.1", TaskKind::GenerateWindowPost, Params::WindowPost(params));
    let mut assignment = with_input(assignment, &sealed, &[&good]);
    for number in [7, 8, 9] {
        assignment = with_input(assignment, &sealed, &[&bad]);
        assignment.inputs.last_mut().unwrap().sector = number;
    }
    let post = outcome(&fakes, "4.1", assignment).await;
    assert_eq!(post.proof, b"remote");
    assert_eq!(post.skipped.iter().map(|s| s.number).collect::<Vec<_>>(), [7, 8, 9]);
    assert!(post.skipped.iter().all(|s| s.reason.contains("within the 1 s that its partition may take")), "{post:?}");
}

/// A worker that has the test sector; what it reads out of it are these bytes.
async fn holder_of(bytes: &[u8]) -> (Machine, ReplicaInfo, String) {
    let fakes = Fakes::start().await;
    let mut holder = Machine::new(&fakes, &ALL);
    let sealed = holder.publish(FileKind::Sealed, bytes);
    holder.publish(FileKind::Cache, b"aux");
    holder.start();
    (holder, sealed, fakes.registered(1).await.data_url)
}

/// What comes out of a window PoSt over these sectors.
async fn window_post(fakes: &Fakes, id: &str, sectors: &[u64], sealed: &ReplicaInfo, urls: &[&str]) -> v1::PostOutput {
    let assignment = assign(id, TaskKind::GenerateWindowPost, Params::WindowPost(params(sectors)));
    outcome(fakes, id, with_input(assignment, sealed, urls)).await
}

fn params(sectors: &[u64]) -> v1::WindowPostParams {
    let sector = |number: &u64| v1::PostSector { number: *number, comm_r: vec![2; 32], seal_proof: 5 };
    let sectors = sectors.iter().map(sector).collect();
    v1::WindowPostParams { randomness: vec![1; 32], sectors, read_timeout_ms: 5000, ..Default::default() }
}

async fn outcome(fakes: &Fakes, id: &str, assignment: v1::Assign) -> v1::PostOutput {
    fakes.assign(assignment).await;
    let result = fakes.result(id).await;
    let Some(Output::Post(post)) = &done(&result).output else { panic!("{result:?}") };
    post.clone()
}
