//! What an operator does without need: aborts, pledges, releases and unseals, now and then. Updates, removals and force
//! are in a file of their own.

use sp_net::Env;
use sp_proto::v1;
use tonic::Status;

use crate::moves;
use crate::operator::{View, answer, pledge, scheduler};
use crate::rng::Rng;
use crate::watch::Watch;

/// Parts of a hundred looks after which he does something.
const ACTS_PERCENT: u64 = 30;
/// The same after which he looks after what has failed.
const SETS_RIGHT_PERCENT: u64 = 15;
/// He wants no more sectors than this.
const SECTORS_MAX: usize = 6;

/// Does one thing, or none.
pub(crate) async fn follow(env: &Env, view: &View, watch: &Watch) -> Result<(), Status> {
    let mut seed = [0; 8];
    env.entropy.fill(&mut seed);
    let mut rng = Rng::new(u64::from_le_bytes(seed), "whims", 0);
    if moves::has_failed(view) && rng.percent(SETS_RIGHT_PERCENT) {
        return moves::set_right(env, view, watch, &mut rng).await;
    }
    if !rng.percent(ACTS_PERCENT) {
        return Ok(());
    }
    match rng.range(0, 100) {
        0..28 => abort_attempt(env, view, watch, &mut rng).await,
        28..34 => abort_task(env, view, watch, &mut rng).await,
        34..41 if view.sectors.len() < SECTORS_MAX => {
            watch.injected("operator pledges");
            pledge(env, watch).await
        }
        41..50 => release(env, view, watch, &mut rng).await,
        50..61 => unseal(env, view, watch, &mut rng).await,
        61..100 => moves::follow(env, view, watch, &mut rng).await,
        _ => Ok(()),
    }
}

async fn abort(env: &Env, id: String) -> Result<(), Status> {
    let request = v1::AbortJobRequest { id, reason: "a whim".into() };
    answer(env, scheduler(env)?.abort_job(request)).await.map(drop)
}

/// The task is done again, elsewhere if possible.
async fn abort_attempt(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let running: Vec<_> = view.jobs.iter().filter(|job| job.attempt > 0).collect();
    if running.is_empty() {
        return Ok(());
    }
    let job = rng.pick(&running);
    watch.injected("operator aborts an attempt");
    watch.note(format!("operator aborts {}.{}", job.task_id, job.attempt));
    abort(env, format!("{}.{}", job.task_id, job.attempt)).await
}

/// UNS and GSK are over by that; any other task stops its sector. An update is brought on again afterwards; sealing is
/// not, so that is done to one sector at most, a CC one.
async fn abort_task(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    if view.jobs.is_empty() {
        return Ok(());
    }
    let job = rng.pick(&view.jobs);
    let summaries = || view.sectors.iter().filter_map(|s| s.summary.as_ref());
    // A proven sector goes on being proven, whatever its task is.
    if !summaries().any(|s| s.number == job.sector && s.proven) {
        let is_cc = summaries().any(|s| s.number == job.sector && s.data_bytes == 0);
        if !is_cc || summaries().any(|s| watch.was_given_up(s.number)) {
            return Ok(());
        }
        watch.given_up(job.sector);
    }
    watch.injected("operator aborts a task");
    watch.note(format!("operator aborts task {} of sector {}", job.task_id, job.sector));
    abort(env, job.task_id.to_string()).await
}

/// A sector with data that is Proving.
fn with_data(view: &View, rng: &mut Rng) -> Option<u64> {
    let summaries = view.sectors.iter().filter_map(|s| s.summary.as_ref());
    let found: Vec<u64> = summaries.filter(|s| s.state == "Proving" && s.data_bytes > 0).map(|s| s.number).collect();
    (!found.is_empty()).then(|| *rng.pick(&found))
}

async fn release(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let Some(sector) = with_data(view, rng) else { return Ok(()) };
    watch.injected("operator releases a copy");
    watch.note(format!("operator releases the unsealed copy of {sector}"));
    answer(env, scheduler(env)?.release_unsealed(v1::ReleaseUnsealedRequest { number: sector })).await.map(drop)
}

async fn unseal(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    let Some(sector) = with_data(view, rng) else { return Ok(()) };
    watch.injected("operator unseals");
    watch.note(format!("operator unseals {sector}"));
    answer(env, scheduler(env)?.unseal_sector(v1::UnsealSectorRequest { number: sector })).await.map(drop)
}
