//! `workers`: every worker, and what operators decide about one. Its halves are `sealing workers` and `proving workers`.

mod edit;
mod resources;
mod show;
mod wait;

pub(crate) use edit::change;

use clap::Subcommand;
use sp_proto::v1::edit_worker_request::Edit;
use sp_proto::v1::{ForgetWorker, ListWorkersReply, ListWorkersRequest, StopWorker, WorkerStatus};

use crate::context::{Context, request};
use crate::error::{CommandError, Exit};
use crate::layout::hosts;
use crate::layout::workers::{self, WorkerRow};

/// List workers, what they do and how full they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Workers {}

/// List workers, or decide about one (by id, the start of it, or name).
#[derive(Debug, clap::Args)]
pub(crate) struct WorkersNoun {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show one worker: session, tasks, windows, paths, limits.
    Show(show::Show),
    /// Show what each kind of task is accounted with: the resource table as it applies.
    Resources(resources::Resources),
    /// Give a worker nothing new; what runs there goes on.
    Cordon(edit::Named),
    /// Let a cordoned or drained worker take work again.
    Uncordon(edit::Named),
    /// Cordon a worker so that it becomes empty.
    Drain(edit::Drain),
    /// Wait until a worker is empty.
    Wait(wait::Wait),
    /// Have an empty worker end; its paths leave the index, their files stay on its disks for its next run.
    Stop(edit::Named),
    /// Give up a worker that is away and will not come back.
    Forget(edit::Named),
}

/// Which workers to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    All,
    Sealing,
    Proving,
}

impl WorkersNoun {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self.verb {
            None => list(context, Half::All).await,
            Some(Verb::Show(verb)) => verb.run(context).await,
            Some(Verb::Resources(verb)) => verb.run(context).await,
            Some(Verb::Cordon(named)) => named.edit(context, Edit::Cordoned(true), "cordoned").await,
            Some(Verb::Uncordon(named)) => named.edit(context, Edit::Cordoned(false), "takes work again").await,
            Some(Verb::Drain(verb)) => verb.run(context).await,
            Some(Verb::Wait(verb)) => verb.run(context).await,
            Some(Verb::Stop(named)) => named.edit(context, Edit::Stop(StopWorker {}), "stops").await,
            Some(Verb::Forget(named)) => named.edit(context, Edit::Forget(ForgetWorker {}), "forgotten").await,
        }
    }
}

/// The worker with this id, this start of one, or this name; none while the scheduler does not know how it is now.
async fn find_now(context: &Context, text: &str) -> Result<Option<WorkerStatus>, CommandError> {
    let reply = context.scheduler().await?.list_workers(request(ListWorkersRequest {})).await?.into_inner();
    let fresh = reply.stale_ms == 0;
    let worker = pick(reply, text)?;
    Ok(fresh.then_some(worker))
}

/// The worker with this id, this start of one, or this name.
async fn find(context: &Context, text: &str) -> Result<WorkerStatus, CommandError> {
    let reply = context.scheduler().await?.list_workers(request(ListWorkersRequest {})).await?.into_inner();
    context.note_stale(reply.stale_ms);
    pick(reply, text)
}

fn pick(reply: ListWorkersReply, text: &str) -> Result<WorkerStatus, CommandError> {
    let exact = reply.workers.iter().position(|w| w.worker_id == text || w.name == text);
    let start = || reply.workers.iter().position(|w| w.worker_id.starts_with(text));
    let missing =
        || CommandError::new(Exit::NotFound, format!("there is no worker `{text}`")).hint("see `sp-ctl workers`");
    let at = exact.or_else(start).ok_or_else(missing)?;
    Ok(reply.workers[at].clone())
}

/// Lists one half of the workers, or all. One without tasks is in both halves, as in Lotus.
pub(crate) async fn list(context: &Context, half: Half) -> Result<(), CommandError> {
    let reply = context.scheduler().await?.list_workers(request(ListWorkersRequest {})).await?.into_inner();
    context.note_stale(reply.stale_ms);
    let mut rows: Vec<WorkerRow> = reply.workers.into_iter().map(WorkerRow::from).collect();
    // Before the halves: a host's sum is of all its workers.
    hosts::sum_up(&mut rows);
    rows.retain(|row| match half {
        Half::All => true,
        Half::Sealing => row.may_seal(),
        Half::Proving => row.may_prove(),
    });
    rows.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
    context.show(&rows, |paint| workers::text(&rows, paint))
}
