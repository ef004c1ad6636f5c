//! Looks at paths: opens those that could not be opened, finds out which are well, gives up on those that do not answer.
//!
//! A call on a hung file system never comes back. Where a child of its own does the path's file operations, that is given
//! up and the next look tries another; else the call is left behind in its thread, one for each path, and nothing else is
//! asked of that path as long as it is away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sp_env::Monotonic;
use sp_net::Env;
use sp_proto::v1;
use sp_sectors::{Store, StoreError, StoreStat};
use sp_types::AttemptId;

use super::{Attached, Stores};

/// A path that does not answer within this is put aside.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Opening a path may take longer: it reads every manifest head.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// How often what lies in a path is declared anew though nothing is known to have changed: what other hosts have
/// published in a shared path since is counted by then, at the latest.
const DECLARE_EVERY: Duration = Duration::from_secs(60 * 60);

/// What is said of a path whose files can be read all the same.
const READ_ONLY: &str = "its file system is read-only: what lies there is read, and nothing new is put there";

/// What a look at a path found.
pub(crate) struct Checked {
    /// How full it is, or what is wrong with it; none for a path that nobody has ever read.
    pub(crate) health: Option<v1::StoreHealth>,
    /// What lies there has to be declared anew.
    pub(crate) stale: bool,
}

/// The right to look at a path, for one at a time.
pub(crate) struct Turn {
    stores: Arc<Stores>,
    root: PathBuf,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.stores.end_turn(&self.root, self.number);
    }
}

/// Opens every path, all at once. What cannot be opened is put aside; what takes too long joins when it is there.
pub(crate) async fn open_all(env: &Env, stores: &Arc<Stores>, keep: &BTreeSet<AttemptId>) {
    let roots = stores.roots();
    join_all(roots.iter().map(|root| look(env, stores, root, keep, OPEN_WITHIN))).await;
}

/// Looks at a path.
pub(crate) async fn check(env: &Env, stores: &Arc<Stores>, root: &Path, keep: &BTreeSet<AttemptId>) -> Checked {
    let opened = stores.seen(root).is_some_and(|attached| attached.store.is_some());
    look(env, stores, root, keep, if opened { ANSWER_WITHIN } else { OPEN_WITHIN }).await;
    stores.checked(root, env.clock.monotonic())
}

async fn look(env: &Env, stores: &Arc<Stores>, root: &Path, keep: &BTreeSet<AttemptId>, within: Duration) {
    // Somebody else is at it, and hangs or will say what he finds.
    let Some(turn) = stores.turn(root) else { return };
    let (keep, number) = (keep.clone(), turn.number);
    let looking = move || turn.stores.look(&turn.root, &keep);
    if env.timeout(within, env.blocking(looking)).await.is_err() {
        let reason = format!("it has not answered within {} s; is its disk or its server there?", within.as_secs());
        stores.put_aside(root, reason);
        if stores.disk.give_up(root) {
            stores.end_turn(root, number);
        }
    }
}

impl Stores {
    /// None while another look at the path is under way.
    pub(crate) fn turn(self: &Arc<Self>, root: &Path) -> Option<Turn> {
        let begin = |attached: &mut Attached| {
            let free = !std::mem::replace(&mut attached.looking, true);
            attached.looks += u64::from(free);
            free.then_some(attached.looks)
        };
        let number = self.change(root, begin)??;
        Some(Turn { stores: self.clone(), root: root.to_owned(), number })
    }

    /// Another look may begin, unless it has.
    fn end_turn(&self, root: &Path, number: u64) {
        self.change(root, |attached| attached.looking &= attached.looks != number);
    }

    /// Nothing is asked of the path until a look finds it well.
    pub(super) fn put_aside(&self, root: &Path, reason: String) {
        self.change(root, |attached| {
            if attached.trouble.as_ref() != Some(&reason) {
                tracing::error!(path = %root.display(), reason, "a storage path is put aside");
            }
            attached.trouble = Some(reason);
            attached.stale = true;
        });
    }

