//! The stream to the storage index: what is attached, what is held, how full it is; deletes and fences come back.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sp_net::retry::Backoff;
use sp_net::{Env, client, sized};
use sp_proto::convert::ReplicaInfo;
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::index_worker_command::Body as Command;
use sp_proto::v1::index_worker_message::Body;
use sp_proto::v1::{self, IndexWorkerMessage};
use sp_types::{AttemptId, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::failure::Failure;
use crate::node::Node;
use crate::{scrub, stores};

/// Health is told this often until the index says otherwise.
const HEALTH_FIRST: Duration = Duration::from_secs(10);

/// How long the index may take to answer about a store.
const STORE_ACK_WITHIN: Duration = Duration::from_secs(30);

/// How long the index may take to take a worker in.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// The link as the rest of the worker sees it.
#[derive(Default)]
pub(crate) struct IndexLink(Mutex<State>);

#[derive(Default)]
struct State {
    sender: Option<mpsc::Sender<IndexWorkerMessage>>,
    last_request: u64,
    /// Declarations of attempts that are not acknowledged; sent again at every session.
    pending: BTreeMap<u64, Pending>,
    /// Who waits to hear that a store's declaration has ended, or that it has left.
    stores: BTreeMap<u64, oneshot::Sender<u64>>,
}

struct Pending {
    declare: v1::Declare,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// The index's answer about a store, on its way.
pub(crate) struct Acknowledged(oneshot::Receiver<u64>);

/// Takes its declaration back when nobody waits for it any more.
struct Waiting<'a> {
    link: &'a IndexLink,
    request: u64,
}

impl IndexLink {
    /// Declares what an attempt made; returns once the index has it durably. Waits while the index is away.
    pub(crate) async fn declare(&self, attempt: AttemptId, replicas: Vec<v1::Replica>) -> Result<(), Failure> {
        let (done, answer) = oneshot::channel();
        let (request, sender, declare) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.last_request += 1;
            let request = state.last_request;
            let declare = v1::Declare { request, replicas, attempt: Some(attempt.into()) };
            state.pending.insert(request, Pending { declare: declare.clone(), done });
            (request, state.sender.clone(), declare)
        };
        let _waiting = Waiting { link: self, request };
        if let Some(sender) = sender {
            // Closed: the next session sends it.
            let _ = sender.send(message(Body::Declare(declare))).await;
        }
        let gone = |_| Failure::new(ErrorCode::Internal, "the declaration was forgotten; this is a bug");
        answer.await.map_err(gone)?
    }

    /// Takes the stores of this worker out of the index, which ends the session; false when there is none to do it in.
    pub(crate) async fn leave(&self, env: &Env, within: Duration) -> bool {
        let Some(sender) = self.sender() else { return false };
        let leaving = async {
            // Closed: it has ended before it could be told.
            sender.send(message(Body::Leave(v1::Leave {}))).await.ok()?;
            sender.closed().await;
            Some(())
        };
        matches!(env.timeout(within, leaving).await, Ok(Some(())))
    }

    /// Declares replicas that no attempt makes; without a session the next one does.
    pub(crate) async fn declare_found(&self, replicas: Vec<sp_types::ReplicaInfo>) {
        let replicas = replicas.into_iter().map(v1::Replica::from).collect();
        self.send(Body::Declare(v1::Declare { request: self.next_request(), replicas, attempt: None })).await;
    }

    /// Has the index forget a store of this worker; says how many replicas left with it.
    pub(crate) async fn detach(&self, env: &Env, store: String) -> Result<u64, Failure> {
        let away = || Failure::new(ErrorCode::Unavailable, "no storage index is connected; try again when it is");
        let sender = self.sender().ok_or_else(away)?;
        let (request, acknowledged) = self.store_request();
        sender.send(message(Body::Detach(v1::Detach { store, request }))).await.map_err(|_| away())?;
        acknowledged.wait(env).await
    }

    /// A number under which the index answers about a store.
    pub(crate) fn store_request(&self) -> (u64, Acknowledged) {
        let (answer, waiting) = oneshot::channel();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_request += 1;
        let request = state.last_request;
        // Those that nobody waits for any more were never answered.
        state.stores.retain(|_, waiting| !waiting.is_closed());
        state.stores.insert(request, answer);
        (request, Acknowledged(waiting))
    }

    fn acknowledge_store(&self, request: u64, missing: u64) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).stores.remove(&request);
        // Whoever asked has given up.
        waiting.map(|answer| answer.send(missing));
    }

    /// Sends if there is a session.
    async fn send(&self, body: Body) {
        if let Some(sender) = self.sender() {
            let _ = sender.send(message(body)).await;
        }
    }

    pub(crate) fn next_request(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_request += 1;
        state.last_request
    }

    fn acknowledge(&self, request: u64, failed: Option<&v1::Failure>) {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner).pending.remove(&request);
        if let Some(pending) = pending {
            // Nobody waits any more: the attempt was stopped.
            let _ = pending.done.send(failed.map_or(Ok(()), |failure| Err(Failure::from_wire(failure))));
        } else if let Some(failure) = failed {
            tracing::error!(code = failure.code, message = failure.message, "the index refused a declaration");
        }
    }

    fn set_sender(&self, sender: Option<mpsc::Sender<IndexWorkerMessage>>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.is_none() {
            state.stores.clear();
        }
        state.sender = sender;
    }

    /// Where to send to in the open session, once everything has been told.
    pub(crate) fn sender(&self) -> Option<mpsc::Sender<IndexWorkerMessage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sender.clone()
    }

    fn pending(&self) -> Vec<v1::Declare> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.values().map(|pending| pending.declare.clone()).collect()
    }
}

