//! State in one redb file: fsync on every commit, one process at a time.
//!
//! Only begin, insert, remove, range and commit are used: savepoints, multimaps and non-durable commits are where redb
//! had its bugs.
// A state file is opened here for real; a simulation brings its own storage.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::{Batch, CommitError, OpenError, Row, State, StateError, scan_start};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";

/// Memory for cached pages. A state is small; redb's default of 1 GiB would be charged to the host.
const CACHE_BYTES: usize = 64 << 20;

/// State in one file.
pub struct Redb {
    database: Database,
    schema_found: u32,
}

impl Redb {
    /// Opens a file, or makes it; its directory must be there. `schema` is the version of the service's rows: a file
    /// with a newer one is refused, an older one is raised to it ([`Self::schema_found`] tells which it was).
    ///
    /// After a crash redb checks the file first; that takes longer the larger it is.
    pub fn open(path: impl Into<PathBuf>, schema: u32) -> Result<Self, OpenError> {
        let path = path.into();
        if !path.try_exists().map_err(|e| unusable(&path, e))? {
            create(&path, schema)?;
        }
        let opened = Database::builder().set_cache_size(CACHE_BYTES).open(&path);
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Taken { path: path.clone() },
            other => unusable(&path, other),
        })?;
        Self::take(database, &path, schema)
    }

    /// The same on storage that the caller brings, a simulated disk; a state is made on it when it is empty. Making one
    /// is not atomic here: publish such storage only once this has returned, as [`Self::open`] does with its file.
    pub fn on(storage: impl StorageBackend, schema: u32) -> Result<Self, OpenError> {
        let path = Path::new("(storage of the caller)");
        let unusable = |error: &dyn std::fmt::Display| unusable(path, error);
        let empty = storage.len().map_err(|e| unusable(&e))? == 0;
        let created = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(storage);
        let database = created.map_err(|e| unusable(&e))?;
        if empty {
            write_schema(&database, schema).map_err(|e| unusable(&e))?;
        }
        Self::take(database, path, schema)
    }

    /// Checks whose state it is.
    fn take(database: Database, path: &Path, schema: u32) -> Result<Self, OpenError> {
        let found = read_schema(&database).map_err(|e| unusable(path, e))?;
        let found = found.ok_or_else(|| unusable(path, "it has no schema version, so it is not a state of ours"))?;
        if found > schema {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: schema });
        }
        if found < schema {
            write_schema(&database, schema).map_err(|e| unusable(path, e))?;
        }
        Ok(Self { database, schema_found: found })
    }

    /// The schema version that the file had before it was opened.
    pub fn schema_found(&self) -> u32 {
        self.schema_found
    }
}

impl State for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let rows = self.database.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
        Ok(rows.get(key).map_err(failed)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        let rows = self.database.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
        let range = rows.range::<&[u8]>((scan_start(prefix, after), Bound::Unbounded)).map_err(failed)?;
        let mut found = Vec::new();
        for row in range.take(limit) {
            let (key, value) = row.map_err(failed)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        batch.check_sizes()?;
        // Dropped before its commit, a transaction leaves nothing behind.
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut rows = transaction.open_table(ROWS).map_err(failed)?;
            for (key, condition) in batch.conditions() {
                let found = rows.get(key.as_slice()).map_err(failed)?;
                if !condition.holds(found.as_ref().map(|value| value.value())) {
                    return Err(CommitError::Condition { key: key.clone() });
                }
            }
            for (key, value) in batch.writes() {
                match value {
                    Some(value) => drop(rows.insert(key, value).map_err(failed)?),
                    None => drop(rows.remove(key).map_err(failed)?),
                }
            }
        }
        Ok(transaction.commit().map_err(failed)?)
    }
}

/// Makes an empty state aside and renames it into place, so that a crash leaves a whole file or none.
fn create(path: &Path, schema: u32) -> Result<(), OpenError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    // What a crashed start left aside was never in use.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(&aside, error)),
        _ => {}
    }
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(&aside).map_err(|e| unusable(&aside, e))?;
    write_schema(&database, schema).map_err(|e| unusable(&aside, e))?;
    drop(database);
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let publish = || {
        File::open(&aside)?.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(parent)?.sync_all()
    };
    publish().map_err(|e| unusable(path, e))
}

fn write_schema(database: &Database, schema: u32) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(SCHEMA, schema)?;
    // Made here, so that a reader never meets a file without it.
    transaction.open_table(ROWS)?;
    Ok(transaction.commit()?)
}

fn read_schema(database: &Database) -> Result<Option<u32>, redb::Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(meta.get(SCHEMA)?.map(|version| version.value()))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), reason: reason.to_string() }
}

fn failed(error: impl Into<redb::Error>) -> StateError {
    StateError { reason: error.into().to_string() }
}
