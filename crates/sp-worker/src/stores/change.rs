//! What an operator has done to the paths of a worker: attach, detach, read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sp_env::{CrashPoint, crash_point};
use sp_proto::v1;
use sp_sectors::{Store, StoreError, StoreMeta};
use sp_types::{AttemptId, ErrorCode, StoreId};

use super::{Attached, Stores, tell};
use crate::failure::Failure;
use crate::node::Node;
use crate::scrub;

/// Attempts named in a refusal.
const NAMED_MAX: usize = 5;

/// Attaches a directory (and makes it a store first, with `init`), for good.
pub(crate) async fn attach(node: &Arc<Node>, request: v1::AttachStore) -> Result<StoreId, Failure> {
    let new_id = StoreId::new(node.env.uuid()).map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))?;
    let (stores, keep) = (node.stores.clone(), node.kept());
    let root = PathBuf::from(&request.path);
    let adding = root.clone();
    let id = node.env.blocking(move || stores.add(&request, &adding, &new_id, &keep)).await?;
    tracing::info!(store = %id, path = %root.display(), "attached");
    // Closed: the next session tells it.
    if let Some(sender) = node.index.sender() {
        let _ = tell::tell_one(node, &root, &sender).await;
    }
    Ok(id)
}

/// Lets go of a store: the index forgets it, then `storage.json`. Its files stay where they are.
pub(crate) async fn detach(node: &Arc<Node>, wanted: &str) -> Result<v1::StoreChange, Failure> {
    let attached = node.stores.named(wanted)?;
    refuse_busy(node, &attached).await?;
    if let Some(store) = attached.id() {
        scrub::let_go(node, &store).await;
    }
    let Some((at, taken)) = node.stores.take(&attached.root) else {
        return Err(not_attached(wanted));
    };
    match forget(node, &taken).await {
        Ok(replicas) => {
            tracing::info!(path = %taken.root.display(), replicas, "detached");
            Ok(change(&taken, replicas))
        }
        Err(failure) => {
            let root = taken.root.clone();
            node.stores.put_back(at, taken);
            if let Some(sender) = node.index.sender() {
                let _ = tell::tell_one(node, &root, &sender).await;
            }
            Err(failure)
        }
    }
}

async fn forget(node: &Node, taken: &Attached) -> Result<u64, Failure> {
    let replicas = match taken.id() {
        Some(store) => node.index.detach(&node.env, store).await?,
        // Nobody has ever heard of it.
        None => 0,
    };
    let (stores, root) = (node.stores.clone(), taken.root.clone());
    node.env
        .blocking(move || {
            stores.save()?;
            stores.disk.let_go(&root);
            Ok::<_, StoreError>(())
        })
        .await?;
    Ok(replicas)
}

/// What works in the store would lose its work.
async fn refuse_busy(node: &Node, attached: &Attached) -> Result<(), Failure> {
    let kept = node.kept();
    let mut busy: Vec<AttemptId> =
        node.attempts().iter().filter(|a| a.writes_to(attached.id())).map(|a| a.id()).collect();
    if let Some(store) = attached.store.clone().filter(|_| attached.trouble.is_none()) {
        let working = node.env.blocking(move || store.work_attempts()).await?;
        busy.extend(working.into_iter().filter(|attempt| kept.contains(attempt)));
    }
    // What they have replaced there waits for the path, or for word whether they count.
    let (ledger, id) = (node.ledger.clone(), attached.id());
    let waiting: Vec<AttemptId> = node.leftovers.list().into_iter().chain(node.results().into_keys()).collect();
    let wrote = move |attempt: &AttemptId| {
        let assigned = ledger.assigned(*attempt).ok().flatten().unwrap_or_default();
        assigned.outputs.iter().any(|output| Some(&output.store) == id.as_ref())
    };
    busy.extend(node.env.blocking(move || waiting.into_iter().filter(wrote).collect::<Vec<_>>()).await);
    busy.sort();
    busy.dedup();
    if busy.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = busy.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = if busy.len() > NAMED_MAX { format!(" and {} more", busy.len() - NAMED_MAX) } else { String::new() };
    let message = format!(
        "attempts {}{more} work in {}; wait for them (`sp-ctl sealing jobs`), or abort them",
        named.join(", "),
        attached.root.display()
    );
    Err(Failure::new(ErrorCode::WrongState, message))
}

/// Reads `sectorstore.json` and the directories of paths again, all of them when none is named.
pub(crate) async fn redeclare(
    node: &Arc<Node>,
    wanted: &[String],
    drop_missing: bool,
) -> Result<Vec<v1::StoreChange>, Failure> {
    let paths = match wanted {
        [] => node.stores.list().clone(),
        wanted => wanted.iter().map(|w| node.stores.named(w)).collect::<Result<_, _>>()?,
    };
    let mut changes = Vec::new();
    for attached in paths {
        let change = match read_again(node, &attached, drop_missing).await {
            Ok(change) => change,
            Err(failure) => v1::StoreChange { error: failure.message, ..change(&attached, 0) },
        };
        changes.push(change);
    }
    Ok(changes)
}

