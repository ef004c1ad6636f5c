//! What an operator does to a sector as a whole: updates it, drops that, moves it, removes it, tries again, forces a state.

use sp_net::Env;
use sp_proto::v1;
use sp_types::SectorState as S;
use tonic::Status;

use crate::operator::{View, answer, gone, scheduler};
use crate::piece;
use crate::rng::Rng;
use crate::tally::Tally;
use crate::watch::Watch;

/// He removes no more sectors than this; the others have to come to their end.
const REMOVED_MAX: usize = 2;

/// Does one thing, or none.
pub(crate) async fn follow(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    match rng.range(0, 100) {
        0..55 => snap(env, view, watch, rng).await,
        55..67 => abort_upgrade(env, view, watch, rng).await,
        67..77 => remove(env, view, watch, rng).await,
        77..88 => move_files(env, view, watch, rng).await,
        _ => regen_key(env, view, watch, rng).await,
    }
}

/// Is there a sector that he could try again?
pub(crate) fn has_failed(view: &View) -> bool {
    let mut states = view.sectors.iter().filter_map(|s| s.summary.as_ref()?.state.parse::<S>().ok());
    states.any(|state| state.is_failure() || state.is_stopped())
}

/// Does something about what has failed.
pub(crate) async fn set_right(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    match rng.percent(50) {
        true => retry(env, view, watch, rng).await,
        false => force(env, view, watch, rng).await,
    }
}

/// A sector for which this is true, with its state.
fn pick(view: &View, rng: &mut Rng, fits: impl Fn(&v1::SectorSummary, S) -> bool) -> Option<(u64, S)> {
    let summaries = view.sectors.iter().filter_map(|s| s.summary.as_ref());
    let states = summaries.filter_map(|s| Some((s, s.state.parse::<S>().ok()?)));
    let found: Vec<(u64, S)> =
        states.filter(|(s, state)| fits(s, *state)).map(|(s, state)| (s.number, state)).collect();
    (!found.is_empty()).then(|| *rng.pick(&found))
}

/// A CC sector that is sealed; it is marked first if need be.
async fn snap(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let sealed = |s: &v1::SectorSummary, state| s.data_bytes == 0 && matches!(state, S::Proving | S::Available);
    let Some((number, state)) = pick(view, rng, sealed) else { return Ok(()) };
    watch.injected("operator snaps");
    watch.note(format!("operator snaps {number}"));
    if state == S::Proving {
        answer(env, scheduler(env)?.mark_for_update(v1::MarkForUpdateRequest { number })).await?;
    }
    piece::snap(env, number).await
}

async fn abort_upgrade(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let upgrades = |_: &v1::SectorSummary, state: S| state.is_update() || state == S::Available;
    let Some((number, _)) = pick(view, rng, upgrades) else { return Ok(()) };
    watch.injected("operator aborts an upgrade");
    watch.note(format!("operator aborts the upgrade of {number}"));
    answer(env, scheduler(env)?.abort_upgrade(v1::AbortUpgradeRequest { number })).await.map(drop)
}

async fn remove(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    if gone(view).len() >= REMOVED_MAX {
        return Ok(());
    }
    let Some((number, _)) = pick(view, rng, |_, state| !state.is_gone()) else { return Ok(()) };
    watch.injected("operator removes a sector");
    watch.note(format!("operator removes {number}"));
    answer(env, scheduler(env)?.remove_sector(v1::RemoveSectorRequest { number })).await?;
    watch.removed(number);
    Ok(())
}

/// What failed, or has stopped.
async fn retry(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let failed = |s: &v1::SectorSummary, state: S| s.stopped || state.is_failure();
    let Some((number, _)) = pick(view, rng, failed) else { return Ok(()) };
    watch.injected("operator retries");
    again(env, watch, number).await
}

/// Tells the scheduler to try again.
pub(crate) async fn again(env: &Env, watch: &Watch, number: u64) -> Result<(), Status> {
    watch.note(format!("operator retries {number}"));
    answer(env, scheduler(env)?.retry_sector(v1::RetrySectorRequest { number })).await.map(drop)
}

