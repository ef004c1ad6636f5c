//! What an operator wants of scrubs: begin, go on, stop, tell. And what the last run of the worker had under way.

use std::sync::Arc;
use std::time::Duration;

use sp_proto::v1::{self, ScrubAction, ScrubState};
use sp_types::ErrorCode;
use tokio_util::sync::CancellationToken;

use super::run;
use super::state::{State, StoreScrub};
use crate::failure::Failure;
use crate::node::Node;
use crate::pace::{Bounds, Pace};

/// Results in one report: with the longest reasons far below the limit on messages.
const RESULTS_TOLD: usize = 2000;

/// How long a task that was told to stop may take to be gone.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What is wanted of each store.
struct Wanted {
    action: ScrubAction,
    bytes_per_s: u64,
    deep: bool,
    anew: bool,
    commitments: Vec<v1::SectorCommitments>,
}

/// Does what is asked, and tells how things are then.
pub(crate) async fn obey(node: &Arc<Node>, order: v1::ScrubStores) -> v1::ScrubReport {
    let request = order.request;
    match carry_out(node, order).await {
        Ok(scrubs) => v1::ScrubReport { request, scrubs, failed: None },
        Err(failure) => v1::ScrubReport { request, scrubs: vec![], failed: Some(failure.to_wire()) },
    }
}

/// Goes on with what was under way when the last run of the worker ended.
pub(crate) fn take_up(node: &Arc<Node>) {
    for scrub in node.scrubs.all() {
        let running = scrub.state().scrub.state == ScrubState::Running as i32;
        if running {
            let mut state = scrub.state();
            let bytes_per_s = state.scrub.bytes_per_s;
            state.pace = pace(node, bytes_per_s);
            launch(node, &scrub, &mut state);
        }
    }
}

/// A store is to be detached: its files are not to be open any more. What has been found is kept.
pub(crate) async fn let_go(node: &Node, store: &str) {
    if let Some(scrub) = node.scrubs.known(store) {
        stop(node, &scrub).await;
    }
}

async fn carry_out(node: &Arc<Node>, order: v1::ScrubStores) -> Result<Vec<v1::StoreScrub>, Failure> {
    let v1::ScrubStores { request: _, stores, action, bytes_per_s, deep, anew, results, commitments } = order;
    let action = match ScrubAction::try_from(action) {
        Ok(ScrubAction::Unspecified) | Err(_) => {
            let message = "the action is not known to this build of the worker; upgrade it";
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
        Ok(action) => action,
    };
    let wanted = Wanted { action, bytes_per_s, deep, anew, commitments };
    let mut scrubs = Vec::new();
    let mut left = if results { RESULTS_TOLD } else { 0 };
    for (store, root) in node.stores.chosen(&stores)? {
        let scrub = node.scrubs.of(&store);
        match wanted.action {
            ScrubAction::Start => start(node, &scrub, &wanted).await?,
            ScrubAction::Stop => stop(node, &scrub).await,
            ScrubAction::Unspecified | ScrubAction::Status => {}
        }
        let told = scrub.state().to_wire(left);
        left -= told.results.len();
        scrubs.push(v1::StoreScrub { local_path: root.display().to_string(), ..told });
    }
    Ok(scrubs)
}

async fn start(node: &Arc<Node>, scrub: &Arc<StoreScrub>, wanted: &Wanted) -> Result<(), Failure> {
    let stopping = scrub.state().stop.is_cancelled();
    if stopping {
        has_ended(node, scrub).await;
    }
    {
        let mut state = scrub.state();
        state.pace = pace(node, wanted.bytes_per_s);
        (state.scrub.bytes_per_s, state.scrub.deep) = (wanted.bytes_per_s, wanted.deep);
        if !wanted.commitments.is_empty() {
            state.set_commitments(wanted.commitments.clone());
        }
        if state.at_work {
            drop(state);
            scrub.changed.notify_waiters();
            return Ok(());
        }
        if state.reading.upgrade().is_some() {
            let message = format!(
                "a read of store {} has not come back since its scrub was stopped; is its disk or its server there?",
                scrub.store
            );
            return Err(Failure::new(ErrorCode::Unavailable, message));
        }
        if wanted.anew || state.scrub.state != ScrubState::Stopped as i32 {
            state.after = None;
            state.scrub.started_unix_ms = node.env.clock.unix_ms();
        }
        (state.scrub.state, state.scrub.ended_unix_ms) = (ScrubState::Running as i32, 0);
        state.scrub.detail.clear();
        launch(node, scrub, &mut state);
    }
    super::record::save(node, scrub).await;
    Ok(())
}

fn launch(node: &Arc<Node>, scrub: &Arc<StoreScrub>, state: &mut State) {
    (state.stop, state.at_work) = (CancellationToken::new(), true);
    let running = run::run(node.clone(), scrub.clone(), state.stop.clone());
    node.env.tasks.spawn("scrub", Box::pin(running));
}

async fn stop(node: &Node, scrub: &StoreScrub) {
    if scrub.state().at_work {
        scrub.state().stop.cancel();
        has_ended(node, scrub).await;
    }
}

/// Waits for a task that was told to stop, and for its last read, but never for long: the read may hang.
async fn has_ended(node: &Node, scrub: &StoreScrub) {
    let ended = async {
        loop {
            let (at_work, reading) = {
                let state = scrub.state();
                (state.at_work, state.reading.upgrade().is_some())
            };
            if !at_work && !reading {
                return;
            }
            node.env.clock.sleep(LOOK).await;
        }
    };
    // Later than that: whoever starts it again is told.
    let _ = node.env.timeout(STOPS_WITHIN, ended).await;
}

fn pace(node: &Node, bytes_per_s: u64) -> Option<Pace> {
    (bytes_per_s > 0).then(|| Pace::new(&node.env, Bounds { bytes_per_s, bulk_at_once: 1 }))
}
