//! The control stream to the scheduler: register with everything held, then do as told; connect again for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sp_env::{CrashPoint, crash_point};
use sp_net::retry::Backoff;
use sp_net::{client, sized};
use sp_proto::convert::{file_kind, resource_row_to_wire};
use sp_proto::v1::worker_client::WorkerClient;
use sp_proto::v1::worker_command::Body as Command;
use sp_proto::v1::worker_message::Body;
use sp_proto::v1::{self, WorkerMessage};
use sp_types::{AttemptId, ErrorCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::assignment::gpu_shares;
use crate::failure::Failure;
use crate::node::{Fate, Node};
use crate::{scrub, stores, stray};

/// How long the scheduler may take to take a worker in.
const REGISTER_WITHIN: Duration = Duration::from_secs(15);

/// How long the reply to an attach may take to leave before the session is opened anew.
const REPLY_ON_ITS_WAY: Duration = Duration::from_millis(300);

/// Keeps a session with the scheduler for ever: a worker never gives up on its scheduler, but says why it waits.
pub(crate) async fn run(node: Arc<Node>) {
    let mut backoff = Backoff::endless(Duration::from_millis(100), Duration::from_secs(3));
    loop {
        let ended = session(&node, &mut backoff).await;
        node.outbox.close();
        node.heartbeat.send_replace(None);
        match ended.code {
            ErrorCode::WrongCluster | ErrorCode::WrongProtocol => {
                node.give_up(format!("the scheduler at {} refuses this worker: {ended}", node.options.scheduler));
                return;
            }
            _ => tracing::warn!(scheduler = node.options.scheduler, reason = %ended, "no scheduler; connecting again"),
        }
        backoff.wait(&node.env).await;
    }
}

/// One session; returns why it ended.
async fn session(node: &Arc<Node>, backoff: &mut Backoff) -> Failure {
    let presented: Vec<AttemptId> = node.attempts().iter().map(|attempt| attempt.id()).collect();
    let finished = node.results();
    let (sender, receiver) = mpsc::channel(64);
    let register = register(node, &presented, finished.values().cloned().collect());
    let (mut commands, registered) = match open(node, &sender, receiver, register).await {
        Ok(opened) => opened,
        Err(failure) => return failure,
    };
    backoff.reset();
    tracing::info!(held = presented.len(), unacknowledged = finished.len(), "registered with the scheduler");
    if !presented.is_empty() || !finished.is_empty() {
        crash_point(CrashPoint::WorkerRegistered);
    }
    let keep: BTreeSet<AttemptId> = registered.keep.iter().copied().map(AttemptId::from).collect();
    node.keep_only(&presented, &keep).await;
    node.outbox.open(sender, registered.protocol_minor);
    // What finished while it registered.
    for (_, result) in node.results().into_iter().filter(|(id, _)| !finished.contains_key(id)) {
        node.outbox.send_result(result).await;
    }
    node.heartbeat.send_replace(Some(registered.heartbeat_ms.max(50)));
    loop {
        let command = tokio::select! {
            command = commands.message() => command,
            () = node.reconnect.notified() => {
                return Failure::new(ErrorCode::Unavailable, "the session is opened anew");
            }
        };
        match command {
            Ok(Some(v1::WorkerCommand { body: Some(command) })) => obey(node, command).await,
            Ok(Some(v1::WorkerCommand { body: None })) => {
                tracing::warn!("the scheduler sent a command that this build does not know; ignored");
            }
            Ok(None) => return Failure::new(ErrorCode::Unavailable, "it closed the session"),
            Err(status) => return Failure::from(&status),
        }
    }
}

async fn open(
    node: &Node,
    sender: &mpsc::Sender<WorkerMessage>,
    receiver: mpsc::Receiver<WorkerMessage>,
    register: v1::Register,
) -> Result<(Streaming<v1::WorkerCommand>, v1::Registered), Failure> {
    let bad_url = |e: client::NetError| Failure::new(ErrorCode::BadRequest, e.to_string());
    let channel = client::channel(&node.env, &node.options.scheduler).map_err(bad_url)?;
    let mut client = sized!(WorkerClient::new(channel));
    let closed = |_| Failure::new(ErrorCode::Internal, "the stream closed before it opened");
    sender.send(WorkerMessage { body: Some(Body::Register(register)) }).await.map_err(closed)?;
    let opening = async {
        let status = |status| Failure::from(&status);
        let mut commands = client.session(ReceiverStream::new(receiver)).await.map_err(status)?.into_inner();
        match commands.message().await.map_err(status)? {
            Some(v1::WorkerCommand { body: Some(Command::Registered(registered)) }) => Ok((commands, registered)),
            Some(_) => Err(Failure::new(ErrorCode::WrongProtocol, "it answered a registration with something else")),
            None => Err(Failure::new(ErrorCode::Unavailable, "it closed the session")),
        }
    };
    let opened = node.env.timeout(REGISTER_WITHIN, opening).await;
    opened.unwrap_or_else(|elapsed| Err(Failure::new(ErrorCode::Unavailable, elapsed.to_string())))
}

fn register(node: &Node, held: &[AttemptId], finished: Vec<v1::TaskResult>) -> v1::Register {
    let options = &node.options;
    let rows = options.resources.overrides().iter();
    v1::Register {
        worker_id: node.worker_id.clone(),
        session_id: node.session_id.clone(),
        host_id: options.host.to_string(),
        name: options.name.clone(),
        cluster: options.cluster.clone(),
        build: options.build.clone(),
        protocol_minor: sp_proto::PROTOCOL_MINOR,
        tasks: options.tasks.iter().map(|task| v1::TaskKind::from(*task) as i32).collect(),
        seal_proofs: options.seal_proofs.iter().map(|proof| proof.id()).collect(),
        capacity: Some((options.capacity)().into()),
        resources: rows.map(|(task, size, row)| resource_row_to_wire(*task, *size, *row)).collect(),
        data_url: node.data_url().clone(),
        stores: node.stores.ids(),
        builtin: options.builtin,
        held: held.iter().map(|id| (*id).into()).collect(),
        finished,
        pid: options.pid,
        limits: Some(options.limits.clone().into()),
        // This build labels each sector by itself.
        pc1_streams: 0,
    }
}

async fn obey(node: &Arc<Node>, command: Command) {
    match command {
        Command::Registered(_) => tracing::warn!("the scheduler registered this worker twice; ignored"),
        Command::Assign(assign) => node.assign(assign).await,
        // A group is only started where streams were offered.
        Command::Start(v1::Start { attempt, gpus, group: _ }) => match (attempt, gpu_shares(gpus)) {
            (Some(attempt), Ok(gpus)) => node.release(attempt.into(), gpus),
            (None, _) => tracing::error!("the scheduler started no attempt; ignored"),
            (Some(attempt), Err(error)) => {
                // It is said again with the next heartbeat that finds the attempt waiting.
                let id = AttemptId::from(attempt);
                tracing::error!(attempt = %id, %error, "the scheduler started an attempt on GPUs that make no sense");
            }
        },
        Command::Stop(v1::Stop {}) => {
            tracing::info!("an operator has stopped this worker");
            node.stopping.cancel();
        }
        Command::Cancel(v1::Cancel { attempt, reason }) => {
            if let Some(attempt) = attempt {
                node.cancel(attempt.into(), &reason).await;
            }
        }
        Command::Yield(v1::Yield { attempt, reason }) => {
            // No stage goes on from where it was yet: to make way is to stop, and the reason says what that costs.
            if let Some(attempt) = attempt {
                node.cancel(attempt.into(), &reason).await;
            }
        }
        Command::ResultAck(v1::ResultAck { attempt, refused, counting }) => {
            crash_point(CrashPoint::WorkerAcknowledged);
            // A kind that this build does not know is none that it makes.
            let counting = counting.into_iter().filter_map(|kind| file_kind(kind).ok()).collect();
            let fate = if refused { Fate::Void(counting) } else { Fate::Counts };
            // Aside: removing a large work directory takes long.
            if let Some(attempt) = attempt {
                let forgetting = node.clone();
                node.env.tasks.spawn("forget", Box::pin(async move { forgetting.forget(attempt.into(), fate).await }));
            }
        }
        Command::AttachStore(request) => {
            // Aside: reading a store with many sectors takes long.
            let attaching = node.clone();
            node.env.tasks.spawn("attach", Box::pin(async move { attach(&attaching, request).await }));
        }
        Command::DetachStore(request) => {
            let detaching = node.clone();
            node.env.tasks.spawn("detach", Box::pin(async move { detach(&detaching, request).await }));
        }
        Command::ScrubStores(order) => {
            let obeying = node.clone();
            let scrubbing = async move {
                let report = scrub::obey(&obeying, order).await;
                obeying.outbox.send(Body::ScrubReport(report)).await;
            };
            node.env.tasks.spawn("scrub order", Box::pin(scrubbing));
        }
        Command::SweepWork(v1::SweepWork { attempts }) => {
            let sweeping = node.clone();
            let attempts = attempts.into_iter().map(AttemptId::from).collect();
            node.env.tasks.spawn("sweep", Box::pin(async move { stray::sweep(&sweeping, attempts).await }));
        }
        Command::RedeclareStores(request) => {
            let reading = node.clone();
            node.env.tasks.spawn("redeclare", Box::pin(async move { redeclare(&reading, request).await }));
        }
    }
}

async fn attach(node: &Arc<Node>, request: v1::AttachStore) {
    use sp_proto::v1::attach_reply::Outcome;
    let number = request.request;
    let attached = stores::attach(node, request).await;
    let changed = attached.is_ok();
    let outcome = match attached {
        Ok(store) => Outcome::Store(store.to_string()),
        Err(failure) => Outcome::Failed(failure.to_wire()),
    };
    let reply = v1::AttachReply { request: number, outcome: Some(outcome) };
    node.outbox.send(Body::AttachReply(reply)).await;
    if changed {
        register_anew(node).await;
    }
}

async fn detach(node: &Arc<Node>, request: v1::DetachStore) {
    let v1::DetachStore { request, store } = request;
    let detached = stores::detach(node, &store).await;
    let changed = detached.is_ok();
    answer(node, request, detached.map(|change| vec![change])).await;
    if changed {
        register_anew(node).await;
    }
}

async fn redeclare(node: &Arc<Node>, request: v1::RedeclareStores) {
    let v1::RedeclareStores { request, stores: wanted, drop_missing } = request;
    answer(node, request, stores::redeclare(node, &wanted, drop_missing).await).await;
}

async fn answer(node: &Node, request: u64, changed: Result<Vec<v1::StoreChange>, Failure>) {
    let (changes, failed) = match changed {
        Ok(changes) => (changes, None),
        Err(failure) => (vec![], Some(failure.to_wire())),
    };
    node.outbox.send(Body::StoresChanged(v1::StoresChanged { request, changes, failed })).await;
}

/// The scheduler knows the stores of a worker from its registration.
async fn register_anew(node: &Node) {
    node.env.clock.sleep(REPLY_ON_ITS_WAY).await;
    node.reconnect.notify_one();
}
