//! The operator: makes sectors through the scheduler's API, brings the data of one, does this and that, and looks, once
//! a second, at everything there is to see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sp_net::{Env, client, sized};
use sp_proto::v1;
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::scheduler_client::SchedulerClient;
use sp_types::SectorState;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::moves;
use crate::piece;
use crate::process::{INDEX_URL, SCHEDULER_URL};
use crate::stage::Stage;
use crate::watch::Watch;
use crate::whims;

/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What scheduler and index said, all of it at about the same time.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Every sector with its log.
    pub sectors: Vec<v1::SectorStatusReply>,
    /// What proves the updates that count, by sector.
    pub updates: BTreeMap<u64, v1::UpdateProofReply>,
    /// Tasks that wait or run.
    pub jobs: Vec<v1::Job>,
    /// Stores, as the index sees them.
    pub stores: Vec<v1::StoreFact>,
    /// Replicas, as the index sees them.
    pub replicas: Vec<v1::Replica>,
}

/// The newest view, with its number.
#[derive(Clone, Default)]
pub struct Window(Arc<Mutex<(u64, View)>>);

impl Window {
    /// The newest view and how many there have been.
    pub fn look(&self) -> (u64, View) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, view: View) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = (shown.0 + 1, view);
    }
}

/// Works for ever.
pub async fn run(env: Env, sectors: usize, window: Window, stage: Stage) {
    let mut eyes = None;
    loop {
        match look(&env, &mut eyes).await {
            Ok(view) => {
                stage.watch.listed(&numbers(&view), &gone(&view));
                let mut done = act(&env, &view, sectors, &stage.watch).await;
                if done.is_ok() && stage.mood.operators() {
                    done = whims::follow(&env, &view, &stage.watch).await;
                }
                window.show(view);
                if let Err(status) = done {
                    tracing::info!(%status, "not done; looking again");
                }
            }
            Err(status) => {
                tracing::debug!(%status, "nothing to see");
                // Its connections may be dead without knowing it.
                eyes = None;
            }
        }
        env.clock.sleep(LOOK_EVERY).await;
    }
}

/// Makes the sectors that are missing, the first one with data, and brings the data. One at a time: a request whose
/// answer is lost may have been heard.
async fn act(env: &Env, view: &View, sectors: usize, watch: &Watch) -> Result<(), Status> {
    let summaries: Vec<_> = view.sectors.iter().filter_map(|s| s.summary.as_ref()).collect();
    if !summaries.iter().any(|s| s.data_bytes > 0) {
        watch.promised(&[piece::add(env).await?]);
        return Ok(());
    }
    if summaries.len() < sectors {
        pledge(env, watch).await?;
    }
    for summary in summaries.iter().filter(|s| s.data_bytes > 0 && s.state == "Packing") {
        piece::bring(env, summary.number, &piece::data()).await?;
    }
    for summary in summaries.iter().filter(|s| s.state == "SnapDealsAddPiece") {
        piece::bring(env, summary.number, &piece::update()).await?;
    }
    moves::mend_forced(env, view, watch).await?;
    // He wants the update, so what has stopped on the way to it goes on.
    for summary in summaries.iter().filter(|s| s.stopped && s.proven) {
        moves::again(env, watch, summary.number).await?;
    }
    Ok(())
}

pub(crate) async fn pledge(env: &Env, watch: &Watch) -> Result<(), Status> {
    let made =
        answer(env, scheduler(env)?.pledge_sectors(v1::PledgeSectorsRequest { count: 1, priority: None })).await?;
    watch.promised(&made.sectors);
    Ok(())
}

fn numbers(view: &View) -> Vec<u64> {
    view.sectors.iter().filter_map(|s| s.summary.as_ref()).map(|s| s.number).collect()
}

/// Sectors that are removed, or going to be.
pub(crate) fn gone(view: &View) -> Vec<u64> {
    let summaries = view.sectors.iter().filter_map(|s| s.summary.as_ref());
    let gone = summaries.filter(|s| s.state.parse().is_ok_and(SectorState::is_gone));
    gone.map(|s| s.number).collect()
}

/// Connections that are kept while they are good.
type Eyes = (SchedulerClient<Channel>, IndexClient<Channel>);

async fn look(env: &Env, eyes: &mut Option<Eyes>) -> Result<View, Status> {
    let (scheduler, index) = match eyes {
        Some(eyes) => eyes,
        None => eyes.insert((scheduler(env)?, sized!(IndexClient::new(channel(env, INDEX_URL)?)))),
    };
    let mut view = View::default();
    for sector in answer(env, scheduler.list_sectors(v1::ListSectorsRequest {})).await?.sectors {
        let number = sector.number;
        let request = v1::SectorStatusRequest { number, log: true };
        let status = answer(env, scheduler.sector_status(request)).await?;
        if status.summary.as_ref().is_some_and(|summary| summary.updated) {
            let proof = answer(env, scheduler.update_proof(v1::UpdateProofRequest { number })).await?;
            view.updates.insert(number, proof);
        }
        view.sectors.push(status);
        let request = v1::FindSectorRequest { miner: crate::process::MINER, sector: number };
        view.replicas.extend(answer(env, index.find_sector(request)).await?.replicas);
    }
    view.jobs = answer(env, scheduler.list_jobs(v1::ListJobsRequest {})).await?.jobs;
    view.stores = answer(env, index.list_stores(v1::ListStoresRequest {})).await?.stores;
    Ok(view)
}

pub(crate) fn scheduler(env: &Env) -> Result<SchedulerClient<Channel>, Status> {
    Ok(sized!(SchedulerClient::new(channel(env, SCHEDULER_URL)?)))
}

pub(crate) fn channel(env: &Env, url: &str) -> Result<Channel, Status> {
    client::channel(env, url).map_err(|e| Status::internal(e.to_string()))
}

pub(crate) async fn answer<T>(env: &Env, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    match env.timeout(ANSWER_WITHIN, call).await {
        Ok(answered) => Ok(answered?.into_inner()),
        Err(elapsed) => Err(Status::deadline_exceeded(elapsed.to_string())),
    }
}
