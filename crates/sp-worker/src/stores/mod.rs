//! The stores attached to a worker: `storage.json`, the one made on the first run, and those attached later.
//!
//! A path that cannot be used now stays attached, put aside with its reason: its disk may come back, and the others do
//! not feel it.

mod change;
mod probe;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sp_env::Monotonic;
use sp_net::Env;
use sp_sectors::{Disk, KnownPaths, LocalPath, StorageConfig, Store, StoreError, StoreMeta, StoreStat, exists};
use sp_types::{AttemptId, ErrorCode, FileKind, ReplicaInfo, SectorId, StoreId};

use crate::failure::Failure;
pub(crate) use change::{attach, detach, redeclare};
pub(crate) use probe::{ANSWER_WITHIN, Checked, check, open_all};
pub(crate) use tell::{tell_again, tell_all};

/// File in the data directory that lists the attached paths, as in Lotus.
const CONFIG: &str = "storage.json";

/// File in the data directory with what was read of each of them.
const KNOWN: &str = "known-paths.json";

/// Once a replica is found, this is waited for the others that may have it too.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);

/// Directory in the data directory that becomes a store on the first run.
const DEFAULT_STORE: &str = "storage";

/// Attached paths, in the order in which they were attached.
pub(crate) struct Stores {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    /// Whose: several workers may have a path attached.
    worker: String,
    list: RwLock<Vec<Attached>>,
}

/// One path of `storage.json`.
#[derive(Clone)]
struct Attached {
    /// As `storage.json` has it.
    listed: String,
    /// Where that is.
    root: PathBuf,
    /// None until it could be opened.
    store: Option<Store>,
    /// What its `sectorstore.json` said last; none if that was never read.
    known: Option<StoreMeta>,
    /// How full it was at the last look.
    stat: Option<StoreStat>,
    /// Why nothing is asked of it now.
    trouble: Option<String>,
    /// A look at it has not come back.
    looking: bool,
    /// So many looks have begun; the last of them is the one that counts.
    looks: u64,
    /// What lies there has to be declared anew.
    stale: bool,
    /// When it was declared last.
    declared: Option<Monotonic>,
    /// It should be one that can be written, and its file system refuses.
    read_only: bool,
}

