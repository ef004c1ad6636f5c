//! What an operator does without need: aborts, pledges, releases and unseals, now and then.

use sp_net::Env;
use sp_proto::v1;
use tonic::Status;

use crate::operator::{View, answer, pledge, scheduler};
use crate::rng::Rng;
use crate::watch::Watch;

/// Parts of a hundred looks after which he does something.
const ACTS_PERCENT: u64 = 25;
/// He wants no more sectors than this.
const SECTORS_MAX: usize = 6;

/// Does one thing, or none.
pub(crate) async fn follow(env: &Env, view: &View, watch: &Watch) -> Result<(), Status> {
    let mut seed = [0; 8];
    env.entropy.fill(&mut seed);
    let mut rng = Rng::new(u64::from_le_bytes(seed), "whims", 0);
    if !rng.percent(ACTS_PERCENT) {
        return Ok(());
    }
    match rng.range(0, 100) {
        0..45 => abort_attempt(env, view, watch, &mut rng).await,
        45..55 => abort_task(env, view, watch, &mut rng).await,
        55..70 if view.sectors.len() < SECTORS_MAX => {
            watch.injected("operator pledges");
            pledge(env, watch).await
        }
        70..85 => release(env, view, watch).await,
        85..100 => unseal(env, view, watch).await,
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

/// UNS is over by that; any other task takes its sector along, so it is done to one sector at most, a CC one.
async fn abort_task(env: &Env, view: &View, watch: &Watch, rng: &mut Rng) -> Result<(), Status> {
    if view.jobs.is_empty() {
        return Ok(());
    }
    let job = rng.pick(&view.jobs);
    if job.task() != v1::TaskKind::Unseal {
        let summaries = || view.sectors.iter().filter_map(|s| s.summary.as_ref());
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
fn with_data(view: &View) -> Option<u64> {
    let summaries = view.sectors.iter().filter_map(|s| s.summary.as_ref());
    summaries.filter(|s| s.state == "Proving" && s.data_bytes > 0).map(|s| s.number).next()
}

async fn release(env: &Env, view: &View, watch: &Watch) -> Result<(), Status> {
    let Some(sector) = with_data(view) else { return Ok(()) };
    watch.injected("operator releases a copy");
    watch.note(format!("operator releases the unsealed copy of {sector}"));
    answer(env, scheduler(env)?.release_unsealed(v1::ReleaseUnsealedRequest { number: sector })).await.map(drop)
}

async fn unseal(env: &Env, view: &View, watch: &Watch) -> Result<(), Status> {
    let Some(sector) = with_data(view) else { return Ok(()) };
    watch.injected("operator unseals");
    watch.note(format!("operator unseals {sector}"));
    answer(env, scheduler(env)?.unseal_sector(v1::UnsealSectorRequest { number: sector })).await.map(drop)
}