impl Acknowledged {
    /// What the index knew and was not declared, or what left with the store.
    pub(crate) async fn wait(self, env: &Env) -> Result<u64, Failure> {
        let away = || Failure::new(ErrorCode::Unavailable, "the storage index went away meanwhile; try again");
        match env.timeout(STORE_ACK_WITHIN, self.0).await {
            Ok(answer) => answer.map_err(|_| away()),
            Err(elapsed) => Err(Failure::new(ErrorCode::TimedOut, format!("the storage index: {elapsed}"))),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.link.0.lock().unwrap_or_else(PoisonError::into_inner).pending.remove(&self.request);
    }
}

/// Keeps a session with the index for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let mut backoff = Backoff::endless(Duration::from_millis(100), Duration::from_secs(3));
    loop {
        let ended = session(&node, &mut backoff).await;
        node.index.set_sender(None);
        if node.stopping.is_cancelled() {
            return;
        }
        match ended.code {
            ErrorCode::WrongCluster | ErrorCode::WrongProtocol => {
                node.give_up(format!("the storage index at {} refuses this worker: {ended}", node.options.index));
                return;
            }
            _ => tracing::warn!(index = node.options.index, reason = %ended, "no storage index; connecting again"),
        }
        backoff.wait(&node.env).await;
    }
}

