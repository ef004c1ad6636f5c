//! Starting the cluster: index, scheduler, two sealing workers, three PoSt workers.

use std::time::Duration;

use sp_proto::v1::ListWorkersRequest;

use crate::context::request;
use crate::demo::cluster::Cluster;
use crate::demo::error::Result;
use crate::demo::stage::Stage;

/// The window PoSt workers, by name.
pub(super) const WINDOW_WORKERS: [&str; 2] = ["post-a", "post-b"];
const WORKERS: [&str; 5] = ["seal-a", "seal-b", "post-a", "post-b", "win-a"];
/// Workers check their parameters before they register.
const REGISTER_LIMIT: Duration = Duration::from_secs(180);

/// Starts everything and waits until all workers are registered.
pub(super) async fn all(cluster: &mut Cluster, stage: &Stage) -> Result<()> {
    let name = cluster.name.clone();
    let common = ["--listen", "127.0.0.1:0", "--cluster", &name, "--network", "dev"];
    let spec = cluster.spec("index", "sp-storage-index", &common);
    let index_url = format!("http://{}", cluster.start(spec).await?);
    let scheduler: &[&str] = &[
        "--index",
        &index_url,
        "--sector-size",
        "2KiB",
        "--epoch",
        "500ms",
        "--seed-delay-epochs",
        "4",
        "--rehearse",
        "0",
        "--assignment",
        "pack:0",
        "--no-builtin-sealing",
    ];
    let spec = cluster.spec("scheduler", "sp-scheduler", &[&common, scheduler].concat());
    let scheduler_url = format!("http://{}", cluster.start(spec).await?);
    stage.line(&format!("storage index at {index_url}, scheduler at {scheduler_url}"));
    let joined = [&common[..], &["--scheduler", &scheduler_url, "--index", &index_url]].concat();
    for worker in WORKERS {
        let (program, roles): (_, &[&str]) = match worker {
            "seal-a" => ("sp-sealing-worker", &["--no-default", "--addpiece=true", "--precommit1=true"]),
            "seal-b" => ("sp-sealing-worker", &["--addpiece=false", "--precommit1=false"]),
            "win-a" => ("sp-post-worker", &["--winningpost"]),
            _ => ("sp-post-worker", &["--windowpost"]),
        };
        let spec = cluster.spec(worker, program, &[&joined[..], &["--name", worker], roles].concat());
        cluster.start(spec).await?;
    }
    registered(cluster, stage, &WORKERS).await?;
    stage.line(&format!("workers are registered: {}", WORKERS.join(" ")));
    Ok(())
}

/// Waits until the processes that run under these names are registered, and not only their predecessors.
pub(super) async fn registered(cluster: &mut Cluster, stage: &Stage, names: &[&str]) -> Result<()> {
    let track = stage.track("registered", names.len() as u64);
    let what = format!("{} to register", names.join(", "));
    let waited = cluster.wait_for(&what, REGISTER_LIMIT, async |cluster| {
        let reply = cluster.scheduler().await?.list_workers(request(ListWorkersRequest {})).await;
        let workers = reply.map_err(crate::error::CommandError::from)?.into_inner().workers;
        let here = |name: &&str| {
            let pid = cluster.pid(name);
            workers.iter().any(|w| w.name == **name && w.connected && (w.pid == 0 || Some(w.pid) == pid))
        };
        let missing: Vec<&str> = names.iter().filter(|name| !here(name)).copied().collect();
        if !missing.is_empty() {
            track.at((names.len() - missing.len()) as u64, &format!("waiting for {}", missing.join(" ")));
        }
        Ok(missing.is_empty().then_some(()))
    });
    waited.await.map_err(|failure| failure.log(names[0]))
}
