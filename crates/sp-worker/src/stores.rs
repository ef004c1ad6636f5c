//! The stores attached to a worker: `storage.json`, the one made on the first run, and those attached later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sp_proto::v1;
use sp_sectors::{Disk, LocalPath, StorageConfig, Store, StoreError, StoreMeta, exists};
use sp_types::{AttemptId, FileKind, ReplicaInfo, SectorId, StoreId};

/// File in the data directory that lists the attached paths, as in Lotus.
const CONFIG: &str = "storage.json";

/// Directory in the data directory that becomes a store on the first run.
const DEFAULT_STORE: &str = "storage";

/// Attached stores, in the order in which they were attached.
pub(crate) struct Stores {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    list: RwLock<Vec<Store>>,
}

impl Stores {
    /// Opens every path of `storage.json`. Work directories of attempts that are not in `keep` are removed. Blocks.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        home: &Path,
        local_storage: bool,
        new_id: &StoreId,
        keep: &BTreeSet<AttemptId>,
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
        let paths = StorageConfig::read(&*disk, &config_path)?.paths(home);
        let open = |path: &PathBuf| Store::open(disk.clone(), path, keep);
        let list = paths.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { disk, data_dir: data_dir.to_owned(), list: RwLock::new(list) })
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Store> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one with this id.
    pub(crate) fn get(&self, id: &StoreId) -> Option<Store> {
        self.all().into_iter().find(|store| store.id() == id)
    }

    /// Stores that hold a replica of this kind, with what is known of it. Blocks. A store that cannot be read is passed
    /// over with a warning: another one may do.
    pub(crate) fn find(&self, sector: SectorId, kind: FileKind) -> Vec<(Store, ReplicaInfo)> {
        let found = |store: Store| match store.find(sector, kind) {
            Ok(found) => found.map(|info| (store, info)),
            Err(error) => {
                tracing::warn!(store = %store.id(), %error, "a store cannot be searched");
                None
            }
        };
        self.all().into_iter().filter_map(found).collect()
    }

    /// Attaches a path (and makes it a store first, with `init`), for good. Blocks.
    pub(crate) fn attach(&self, request: &v1::AttachStore, new_id: &StoreId) -> Result<Store, StoreError> {
        let path = PathBuf::from(&request.path);
        if request.init {
            let meta = StoreMeta {
                weight: request.weight,
                max_storage: request.max_storage_bytes,
                groups: request.groups.clone(),
                allow_to: request.allow_to.clone(),
                ..StoreMeta::new(new_id, request.seal, request.store)
            };
            Store::init(self.disk.clone(), &path, &meta)?;
        }
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = list.iter().find(|store| store.layout().root() == path) {
            return Ok(known.clone());
        }
        let store = Store::open(self.disk.clone(), &path, &BTreeSet::new())?;
        if list.iter().any(|known| known.id() == store.id()) {
            let reason = format!("its ID {} belongs to a path that is attached already", store.id());
            return Err(StoreError::Damaged { path: store.layout().meta(), reason });
        }
        let config_path = self.data_dir.join(CONFIG);
        let mut config = StorageConfig::read(&*self.disk, &config_path)?;
        config.storage_paths.push(LocalPath { path: request.path.clone() });
        config.write(&*self.disk, &config_path)?;
        list.push(store.clone());
        Ok(store)
    }

    /// Removes the work directories of an attempt, wherever it has any, and says what stops one of them. Blocks.
    pub(crate) fn discard(&self, attempt: AttemptId) -> Result<(), StoreError> {
        let writable = self.all().into_iter().filter(Store::writable);
        // One that fails keeps none of the others.
        writable.map(|store| store.discard(attempt)).fold(Ok(()), Result::and)
    }
}

/// A crash may have come between making the store and listing it.
fn init_if_new(disk: &Arc<dyn Disk>, path: &Path, meta: &StoreMeta) -> Result<(), StoreError> {
    match Store::init(disk.clone(), path, meta) {
        Ok(_) | Err(StoreError::AlreadyStore(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A store as the index wants it described.
pub(crate) fn attached(store: &Store) -> v1::AttachedStore {
    let meta = store.meta().clone();
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
        local_path: store.layout().root().display().to_string(),
        health: Some(health(store)),
    }
}

/// How full a store is, or why that cannot be said. Blocks.
pub(crate) fn health(store: &Store) -> v1::StoreHealth {
    let id = store.id().to_string();
    match store.stat() {
        Ok(stat) => v1::StoreHealth {
            store: id,
            capacity_bytes: stat.capacity_bytes,
            fs_available_bytes: stat.fs_available_bytes,
            used_bytes: stat.used_bytes,
            error: String::new(),
        },
        Err(error) => v1::StoreHealth { store: id, error: error.to_string(), ..Default::default() },
    }
}
