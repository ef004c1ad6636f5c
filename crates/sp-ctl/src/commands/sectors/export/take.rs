//! `sectors export N.. --out DIR`: everything is planned first, then sector after sector is brought and shown.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sp_proto::v1::ListStorageRequest;
use sp_sectors::{Output, Store};
use tokio::signal::ctrl_c;

use super::bring::{Bringing, Brought};
use super::place::{self, ATTEMPT, Place};
use super::plan::{self, Plan, Wanted};
use super::report::{Row, summary};
use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;
use crate::transfer::bytes_bar;

/// A write that was under way when we were stopped may still make a file in a directory that is being removed.
const CLEAR_TRIES: u32 = 5;

pub(super) async fn all(
    context: &Context,
    scheduler: &mut Scheduler,
    numbers: &[u64],
    dir: &Path,
    unsealed: bool,
) -> Result<(), CommandError> {
    let dir = &std::path::absolute(dir).with_context(|| format!("{} is no path", dir.display()))?;
    let there = place::look(dir)?;
    if let Some(store) = &there {
        is_nobodys(scheduler, dir, store).await?;
    }
    let mut plans = Vec::new();
    for number in numbers.iter().collect::<BTreeSet<_>>() {
        plans.push(plan::plan(scheduler, *number, unsealed).await?);
    }
    place::check_space(dir, there.as_ref(), &plans)?;
    let place = Arc::new(Place::open(dir)?);
    let rows = tokio::select! {
        rows = each(context, scheduler, &place, plans) => rows,
        _ = ctrl_c() => Err(stopped()),
    };
    clear(&place).await?;
    let rows = rows?;
    context.show(&rows, |_| summary(&rows, dir, place.store.id()))?;
    match rows.iter().filter(|row| !row.is_good()).count() {
        0 => Ok(()),
        failed => Err(CommandError::new(Exit::Failed, format!("{failed} sectors were not exported"))
            .hint("run it again when that is mended; what is exported already stays so")),
    }
}

/// Our own cluster would not learn what we put there, and call it wrong.
async fn is_nobodys(scheduler: &mut Scheduler, dir: &Path, there: &Store) -> Result<(), CommandError> {
    let stores = scheduler.list_storage(request(ListStorageRequest {})).await?.into_inner().stores;
    let is_it = |store: &str| store == there.id().as_str();
    match stores.iter().filter_map(|fact| fact.store.as_ref()).any(|attached| is_it(&attached.store)) {
        true => Err(place::is_attached(dir, there.id())),
        false => Ok(()),
    }
}

/// What becomes of one sector says nothing about the others.
async fn each(
    context: &Context,
    scheduler: &mut Scheduler,
    place: &Arc<Place>,
    plans: Vec<Plan>,
) -> Result<Vec<Row>, CommandError> {
    let mut rows = Vec::new();
    for plan in plans {
        let number = plan.sector.number;
        let row = match one(scheduler, place, plan).await {
            Ok(row) => row,
            Err(failure) => {
                clear(place).await?;
                let row = Row::failed(number, &failure);
                output::note(&row.line());
                if let Some(advice) = failure.advice() {
                    output::note(&format!("hint: {advice}"));
                }
                rows.push(row);
                continue;
            }
        };
        if !context.json() {
            output::note(&row.line());
        }
        rows.push(row);
    }
    Ok(rows)
}

async fn one(scheduler: &mut Scheduler, place: &Arc<Place>, plan: Plan) -> Result<Row, CommandError> {
    let Plan { sector, record, wanted } = plan;
    let work = place.store.work(ATTEMPT).map_err(anyhow::Error::new)?;
    let bar = bytes_bar(&format!("sector {}", sector.number), wanted.iter().map(|wanted| wanted.size_bytes).sum());
    let mut files = Vec::new();
    for wanted in wanted {
        let Wanted { kind, root, size_bytes, .. } = wanted;
        if place::has(&place.store, sector, kind, root)? {
            bar.inc(size_bytes);
            files.push(Brought { output: None, kind, root, size_bytes, from: BTreeSet::new() });
            continue;
        }
        match Bringing::new(&work, sector, wanted, &bar).all(scheduler).await {
            Ok(brought) => files.push(brought),
            Err(failure) => {
                bar.abandon();
                return Err(failure);
            }
        }
    }
    bar.finish_and_clear();
    let outputs: Vec<Output> = files.iter().filter_map(|file| file.output.clone()).collect();
    let publishing = place.clone();
    let published = tokio::task::spawn_blocking(move || publishing.publish(&outputs, &record)).await;
    let record = published.map_err(|error| CommandError::failed(error.to_string()))??;
    clear(place).await?;
    Ok(Row::written(sector.number, &files, &record))
}

async fn clear(place: &Arc<Place>) -> Result<(), CommandError> {
    let mut tries = 0;
    loop {
        let clearing = place.clone();
        let cleared = tokio::task::spawn_blocking(move || clearing.clear()).await;
        let cleared = cleared.map_err(|error| CommandError::failed(error.to_string()))?;
        tries += 1;
        if cleared.is_ok() || tries >= CLEAR_TRIES {
            return cleared;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn stopped() -> CommandError {
    output::note("stopped; the sectors that were whole stay, and the same command goes on with the others");
    CommandError::silent(130)
}
