//! The scheduler's stream to the storage index: facts in, reservations, fences and deletes out; connected for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sp_net::retry::Backoff;
use sp_net::{Env, client, sized, status};
use sp_proto::v1;
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::index_query_client::IndexQueryClient;
use sp_proto::v1::{index_fact, index_scheduler_message::Body};
use sp_types::SessionId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::driver::{Gone, Handle, IndexStream, Input};
use crate::wire;

/// Commands that may wait for the index; when more pile up, the stream is opened anew. An index that has come back is told
/// in one go of every fence that is kept (10,000) and of every attempt that goes on: if those did not fit, it would be
/// opened anew for ever.
const COMMANDS_MAX: usize = 1 << 18;

/// The stream opens within this, or is tried again.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// The index answers an operator's question within this.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Stores as the index last described them, whole: what operators list.
#[derive(Clone, Default)]
pub(crate) struct Stores(Arc<Mutex<Listing>>);

#[derive(Default)]
struct Listing {
    connected: bool,
    stores: BTreeMap<String, v1::StoreFact>,
    incoming: Option<BTreeMap<String, v1::StoreFact>>,
}

/// What operators are told of the index: what it has described, or, past the scheduling loop, its own answers.
#[derive(Clone)]
pub(crate) struct IndexView {
    pub(crate) stores: Stores,
    env: Env,
    url: String,
}

/// Keeps the stream open.
pub(crate) struct IndexLink {
    pub(crate) env: Env,
    pub(crate) url: String,
    pub(crate) cluster: String,
    pub(crate) session: SessionId,
    pub(crate) miner: u64,
    pub(crate) driver: Handle,
    pub(crate) stores: Stores,
    pub(crate) stopping: CancellationToken,
}

impl Stores {
    /// Everything known; the last complete copy while the index is away.
    pub(crate) fn list(&self) -> Vec<v1::StoreFact> {
        self.with(|l| l.stores.values().cloned().collect())
    }

    /// One store.
    pub(crate) fn get(&self, store: &str) -> Option<v1::StoreFact> {
        self.with(|l| l.stores.get(store).cloned())
    }

    /// Is the copy being kept fresh?
    pub(crate) fn connected(&self) -> bool {
        self.with(|l| l.connected)
    }

    fn lost(&self) {
        self.with(|l| {
            l.connected = false;
            l.incoming = None;
        });
    }

    fn note(&self, fact: &v1::IndexFact) {
        self.with(|l| match &fact.body {
            Some(index_fact::Body::SnapshotBegin(_)) => l.incoming = Some(BTreeMap::new()),
            Some(index_fact::Body::SnapshotEnd(_)) => {
                l.connected = true;
                if let Some(incoming) = l.incoming.take() {
                    l.stores = incoming;
                }
            }
            Some(index_fact::Body::Store(store)) => {
                let id = store.store.as_ref().map(|s| s.store.clone()).unwrap_or_default();
                l.incoming.as_mut().unwrap_or(&mut l.stores).insert(id, store.clone());
            }
            Some(index_fact::Body::StoreGone(gone)) => {
                l.incoming.as_mut().unwrap_or(&mut l.stores).remove(&gone.store);
            }
            _ => {}
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Listing) -> T) -> T {
        // A poisoned listing is still a listing: every change to it is one assignment.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl IndexView {
    pub(crate) fn new(env: Env, url: String, stores: Stores) -> Self {
        Self { stores, env, url }
    }

    /// Asks the index itself for every store and what lies there.
    pub(crate) async fn ask_stores(&self) -> Result<v1::ListStoresReply, String> {
        let mut index = self.client()?;
        self.answer(index.list_stores(v1::ListStoresRequest {})).await
    }

    /// Asks the index itself where the files of a sector are.
    pub(crate) async fn ask_sector(&self, miner: u64, sector: u64) -> Result<v1::FindSectorReply, String> {
        let mut index = self.client()?;
        self.answer(index.find_sector(v1::FindSectorRequest { miner, sector })).await
    }

    /// Asks the index for every lock.
    pub(crate) async fn ask_locks(&self) -> Result<v1::ListLocksReply, String> {
        let mut index = sized!(IndexQueryClient::new(self.channel()?));
        self.answer(index.list_locks(v1::ListLocksRequest {})).await
    }

    /// Asks the index itself what lies on a store.
    pub(crate) async fn ask_replicas(&self, page: v1::ListReplicasRequest) -> Result<v1::ListReplicasReply, String> {
        let mut index = sized!(IndexQueryClient::new(self.channel()?));
        self.answer(index.list_replicas(page)).await
    }

    fn client(&self) -> Result<IndexClient<Channel>, String> {
        Ok(sized!(IndexClient::new(self.channel()?)))
    }

    /// A connection of its own: it is seldom needed.
    fn channel(&self) -> Result<Channel, String> {
        client::channel(&self.env, &self.url).map_err(|error| error.to_string())
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
        match self.env.timeout(ASK_LIMIT, asked).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status::message_of(&status)),
            Err(elapsed) => Err(elapsed.to_string()),
        }
    }
}