/// What failed is put where it can go on: the phase that it would go on with by itself, or an earlier one.
async fn force(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let failed = |_: &v1::SectorSummary, state: S| !ways_on(state).is_empty();
    let Some((number, state)) = pick(view, rng, failed) else { return Ok(()) };
    let summaries = view.sectors.iter().filter_map(|s| s.summary.as_ref());
    let latest = summaries.filter(|s| s.number == number).find_map(|s| goes_on_with(&s.waiting)).unwrap_or(S::Removed);
    let ways: Vec<S> = ways_on(state).iter().copied().filter(|to| *to <= latest).collect();
    if ways.is_empty() {
        return Ok(());
    }
    watch.injected("operator forces a state");
    put_into(env, watch, number, *rng.pick(&ways)).await
}

/// The state that a failed sector returns to by itself, as the scheduler tells it.
fn goes_on_with(waiting: &str) -> Option<S> {
    waiting.split_once("goes on with ")?.1.split_whitespace().next()?.parse().ok()
}

async fn put_into(env: &Env, watch: &Watch, number: u64, to: S) -> Result<(), Status> {
    watch.note(format!("operator forces {number} into {to}"));
    let request = v1::UpdateSectorStateRequest { number, state: to.to_string() };
    answer(env, scheduler(env)?.update_sector_state(request)).await.map(drop)
}

/// A sector may have gone back by itself just before it was forced, and then lacks what its new state needs: its replica
/// is made anew.
pub(crate) async fn mend_forced(env: &Env, view: &View, watch: &Watch) -> Result<(), Status> {
    let has_replica = |number| view.replicas.iter().any(|r| r.sector == number && r.kind() == v1::FileKind::Sealed);
    for sector in view.sectors.iter().filter(|sector| Tally::of(sector).forced > 0) {
        let summary = sector.summary.clone().unwrap_or_default();
        let lacks = matches!(summary.state.parse(), Ok(S::PreCommit2 | S::Committing1)) && !has_replica(summary.number);
        if lacks {
            put_into(env, watch, summary.number, S::PreCommit1).await?;
        }
    }
    Ok(())
}

/// Not every state that the scheduler would take.
fn ways_on(failed: S) -> &'static [S] {
    match failed {
        S::AddPieceFailed => &[S::Packing],
        S::SealPreCommit1Failed => &[S::PreCommit1],
        S::SealPreCommit2Failed => &[S::PreCommit1, S::PreCommit2],
        S::PreCommitFailed => &[S::WaitSeed],
        S::ComputeProofFailed => &[S::Committing1, S::PreCommit1],
        S::CommitFailed => &[S::Committing2],
        S::FinalizeFailed => &[S::FinalizeSector],
        S::SnapDealsAddPieceFailed => &[S::SnapDealsAddPiece],
        S::ReplicaUpdateFailed => &[S::UpdateReplica],
        S::FinalizeReplicaUpdateFailed => &[S::FinalizeReplicaUpdate, S::UpdateReplica],
        _ => &[],
    }
}

/// To any path that stores, the one that has them included; also to one that is away or full, which is refused.
async fn move_files(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let resting = |_: &v1::SectorSummary, state| matches!(state, S::Proving | S::Available);
    let Some((sector, _)) = pick(view, rng, resting) else { return Ok(()) };
    let stores = view.stores.iter().filter_map(|fact| fact.store.as_ref()).filter(|store| store.can_store);
    let stores: Vec<String> = stores.map(|store| store.store.clone()).collect();
    if stores.is_empty() {
        return Ok(());
    }
    let store = rng.pick(&stores).clone();
    watch.injected("operator moves files");
    watch.note(format!("operator moves {sector} to {store}"));
    answer(env, scheduler(env)?.move_storage(v1::MoveStorageRequest { sector, store })).await.map(drop)
}

async fn regen_key(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let updated = |s: &v1::SectorSummary, state| s.updated && state == S::Proving;
    let Some((number, _)) = pick(view, rng, updated) else { return Ok(()) };
    watch.injected("operator regenerates a key");
    watch.note(format!("operator regenerates the key of {number}"));
    answer(env, scheduler(env)?.regen_sector_key(v1::RegenSectorKeyRequest { number })).await.map(drop)
}