/// One session; returns why it ended.
async fn session(node: &Arc<Node>, backoff: &mut Backoff) -> Failure {
    let channel = match client::channel(&node.env, &node.options.index) {
        Ok(channel) => channel,
        Err(error) => return Failure::new(ErrorCode::BadRequest, error.to_string()),
    };
    let mut client = sized!(IndexClient::new(channel));
    let (sender, receiver) = mpsc::channel(64);
    let hello = v1::IndexHello {
        worker_id: node.worker_id.clone(),
        session_id: node.session_id.clone(),
        cluster: node.options.cluster.clone(),
        data_url: node.data_url().clone(),
        protocol_minor: sp_proto::PROTOCOL_MINOR,
    };
    if sender.send(message(Body::Hello(hello))).await.is_err() {
        return Failure::new(ErrorCode::Internal, "the stream closed before it opened");
    }
    let opened = node.env.timeout(WELCOME_WITHIN, client.worker_session(ReceiverStream::new(receiver))).await;
    let mut commands = match opened {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Failure::from(&status),
        Err(elapsed) => return Failure::new(ErrorCode::Unavailable, elapsed.to_string()),
    };
    let (health_every, health_changed) = watch::channel(HEALTH_FIRST);
    let mut feeding = pin!(feed(node, sender, health_changed));
    loop {
        let command = tokio::select! {
            failure = &mut feeding => return failure,
            command = commands.message() => command,
        };
        match command {
            Ok(Some(v1::IndexWorkerCommand { body: Some(command) })) => {
                if let Command::Welcome(welcome) = &command {
                    backoff.reset();
                    health_every.send_replace(Duration::from_millis(welcome.health_ms.max(100)));
                }
                obey(node, command).await;
            }
            Ok(Some(v1::IndexWorkerCommand { body: None })) => {
                tracing::warn!("the index sent a command that this build does not know; ignored");
            }
            Ok(None) => return Failure::new(ErrorCode::Unavailable, "it closed the session"),
            Err(status) => return Failure::from(&status),
        }
    }
}

async fn obey(node: &Arc<Node>, command: Command) {
    match command {
        Command::Welcome(welcome) => tracing::info!(session = welcome.index_session, "the storage index is connected"),
        Command::DeclareAck(ack) => node.index.acknowledge(ack.request, ack.failed.as_ref()),
        Command::Fence(fence) => node.fence(fence).await,
        Command::StoreAck(v1::StoreAck { request, missing }) => node.index.acknowledge_store(request, missing),
        Command::Delete(delete) => {
            // Aside: freeing a large file takes long, and acknowledgements come on the same stream.
            let deleting = node.clone();
            node.env.tasks.spawn("delete", Box::pin(async move { carry_out(&deleting, delete).await }));
        }
    }
}

async fn carry_out(node: &Node, delete: v1::DeleteReplica) {
    let v1::DeleteReplica { request, replica, reason } = delete;
    let failed = match delete_replica(node, replica, &reason).await {
        Ok(()) => None,
        Err(failure) => {
            tracing::warn!(request, reason = %failure, "a replica could not be deleted");
            Some(failure.to_wire())
        }
    };
    node.index.send(Body::DeleteDone(v1::DeleteDone { request, failed })).await;
}

async fn delete_replica(node: &Node, replica: Option<v1::Replica>, reason: &str) -> Result<(), Failure> {
    let replica = sp_proto::convert::required("replica", replica)?;
    let id = ReplicaInfo::try_from(replica)?.id;
    let store = node.stores.get(&id.store)?;
    tracing::info!(sector = %id.sector, kind = %id.kind, store = %id.store, reason, "deletes a replica");
    let gone = id.clone();
    node.env.blocking(move || store.delete(&id)).await?;
    scrub::forget(node, &gone).await;
    Ok(())
}

/// Tells the index everything, then how well the stores are, for ever. Returns why it stopped.
async fn feed(
    node: &Arc<Node>,
    sender: mpsc::Sender<IndexWorkerMessage>,
    mut health_every: watch::Receiver<Duration>,
) -> Failure {
    if stores::tell_all(node, &sender).await.is_err() {
        return closed();
    }
    // From here on attempts declare by themselves; what they declared before this moment is sent again.
    node.index.set_sender(Some(sender.clone()));
    for declare in node.index.pending() {
        if sender.send(message(Body::Declare(declare))).await.is_err() {
            return closed();
        }
    }
    loop {
        let wait = *health_every.borrow_and_update();
        node.env.clock.sleep(wait).await;
        if stores::tell_again(node, &sender, false).await.is_err() {
            return closed();
        }
    }
}

fn closed() -> Failure {
    Failure::new(ErrorCode::Unavailable, "it stopped listening")
}

pub(crate) fn message(body: Body) -> IndexWorkerMessage {
    IndexWorkerMessage { body: Some(body) }
}