impl IndexLink {
    /// Runs until the scheduler stops. Tries without end: there is no other index to turn to.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::endless(Duration::from_millis(100), Duration::from_secs(5));
        let mut connection = 0;
        loop {
            connection += 1;
            let mut snapshot = false;
            let reason = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                reason = self.connect(connection, &mut snapshot) => reason,
            };
            self.stores.lost();
            let closed = Input::IndexClosed { connection, reason: reason.clone() };
            if self.driver.send(closed).await.is_err() {
                return;
            }
            if snapshot {
                backoff.reset();
            }
            tracing::info!(reason, url = self.url, tries = backoff.tries(), "no stream to the index; trying again");
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                _ = backoff.wait(&self.env) => {}
            }
        }
    }

    /// One stream from its opening to its end; gives the reason of the end.
    async fn connect(&self, connection: u64, snapshot: &mut bool) -> String {
        let channel = match client::channel(&self.env, &self.url) {
            Ok(channel) => channel,
            Err(error) => return error.to_string(),
        };
        let (commands, outbound) = mpsc::channel(COMMANDS_MAX);
        let hello = v1::IndexSchedulerHello {
            cluster: self.cluster.clone(),
            scheduler_session: self.session.to_string(),
            protocol_minor: sp_proto::PROTOCOL_MINOR,
        };
        let hello = v1::IndexSchedulerMessage { body: Some(Body::Hello(hello)) };
        if commands.try_send(hello).is_err() {
            return "the stream's queue is closed".into();
        }
        let mut index: IndexClient<Channel> = sized!(IndexClient::new(channel));
        let opening = index.scheduler_session(ReceiverStream::new(outbound));
        let mut facts = match self.env.timeout(OPEN_LIMIT, opening).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return status::message_of(&status),
            Err(elapsed) => return elapsed.to_string(),
        };
        let closed = CancellationToken::new();
        let stream = IndexStream { connection, commands, closed: closed.clone() };
        if self.driver.send(Input::IndexOpened(stream)).await.is_err() {
            return "the scheduler is stopping".into();
        }
        loop {
            let fact = tokio::select! {
                biased;
                () = closed.cancelled() => return "it did not take its commands".into(),
                fact = facts.message() => fact,
            };
            match fact {
                Ok(Some(fact)) => {
                    *snapshot |= matches!(fact.body, Some(index_fact::Body::SnapshotEnd(_)));
                    if self.pass_on(fact).await.is_err() {
                        return "the scheduler is stopping".into();
                    }
                }
                Ok(None) => return "it ended the stream".into(),
                Err(status) => return status::message_of(&status),
            }
        }
    }

    async fn pass_on(&self, fact: v1::IndexFact) -> Result<(), Gone> {
        self.stores.note(&fact);
        if let Some((request, failed)) = wire::answered_delete(&fact) {
            return self.driver.send(Input::DeleteAnswered { request, failed }).await;
        }
        match wire::fact_event(self.miner, fact) {
            Ok(Some(event)) => self.driver.event(event).await,
            Ok(None) => Ok(()),
            Err(error) => {
                // One fact that this build cannot read must not cost all others.
                tracing::warn!(%error, "a fact of the index makes no sense and is left out");
                Ok(())
            }
        }
    }
}
