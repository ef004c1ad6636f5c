//! The task that scrubs one store: replica by replica, until all are read, it is stopped, or the store is let go.

use std::sync::Arc;
use std::time::Duration;

use sp_env::{CrashPoint, crash_point};
use sp_proto::v1::{self, ScrubOutcome, ScrubState};
use sp_sectors::{Store, StoreError};
use sp_types::{ErrorCode, ReplicaInfo, Soundness, StoreId};
use tokio_util::sync::CancellationToken;

use super::record::save;
use super::state::StoreScrub;
use super::{deep, digests};
use crate::failure::Failure;
use crate::node::Node;

/// How far it is is kept this often, and with every fault.
const SAVE_EVERY_MS: u64 = 5000;

/// A store that cannot be used now is looked at again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why a pass does not go on.
pub(super) enum Halt {
    /// It was told to stop.
    Stopped,
    /// The store cannot be used now; it goes on where it was.
    Waits(String),
    /// The store is not attached any more.
    Detached(String),
}

/// What the parts of a pass share.
pub(super) struct Pass<'a> {
    pub(super) node: &'a Node,
    pub(super) scrub: &'a StoreScrub,
    pub(super) stop: &'a CancellationToken,
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Waits(error.to_string())
    }
}

pub(super) async fn run(node: Arc<Node>, scrub: Arc<StoreScrub>, stop: CancellationToken) {
    tracing::info!(store = scrub.store, "a scrub begins");
    let pass = Pass { node: &node, scrub: &scrub, stop: &stop };
    let (state, detail) = loop {
        match pass.whole().await {
            Ok(()) => break (ScrubState::Done, String::new()),
            Err(Halt::Stopped) => break (ScrubState::Stopped, "it was stopped".to_owned()),
            Err(Halt::Detached(reason)) => break (ScrubState::Stopped, reason),
            Err(Halt::Waits(reason)) => {
                scrub.state().scrub.detail = format!("waits: {reason}");
                if pass.unless_stopped(node.env.clock.sleep(LOOK_AGAIN)).await.is_err() {
                    break (ScrubState::Stopped, "it was stopped".to_owned());
                }
            }
        }
    };
    let told = {
        let mut state_of = scrub.state();
        state_of.end(state, node.env.clock.unix_ms(), detail);
        state_of.at_work = false;
        if state == ScrubState::Done {
            state_of.after = None;
        }
        state_of.to_wire(0)
    };
    let v1::StoreScrub { replicas_done, faulty, .. } = told;
    tracing::info!(store = scrub.store, done = state == ScrubState::Done, replicas_done, faulty, "a scrub has ended");
    save(&node, &scrub).await;
}

impl Pass<'_> {
    /// All replicas behind the place where it was.
    async fn whole(&self) -> Result<(), Halt> {
        let listing = self.store()?;
        let replicas = self.unless_stopped(self.read(move || listing.to_scrub())).await??;
        self.scrub.state().listed(&replicas);
        let mut saved_at = self.node.env.clock.monotonic();
        for info in &replicas {
            if self.scrub.state().is_done(&info.id) {
                continue;
            }
            let fault = self.one(info).await?;
            crash_point(CrashPoint::WorkerMidScrub);
            let now = self.node.env.clock.monotonic();
            if fault || now.since_ms(saved_at) >= SAVE_EVERY_MS {
                save(self.node, self.scrub).await;
                saved_at = now;
            }
        }
        Ok(())
    }

    /// One replica. True: something is wrong with it.
    async fn one(&self, info: &ReplicaInfo) -> Result<bool, Halt> {
        let store = self.store()?;
        let (before, deep) = {
            let mut state = self.scrub.state();
            state.scrub.detail = format!("{} of {}", info.id.kind, info.id.sector);
            (state.scrub.bytes_done, state.scrub.deep)
        };
        let mut results = Vec::new();
        if let Some(found) = digests::check(self, &store, info).await? {
            let sound = found.outcome != ScrubOutcome::Faulty as i32;
            results.push(found);
            if deep && sound {
                results.extend(deep::check(self, &store, info).await?);
            }
        }
        let (fault, soundness, is_news) = self.keep(info, before, results);
        if is_news {
            self.node.index.declare_found(vec![ReplicaInfo { soundness, ..info.clone() }]).await;
        }
        Ok(fault)
    }

    /// Keeps what came of a replica. Says whether something is wrong with it, what that makes of it, and whether that is
    /// news.
    fn keep(&self, info: &ReplicaInfo, before: u64, results: Vec<v1::ScrubResult>) -> (bool, Soundness, bool) {
        let mut state = self.scrub.state();
        let was = state.soundness(&info.id);
        let is_there = !results.is_empty();
        if !is_there {
            state.forget(&info.id);
        }
        let mut fault = false;
        for result in results {
            fault |= result.outcome == ScrubOutcome::Faulty as i32;
            if result.outcome == ScrubOutcome::Faulty as i32 {
                let (store, sector, kind) = (&self.scrub.store, info.id.sector, info.id.kind);
                tracing::error!(store, %sector, %kind, file = result.file, reason = result.reason, "a scrub found a fault");
            }
            state.keep(&info.id, result);
        }
        state.advance(info, before);
        let now = state.soundness(&info.id);
        (fault, now, is_there && now != was)
    }

    /// The store, if it can be used.
    pub(super) fn store(&self) -> Result<Store, Halt> {
        let id = StoreId::new(self.scrub.store.clone()).map_err(|e| Halt::Detached(e.to_string()))?;
        self.node.stores.get(&id).map_err(|Failure { code, message }| match code {
            ErrorCode::NotFound => Halt::Detached(message),
            _ => Halt::Waits(message),
        })
    }

    /// Waits for something, but not once the scrub is to stop.
    pub(super) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Halt::Stopped),
            value = future => Ok(value),
        }
    }

    /// Runs a read of the store where it may block. It is known as one that has not come back until it has.
    pub(super) async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let reading = Arc::new(());
        self.scrub.state().reading = Arc::downgrade(&reading);
        let work = move || {
            let _reading = reading;
            work()
        };
        self.node.env.blocking(work).await
    }

    /// A result of now.
    pub(super) fn result(
        &self,
        info: &ReplicaInfo,
        check: v1::ScrubCheck,
        outcome: ScrubOutcome,
        reason: String,
    ) -> v1::ScrubResult {
        v1::ScrubResult {
            replica: Some(info.clone().into()),
            check: check as i32,
            outcome: outcome as i32,
            reason,
            checked_unix_ms: self.node.env.clock.unix_ms(),
            ..Default::default()
        }
    }
}
