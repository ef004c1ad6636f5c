//! What an operator does to a sector as a whole: updates it, drops that, removes it, tries again, forces a state.

use sp_net::Env;
use sp_proto::v1;
use sp_types::SectorState as S;
use tonic::Status;

use crate::operator::{View, answer, scheduler};
use crate::piece;
use crate::rng::Rng;
use crate::watch::Watch;

/// He removes no more sectors than this; the others have to come to their end.
const REMOVED_MAX: usize = 2;

/// Does one thing, or none.
pub(crate) async fn follow(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    match rng.range(0, 100) {
        0..45 => snap(env, view, watch, rng).await,
        45..55 => abort_upgrade(env, view, watch, rng).await,
        55..63 => remove(env, view, watch, rng).await,
        63..73 => retry(env, view, watch, rng).await,
        73..88 => force(env, view, watch, rng).await,
        _ => regen_key(env, view, watch, rng).await,
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
    let is_gone =
        |s: &v1::SectorStatusReply| s.summary.as_ref().and_then(|s| s.state.parse().ok()).is_some_and(S::is_gone);
    if view.sectors.iter().filter(|s| is_gone(s)).count() >= REMOVED_MAX {
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

/// What failed is put where it can go on: the phase that failed, or an earlier one whose inputs are there.
async fn force(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let failed = |_: &v1::SectorSummary, state: S| !ways_on(state).is_empty();
    let Some((number, state)) = pick(view, rng, failed) else { return Ok(()) };
    let to = *rng.pick(ways_on(state));
    watch.injected("operator forces a state");
    watch.note(format!("operator forces {number} from {state} to {to}"));
    let request = v1::UpdateSectorStateRequest { number, state: to.to_string() };
    answer(env, scheduler(env)?.update_sector_state(request)).await.map(drop)
}

/// Not every state that the scheduler would take: an operator looks at what is there first.
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

async fn regen_key(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let updated = |s: &v1::SectorSummary, state| s.updated && state == S::Proving;
    let Some((number, _)) = pick(view, rng, updated) else { return Ok(()) };
    watch.injected("operator regenerates a key");
    watch.note(format!("operator regenerates the key of {number}"));
    answer(env, scheduler(env)?.regen_sector_key(v1::RegenSectorKeyRequest { number })).await.map(drop)
}