    /// The next looks have everything declared anew.
    pub(crate) fn mark_all_stale(&self) {
        self.list_mut().iter_mut().for_each(|attached| attached.stale = true);
    }

    /// The next look at it has what lies there declared anew.
    pub(crate) fn mark_stale(&self, root: &Path) {
        self.change(root, |attached| attached.stale = true);
    }

    /// Blocks, for ever on a path that hangs.
    fn look(&self, root: &Path, keep: &BTreeSet<AttemptId>) {
        let Some(attached) = self.seen(root) else { return };
        let answers = self.disk.look_at(root).map_err(|source| StoreError::Io {
            doing: "look at",
            path: root.to_owned(),
            source,
        });
        let found = answers.and_then(|()| match &attached.store {
            None => self.open(root, keep),
            Some(store) => Ok(store.clone()),
        });
        match found.and_then(|store| probe(&store).map(|found| (store, found))) {
            Ok((store, found)) => self.is_well(root, store, found),
            // Given up meanwhile: it is put aside already, and since when and why says more.
            Err(error) if error.is_unanswered() && self.seen(root).is_some_and(|now| now.trouble.is_some()) => {}
            Err(error) => self.put_aside(root, error.to_string()),
        }
    }

    fn is_well(&self, root: &Path, store: Store, Found { stat, late, read_only }: Found) {
        let meta = (*store.meta()).clone();
        let news = self.change(root, |attached| {
            if attached.trouble.take().is_some() {
                tracing::info!(path = %root.display(), store = %store.id(), "a storage path is well again");
            }
            if std::mem::replace(&mut attached.read_only, read_only) != read_only {
                tracing::warn!(path = %root.display(), read_only, "a storage path can be written, or no more");
            }
            attached.stale |= late || attached.store.is_none();
            (attached.store, attached.stat) = (Some(store), Some(stat));
            attached.known.replace(meta.clone()) != Some(meta)
        });
        if news == Some(true)
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, "what was read of a storage path cannot be kept; should its disk go, it has no name");
        }
    }

    /// How the path is as of the last look. Takes the mark of what has to be declared.
    fn checked(&self, root: &Path, now: Monotonic) -> Checked {
        let Some(attached) = self.seen(root) else { return Checked { health: None, stale: false } };
        let is_due = attached.declared.is_none_or(|at| now.since_ms(at) >= DECLARE_EVERY.as_millis() as u64);
        let stale = (attached.stale || is_due) && attached.trouble.is_none() && attached.store.is_some();
        if stale {
            self.change(root, |attached| (attached.stale, attached.declared) = (false, Some(now)));
        }
        let health = attached.id().map(|store| match (&attached.trouble, &attached.stat) {
            (None, Some(stat)) => v1::StoreHealth {
                store,
                capacity_bytes: stat.capacity_bytes,
                fs_available_bytes: stat.fs_available_bytes,
                used_bytes: stat.used_bytes,
                error: if attached.read_only { READ_ONLY.to_owned() } else { String::new() },
                work: stat.work.iter().map(|(attempt, size_bytes)| written(*attempt, *size_bytes)).collect(),
            },
            (trouble, _) => {
                let error = trouble.clone().unwrap_or_else(|| "it is being opened".to_owned());
                v1::StoreHealth { store, error, ..Default::default() }
            }
        });
        Checked { health, stale }
    }
}

fn written(attempt: AttemptId, size_bytes: u64) -> v1::AttemptBytes {
    v1::AttemptBytes { attempt: Some(attempt.into()), size_bytes }
}

/// What a look finds at a path that answers.
struct Found {
    stat: StoreStat,
    /// Something has come to its place that no attempt has declared.
    late: bool,
    /// It should be one that can be written, and cannot.
    read_only: bool,
}

fn probe(store: &Store) -> Result<Found, StoreError> {
    let read_only = match store.probe() {
        Err(error) if error.is_read_only() => true,
        other => other.map(|()| false)?,
    };
    let late = if read_only { false } else { store.settle_late()? };
    Ok(Found { stat: store.stat()?, late, read_only })
}
