//! Step 4: window PoSt workers die and return; the deadline is proven each time.

use std::collections::BTreeSet;

use serde_json::Value;

use super::prove::window_post;
use super::start::{WINDOW_WORKERS, registered};
use crate::demo::cluster::Cluster;
use crate::demo::commands::Commands;
use crate::demo::error::{DemoError, Result};

pub(super) async fn run(cluster: &mut Cluster, commands: &Commands<'_>, deadline: u64) -> Result<()> {
    let [first, second] = WINDOW_WORKERS;
    let mut dead = vec![kill(cluster, commands, first).await?];
    let proven = window_post(commands, deadline).await?;
    expect(&proven.workers, |name| name == second, "the worker that is left")?;

    dead.push(kill(cluster, commands, second).await?);
    let proven = window_post(commands, deadline).await?;
    let builtin = builtin_workers(commands).await?;
    expect(&proven.workers, |name| builtin.contains(name), "the built-in worker of the scheduler's host")?;

    for spec in dead {
        commands.stage.line(&format!("starting {} again", spec.name));
        cluster.start(spec).await?;
    }
    registered(cluster, commands.stage, &WINDOW_WORKERS).await?;
    let proven = window_post(commands, deadline).await?;
    expect(&proven.workers, |name| WINDOW_WORKERS.contains(&name), "the workers that have returned")
}

async fn kill(cluster: &mut Cluster, commands: &Commands<'_>, name: &str) -> Result<crate::demo::launch::Spec> {
    let pid = cluster.pid(name).unwrap_or_default();
    commands.stage.command(&format!("kill -9 {pid}   # {name}"));
    cluster.kill(name).await
}

/// Names of the built-in workers.
async fn builtin_workers(commands: &Commands<'_>) -> Result<BTreeSet<String>> {
    let (_, workers) = commands.json(&["workers"]).await?;
    let builtin = workers.as_array().into_iter().flatten().filter(|worker| worker["builtin"] == Value::Bool(true));
    Ok(builtin.filter_map(|worker| worker["name"].as_str()).map(str::to_owned).collect())
}

fn expect(workers: &BTreeSet<String>, allowed: impl Fn(&str) -> bool, who: &str) -> Result<()> {
    if !workers.is_empty() && workers.iter().all(|name| allowed(name)) {
        return Ok(());
    }
    Err(DemoError::new(format!("{workers:?} proved, where {who} should have")))
}