async fn read_again(node: &Arc<Node>, attached: &Attached, drop_missing: bool) -> Result<v1::StoreChange, Failure> {
    let keep = node.kept();
    let opened = node.stores.seen(&attached.root).and_then(|now| now.store);
    if let Some(store) = opened.filter(|_| attached.trouble.is_none()) {
        let (reloading, keep) = (store, keep.clone());
        node.env.blocking(move || reloading.reload(&keep)).await?;
    }
    let checked = super::check(&node.env, &node.stores, &attached.root, &keep).await;
    let now = node.stores.seen(&attached.root).ok_or_else(|| not_attached(&attached.listed))?;
    let store = match (now.store.clone(), now.trouble.clone()) {
        (Some(store), None) => store,
        (_, trouble) => {
            let reason = trouble.unwrap_or_else(|| "it is still being opened".to_owned());
            return Err(Failure::new(ErrorCode::Unavailable, reason));
        }
    };
    let Some(sender) = node.index.sender() else {
        let message = "no storage index is connected; all is told when it is";
        return Err(Failure::new(ErrorCode::Unavailable, message));
    };
    let (scanned, meta) = (store.clone(), (*store.meta()).clone());
    let listed = node.env.blocking(move || scanned.list()).await?;
    let found = listed.replicas.len() as u64;
    let (request, acknowledged) = node.index.store_request();
    let end = v1::DeclareEnd { store: store.id().to_string(), keep_missing: !drop_missing, request, unread: vec![] };
    let attach = tell::attached(meta, &attached.root, checked.health.unwrap_or_default());
    let first = crate::index::message(v1::index_worker_message::Body::Attach(attach));
    for message in [first].into_iter().chain(tell::declarations(node, listed, end)) {
        sender.send(message).await.map_err(|_| closed())?;
    }
    let missing = acknowledged.wait(&node.env).await?;
    Ok(v1::StoreChange { missing, ..change(&now, found) })
}

fn closed() -> Failure {
    Failure::new(ErrorCode::Unavailable, "the storage index went away meanwhile; try again")
}

fn change(attached: &Attached, replicas: u64) -> v1::StoreChange {
    v1::StoreChange {
        store: attached.id().unwrap_or_default(),
        local_path: attached.root.display().to_string(),
        replicas,
        missing: 0,
        error: String::new(),
    }
}

fn not_attached(wanted: &str) -> Failure {
    let message = format!("no path `{wanted}` is attached to this worker; see `sp-ctl storage list`");
    Failure::new(ErrorCode::NotFound, message)
}

impl Stores {
    /// Opens a directory and lists it. Blocks.
    fn add(
        &self,
        request: &v1::AttachStore,
        root: &Path,
        new_id: &StoreId,
        keep: &std::collections::BTreeSet<AttemptId>,
    ) -> Result<StoreId, Failure> {
        let failed = |source| StoreError::Io { doing: "look at", path: root.to_owned(), source };
        self.disk.look_at(root).map_err(failed)?;
        if request.init {
            let meta = StoreMeta {
                weight: request.weight,
                max_storage: request.max_storage_bytes,
                groups: request.groups.clone(),
                allow_to: request.allow_to.clone(),
                ..StoreMeta::new(new_id, request.seal, request.store)
            };
            Store::create(&*self.disk, root, &meta)?;
        }
        if let Some(Attached { store: Some(store), .. }) = self.seen(root) {
            return Ok(store.id().clone());
        }
        let store = self.open(root, keep)?;
        let id = store.id().clone();
        let known = Some((*store.meta()).clone());
        let added = {
            let mut list = self.list_mut();
            let fresh = !list.iter().any(|attached| attached.root == root);
            if fresh {
                let listed = Attached::new(request.path.clone(), root.to_owned());
                list.push(Attached { store: Some(store), known, ..listed });
            }
            fresh
        };
        crash_point(CrashPoint::WorkerAttachOpened);
        if added && let Err(error) = self.save() {
            self.take(root);
            return Err(error.into());
        }
        crash_point(CrashPoint::WorkerAttachSaved);
        Ok(id)
    }

    /// The path that is named by its id, or as `storage.json` or the machine names it.
    fn named(&self, wanted: &str) -> Result<Attached, Failure> {
        let root = Path::new(wanted);
        let is = |a: &&Attached| a.id().as_deref() == Some(wanted) || a.root == root || a.listed == wanted;
        self.list().iter().find(is).cloned().ok_or_else(|| not_attached(wanted))
    }

    /// Id and directory of the paths that are named like that, of all that have ever been read when none is.
    pub(crate) fn chosen(&self, wanted: &[String]) -> Result<Vec<(String, PathBuf)>, Failure> {
        let known = |attached: Attached| attached.id().map(|id| (id, attached.root));
        if wanted.is_empty() {
            return Ok(self.list().iter().cloned().filter_map(known).collect());
        }
        let named = |wanted: &String| known(self.named(wanted)?).ok_or_else(|| not_attached(wanted));
        wanted.iter().map(named).collect()
    }

    /// Takes a path off the list, and says where it was.
    fn take(&self, root: &Path) -> Option<(usize, Attached)> {
        let mut list = self.list_mut();
        let at = list.iter().position(|attached| attached.root == root)?;
        Some((at, list.remove(at)))
    }

    fn put_back(&self, at: usize, attached: Attached) {
        let mut list = self.list_mut();
        let at = at.min(list.len());
        list.insert(at, attached);
    }
}
