//! `sectorstore.json` and `storage.json`, field for field as Lotus writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use sp_types::{ByteSize, Filters, StoreId};

use crate::disk::{Disk, exists, read_all, write_whole};
use crate::error::{Doing, StoreError};

const JSON_BYTES_MAX: u64 = 16 << 20;

/// `sectorstore.json`: what a path is for. Fields that Lotus may add later are ignored, as Lotus ignores them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StoreMeta {
    /// Identity of the path, a UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Preference when placing; higher is preferred, 0 sorts last.
    #[serde(default)]
    pub weight: u64,
    /// May hold sectors that are being sealed.
    #[serde(default)]
    pub can_seal: bool,
    /// May hold finalised sectors.
    #[serde(default)]
    pub can_store: bool,
    /// Most bytes of sector data in the path; 0 for no limit.
    #[serde(default)]
    pub max_storage: u64,
    /// Groups that the path belongs to.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub groups: Vec<String>,
    /// Groups to which data of this path may be fetched; empty for any.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub allow_to: Vec<String>,
    /// If not empty, only these kinds may be placed here.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub allow_types: Vec<String>,
    /// These kinds may not be placed here.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub deny_types: Vec<String>,
    /// If not empty, only sectors of these miners (`t01000`) may be placed here.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub allow_miners: Vec<String>,
    /// Sectors of these miners may not be placed here.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub deny_miners: Vec<String>,
}

/// `storage.json`: the paths that a worker has attached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StorageConfig {
    /// The paths, in the order in which they were attached.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub storage_paths: Vec<LocalPath>,
}

/// One entry of `storage.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LocalPath {
    /// Absolute, or below the home directory as `~/..`.
    pub path: String,
}

/// What `sectorstore.json` of each attached path said last, by path as `storage.json` has it: a path whose disk is away
/// can still be named. Ours; Lotus has no such file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownPaths(pub BTreeMap<String, StoreMeta>);

/// Go writes an empty list as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

impl StoreMeta {
    /// A path of this identity as Lotus's `storage attach --init` makes it: weight 10, no limits, no filters.
    pub fn new(id: &StoreId, can_seal: bool, can_store: bool) -> Self {
        Self {
            id: id.to_string(),
            weight: 10,
            can_seal,
            can_store,
            max_storage: 0,
            groups: vec![],
            allow_to: vec![],
            allow_types: vec![],
            deny_types: vec![],
            allow_miners: vec![],
            deny_miners: vec![],
        }
    }

    /// The filter lists.
    pub fn filters(&self) -> Filters {
        Filters {
            allow_types: self.allow_types.clone(),
            deny_types: self.deny_types.clone(),
            allow_miners: self.allow_miners.clone(),
            deny_miners: self.deny_miners.clone(),
        }
    }

    /// The limit, for people.
    pub fn limit(&self) -> Option<ByteSize> {
        (self.max_storage > 0).then_some(ByteSize(self.max_storage))
    }

    /// Reads the file at this path.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        read_json(disk, path)
    }

    /// Writes the file at this path, whole.
    pub fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        write_json(disk, path, self)
    }
}

impl StorageConfig {
    /// Reads `storage.json`; a missing file is an empty list.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        if exists(disk, path).doing("read", path)? { read_json(disk, path) } else { Ok(Self::default()) }
    }

    /// Writes `storage.json`, whole.
    pub fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        write_json(disk, path, self)
    }

    /// The paths, with `~` replaced by this home directory.
    pub fn paths(&self, home: &Path) -> Vec<PathBuf> {
        let absolute = |p: &LocalPath| match p.path.strip_prefix('~') {
            Some(rest) => home.join(rest.trim_start_matches('/')),
            None => PathBuf::from(&p.path),
        };
        self.storage_paths.iter().map(absolute).collect()
    }
}

impl KnownPaths {
    /// Reads the file at this path; a missing one knows nothing.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        if exists(disk, path).doing("read", path)? { read_json(disk, path) } else { Ok(Self::default()) }
    }

    /// Writes the file, whole.
    pub fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        write_json(disk, path, self)
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(disk: &dyn Disk, path: &Path) -> Result<T, StoreError> {
    let bytes = read_all(disk, path, JSON_BYTES_MAX).doing("read", path)?;
    serde_json::from_slice(&bytes).map_err(|e| StoreError::Damaged { path: path.to_owned(), reason: e.to_string() })
}

fn write_json(disk: &dyn Disk, path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec_pretty(value).expect("plain structs always serialise");
    write_whole(disk, path, &bytes).doing("write", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[test]
    fn lotus_file_is_read_and_written_back() {
        let text = r#"{
  "ID": "9e2a4b3a-1b3c-4d7a-9d6e-2b1f0c7d8e9f",
  "Weight": 10,
  "CanSeal": true,
  "CanStore": false,
  "MaxStorage": 1024,
  "Groups": ["a"],
  "AllowTo": null,
  "AllowTypes": null,
  "DenyTypes": ["unsealed"],
  "AllowMiners": null,
  "DenyMiners": null
}"#;
        let meta: StoreMeta = serde_json::from_str(text).unwrap();
        assert_eq!((meta.weight, meta.can_seal, meta.can_store, meta.max_storage), (10, true, false, 1024));
        assert_eq!((meta.groups.as_slice(), meta.deny_types.as_slice()), (&["a".into()][..], &["unsealed".into()][..]));
        let names: serde_json::Value = serde_json::to_value(&meta).unwrap();
        let original: serde_json::Value = serde_json::from_str(text).unwrap();
        let keys = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&names), keys(&original));
    }

    #[test]
    fn storage_json_round_trips_and_may_be_missing() {
        let (disk, path) = (MemDisk::default(), Path::new("/storage.json"));
        assert_eq!(StorageConfig::read(&disk, path).unwrap(), StorageConfig::default());
        let config =
            StorageConfig { storage_paths: vec![LocalPath { path: "~/a".into() }, LocalPath { path: "/b".into() }] };
        config.write(&disk, path).unwrap();
        assert_eq!(StorageConfig::read(&disk, path).unwrap(), config);
        assert_eq!(config.paths(Path::new("/home/u")), [Path::new("/home/u/a"), Path::new("/b")]);
        let text = read_all(&disk, path, 1000).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["StoragePaths"][0]["Path"], "~/a");
    }
}