impl Stores {
    /// Reads `storage.json`; on the first run makes it, and a store with it. Nothing is opened yet. Blocks.
    pub(crate) fn read(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        worker: &str,
        home: &Path,
        local_storage: bool,
        new_id: &StoreId,
    ) -> Result<Self, StoreError> {
        let config_path = data_dir.join(CONFIG);
        let first_run = !exists(&*disk, &config_path).map_err(|source| StoreError::Io {
            doing: "read",
            path: config_path.clone(),
            source,
        })?;
        if first_run {
            let mut config = StorageConfig::default();
            if local_storage {
                let path = data_dir.join(DEFAULT_STORE);
                init_if_new(&disk, &path, &StoreMeta::new(new_id, true, true))?;
                config.storage_paths.push(LocalPath { path: path.display().to_string() });
            }
            config.write(&*disk, &config_path)?;
        }
        let config = StorageConfig::read(&*disk, &config_path)?;
        // Only an aid: one that cannot be read is made anew.
        let known = KnownPaths::read(&*disk, &data_dir.join(KNOWN)).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was known of the attached paths is lost; one whose disk is away has no name");
            KnownPaths::default()
        });
        let roots = config.paths(home);
        let attached = |(LocalPath { path }, root): (LocalPath, PathBuf)| {
            let known = known.0.get(&path).cloned();
            Attached { known, ..Attached::new(path, root) }
        };
        let list = config.storage_paths.into_iter().zip(roots).map(attached).collect();
        Ok(Self { disk, data_dir: data_dir.to_owned(), worker: worker.to_owned(), list: RwLock::new(list) })
    }

    /// The ids of all paths, also of those that are put aside, as far as they were ever read.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.list().iter().filter_map(Attached::id).collect()
    }

    /// Where they all are.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        self.list().iter().map(|attached| attached.root.clone()).collect()
    }

    /// All that can be used now.
    pub(crate) fn all(&self) -> Vec<Store> {
        let usable = |attached: &Attached| attached.store.clone().filter(|_| attached.trouble.is_none());
        self.list().iter().filter_map(usable).collect()
    }

    /// Of those that can be written now the one with the most room, one for sealing if there is any.
    pub(crate) fn roomiest(&self) -> Option<Store> {
        let list = self.list();
        let usable = list.iter().filter(|attached| attached.trouble.is_none() && !attached.read_only);
        let stores = usable.filter_map(|attached| Some((attached.store.as_ref()?, attached.stat.as_ref())));
        let room = |(store, stat): &(&Store, Option<&StoreStat>)| {
            (store.meta().can_seal, stat.map_or(0, |stat| stat.fs_available_bytes))
        };
        stores.filter(|(store, _)| store.writable()).max_by_key(room).map(|(store, _)| store.clone())
    }

    /// The one with this id, or why it cannot be used.
    pub(crate) fn get(&self, id: &StoreId) -> Result<Store, Failure> {
        let list = self.list();
        let found = list.iter().find(|attached| attached.id().as_deref() == Some(id.as_str()));
        let Some(Attached { store, trouble, .. }) = found else {
            let message = format!("store {id} is not attached to this worker; attach it, or ask where it is");
            return Err(Failure::new(ErrorCode::NotFound, message));
        };
        match (store, trouble) {
            (Some(store), None) => Ok(store.clone()),
            (_, trouble) => {
                let reason = trouble.as_deref().unwrap_or("it has not been opened yet");
                Err(Failure::new(ErrorCode::Unavailable, format!("store {id} is put aside: {reason}")))
            }
        }
    }

    /// The one with this id, also when it is put aside: for what must not be given up before it was tried.
    pub(crate) fn opened(&self, id: &StoreId) -> Option<Store> {
        self.list().iter().filter_map(|attached| attached.store.clone()).find(|store| store.id() == id)
    }

    /// Stores that hold replicas of these kinds, with what is known of them. A store that cannot be read, or does not answer,
    /// is passed over with a warning: another one may do, and is not waited for long when one has it.
    pub(crate) async fn find(&self, env: &Env, sector: SectorId, kinds: &[FileKind]) -> Vec<(Store, ReplicaInfo)> {
        let ask = |(at, store): (usize, Store)| {
            let kinds = kinds.to_vec();
            let asking = env.blocking(move || {
                kinds.into_iter().filter_map(|kind| find_in(&store, sector, kind)).collect::<Vec<_>>()
            });
            async move { (at, asking.await) }
        };
        let mut answers: FuturesUnordered<_> = self.all().into_iter().enumerate().map(ask).collect();
        let mut found: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        loop {
            let within = if found.is_empty() { ANSWER_WITHIN } else { OTHERS_WITHIN };
            match env.timeout(within, answers.next()).await {
                Ok(Some((_, here))) if here.is_empty() => {}
                Ok(Some((at, here))) => drop(found.insert(at, here)),
                Ok(None) => break,
                // Left behind in its thread.
                Err(_) => {
                    tracing::warn!(%sector, silent = answers.len(), "stores do not answer; they are passed over");
                    break;
                }
            }
        }
        found.into_values().flatten().collect()
    }

    /// The same of one kind, where one may wait for ever. Blocks.
    pub(crate) fn find_blocking(&self, sector: SectorId, kind: FileKind) -> Vec<(Store, ReplicaInfo)> {
        self.all().iter().filter_map(|store| find_in(store, sector, kind)).collect()
    }

    /// Removes the work directories of an attempt, wherever it has any, and says what stops one of them. Blocks.
    pub(crate) fn discard(&self, attempt: AttemptId) -> Result<(), StoreError> {
        // One that fails keeps none of the others.
        self.writable().iter().map(|store| store.discard(attempt)).fold(Ok(()), Result::and)
    }

    /// What of the attempt stands in the place of something that it keeps. Blocks.
    pub(crate) fn stands_in_place(&self, attempt: AttemptId) -> Result<Vec<ReplicaInfo>, StoreError> {
        let found = self.writable().into_iter().map(|store| store.stands_in_place(attempt));
        Ok(found.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Brings back what an attempt has replaced, wherever it has; names it. Blocks.
    pub(crate) fn restore(&self, attempt: AttemptId, counting: &[FileKind]) -> Result<Vec<ReplicaInfo>, StoreError> {
        let mut restored = Vec::new();
        for store in self.writable() {
            restored.extend(store.restore(attempt, counting)?);
        }
        Ok(restored)
    }

    /// Why one of these, which is attached, cannot be asked now: what attempts have left there must not be forgotten.
    pub(crate) fn away(&self, ids: &[String]) -> Option<String> {
        let list = self.list();
        let away = |a: &&Attached| a.trouble.is_some() || a.store.is_none();
        let attached = list.iter().filter(away).find(|a| a.id().is_some_and(|id| ids.contains(&id)))?;
        let reason = attached.trouble.as_deref().unwrap_or("it has not been opened yet");
        Some(format!("{} is put aside: {reason}", attached.root.display()))
    }

    /// Those that can be written now.
    fn writable(&self) -> Vec<Store> {
        self.all().into_iter().filter(Store::writable).collect()
    }

    fn list(&self) -> RwLockReadGuard<'_, Vec<Attached>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn list_mut(&self) -> RwLockWriteGuard<'_, Vec<Attached>> {
        self.list.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a path; nothing when it has been detached meanwhile.
    fn change<T>(&self, root: &Path, change: impl FnOnce(&mut Attached) -> T) -> Option<T> {
        self.list_mut().iter_mut().find(|attached| attached.root == root).map(change)
    }

    fn seen(&self, root: &Path) -> Option<Attached> {
        self.list().iter().find(|attached| attached.root == root).cloned()
    }

    /// Makes the list durable: `storage.json`, and what was read of each path. Blocks.
    fn save(&self) -> Result<(), StoreError> {
        let list = self.list();
        let storage_paths = list.iter().map(|attached| LocalPath { path: attached.listed.clone() }).collect();
        StorageConfig { storage_paths }.write(&*self.disk, &self.data_dir.join(CONFIG))?;
        let known = list.iter().filter_map(|a| Some((a.listed.clone(), a.known.clone()?)));
        KnownPaths(known.collect()).write(&*self.disk, &self.data_dir.join(KNOWN))
    }

    /// Opens a path and makes it one of ours. Blocks.
    fn open(&self, root: &Path, keep: &BTreeSet<AttemptId>) -> Result<Store, StoreError> {
        let store = Store::open_as(self.disk.clone(), root, &self.worker, keep)?;
        let twin = |a: &Attached| a.root != root && a.id().as_deref() == Some(store.id().as_str());
        if let Some(twin) = self.list().iter().find(|attached| twin(attached)) {
            let (id, other) = (store.id(), twin.root.display());
            let reason = format!("its ID {id} belongs to {other}, which is attached already");
            return Err(StoreError::Damaged { path: store.layout().meta(), reason });
        }
        Ok(store)
    }
}

impl Attached {
    fn new(listed: String, root: PathBuf) -> Self {
        let (store, known, stat, trouble) = (None, None, None, None);
        let (looking, looks, stale, declared, read_only) = (false, 0, true, None, false);
        Self { listed, root, store, known, stat, trouble, looking, looks, stale, declared, read_only }
    }

    fn id(&self) -> Option<String> {
        let known = || self.known.as_ref().map(|meta| meta.id.clone());
        self.store.as_ref().map(|store| store.id().to_string()).or_else(known)
    }
}

/// The store if it holds a replica of this kind. Blocks.
fn find_in(store: &Store, sector: SectorId, kind: FileKind) -> Option<(Store, ReplicaInfo)> {
    match store.find(sector, kind) {
        Ok(found) => found.map(|info| (store.clone(), info)),
        Err(error) => {
            tracing::warn!(store = %store.id(), %error, "a store cannot be searched");
            None
        }
    }
}

/// A crash may have come between making the store and listing it.
fn init_if_new(disk: &Arc<dyn Disk>, path: &Path, meta: &StoreMeta) -> Result<(), StoreError> {
    match Store::create(&**disk, path, meta) {
        Ok(()) | Err(StoreError::AlreadyStore(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
