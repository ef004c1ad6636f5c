//! What the index hears of the stores: what they are, what lies in them, how full they are.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sp_env::{CrashPoint, crash_point};
use sp_net::refusals::Refused;
use sp_proto::v1::index_worker_message::Body;
use sp_proto::v1::{self, IndexWorkerMessage};
use sp_sectors::{Listed, Store, StoreMeta};
use sp_types::{ErrorCode, FileKind, ReplicaInfo, SectorId};
use tokio::sync::mpsc::{Sender, error::SendError};

use super::{Checked, Stores, check};
use crate::index::message;
use crate::node::{Fate, Node};

/// Replicas in one declaration: far below the limit on messages.
const DECLARE_MAX: usize = 1000;

type Told = Result<(), SendError<IndexWorkerMessage>>;

/// At the beginning of a session: every path is attached, well or not, and what lies in it is declared, each path in a
/// task of its own. Returns when all are attached.
pub(crate) async fn tell_all(node: &Arc<Node>, sender: &Sender<IndexWorkerMessage>) -> Told {
    for root in node.stores.roots() {
        node.stores.mark_stale(&root);
    }
    tell_again(node, sender, true).await
}

/// Looks at every path and says how it is. With `attach` each is attached first.
pub(crate) async fn tell_again(node: &Arc<Node>, sender: &Sender<IndexWorkerMessage>, attach: bool) -> Told {
    let (roots, keep) = (node.stores.roots(), node.kept());
    let looks = roots.iter().map(async |root| (root, check(&node.env, &node.stores, root, &keep).await));
    // Each is told of when it has answered: what a slow one is late with is no news of the others.
    let mut looks: FuturesUnordered<_> = looks.collect();
    while let Some((root, checked)) = looks.next().await {
        tell(node, root, checked, sender, attach).await?;
    }
    Ok(())
}

/// One path that has just been attached, or has come back.
pub(super) async fn tell_one(node: &Arc<Node>, root: &Path, sender: &Sender<IndexWorkerMessage>) -> Told {
    node.stores.mark_stale(root);
    let checked = check(&node.env, &node.stores, root, &node.kept()).await;
    tell(node, root, checked, sender, true).await
}

async fn tell(
    node: &Arc<Node>,
    root: &Path,
    checked: Checked,
    sender: &Sender<IndexWorkerMessage>,
    attach: bool,
) -> Told {
    let Checked { health: Some(health), stale } = checked else { return Ok(()) };
    if !attach && !stale {
        return sender.send(message(Body::Health(health))).await;
    }
    let Some(attach) = node.stores.describe(root, health) else { return Ok(()) };
    sender.send(message(Body::Attach(attach))).await?;
    // Nothing is said of what lies in a path that is put aside: the index keeps what it knows.
    let store = node.stores.seen(root).and_then(|attached| attached.store).filter(|_| stale);
    if let Some(store) = store {
        let (declaring, sender) = (node.clone(), sender.clone());
        let task = async move { declare(&declaring, store, &sender).await };
        node.env.tasks.spawn("declare", Box::pin(task));
    }
    Ok(())
}

/// Work of attempts that are over: they may have ended while the path was away.
async fn tidy(node: &Node, store: &Store) {
    let listed = store.clone();
    let working = move || if listed.writable() { listed.work_attempts() } else { Ok(vec![]) };
    let Ok(working) = node.env.blocking(working).await else { return };
    // Asked for afterwards: an attempt is known before it has a work directory.
    let kept = node.kept();
    for attempt in working.into_iter().filter(|attempt| !kept.contains(attempt)) {
        let tidied = store.clone();
        if let Err(error) = node.env.blocking(move || tidied.discard(attempt)).await {
            tracing::warn!(%attempt, %error, "work of an attempt that is over cannot be removed yet");
            node.leftovers.add(attempt, Fate::Counts);
        }
    }
}

/// Declares everything in a store.
async fn declare(node: &Node, store: Store, sender: &Sender<IndexWorkerMessage>) {
    tidy(node, &store).await;
    let (scanned, id) = (store.clone(), store.id().to_string());
    match node.env.blocking(move || scanned.list()).await {
        Ok(listed) => {
            let end = v1::DeclareEnd { store: id, ..Default::default() };
            for message in declarations(node, listed, end) {
                crash_point(CrashPoint::WorkerMidDeclare);
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        }
        Err(error) => {
            // Without an end of the declaration the index keeps what it knows.
            tracing::error!(store = id, %error, "a store cannot be read; its files are not declared");
            node.stores.put_aside(store.layout().root(), error.to_string());
        }
    }
}

/// A declaration in messages.
pub(crate) fn declarations(node: &Node, listed: Listed, end: v1::DeclareEnd) -> Vec<IndexWorkerMessage> {
    let Listed { replicas, unread } = listed;
    for (sector, kind) in &unread {
        let about = format!("{kind} of {sector} on store {}", end.store);
        node.refusals.note(Refused::File, ErrorCode::DigestMismatch, &about, "its manifest cannot be read");
    }
    let at = |(SectorId { miner, number: sector }, kind): (SectorId, FileKind)| {
        let kind = v1::FileKind::from(kind) as i32;
        v1::Replica { miner, sector, kind, store: end.store.clone(), ..Default::default() }
    };
    let unread = unread.into_iter().map(at).collect();
    let end = v1::DeclareEnd { unread, ..end };
    let part = |part: &[ReplicaInfo]| {
        let known = |info: &ReplicaInfo| ReplicaInfo { soundness: node.scrubs.soundness(&info.id), ..info.clone() };
        let replicas = part.iter().map(known).map(v1::Replica::from).collect();
        message(Body::Declare(v1::Declare { request: node.index.next_request(), replicas, attempt: None }))
    };
    let parts = replicas.chunks(DECLARE_MAX).map(part);
    parts.chain([message(Body::DeclareEnd(end))]).collect()
}

impl Stores {
    /// A path as the index wants it described; none if nobody has ever read it.
    fn describe(&self, root: &Path, health: v1::StoreHealth) -> Option<v1::AttachedStore> {
        let attached = self.seen(root)?;
        let opened = attached.store.map(|store| (*store.meta()).clone());
        Some(self::attached(opened.or(attached.known)?, root, health))
    }
}

/// A store as the index wants it described.
pub(crate) fn attached(meta: StoreMeta, root: &Path, health: v1::StoreHealth) -> v1::AttachedStore {
    v1::AttachedStore {
        store: meta.id,
        weight: meta.weight,
        can_seal: meta.can_seal,
        can_store: meta.can_store,
        max_storage_bytes: meta.max_storage,
        groups: meta.groups,
        allow_to: meta.allow_to,
        allow_types: meta.allow_types,
        deny_types: meta.deny_types,
        allow_miners: meta.allow_miners,
        deny_miners: meta.deny_miners,
        local_path: root.display().to_string(),
        health: Some(health),
    }
}
