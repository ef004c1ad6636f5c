//! How work is placed: `[scheduling]` and `[resources]` of the configuration.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::Args;
use scheduler::Placement;
use serde::Deserialize;
use sp_net::config::Duration;
use sp_types::ResourceTable;

/// `[scheduling]`.
#[derive(Args, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SchedulingKeys {
    /// Who gets a task of several workers: utilization, spread, experiment-spread-qcount, experiment-spread-tasks,
    /// experiment-spread-tasks-qcount or experiment-random [default: utilization]
    #[arg(long, env = "SP_SCHEDULER_ASSIGNER")]
    assigner: Option<String>,
    /// Seed of experiment-random [default: 0]
    #[arg(long, env = "SP_SCHEDULER_ASSIGNER_SEED")]
    assigner_seed: Option<u64>,
    /// Scheduling windows of each worker: how far ahead work is bound to it [default: 2]
    #[arg(long, env = "SP_SCHEDULER_WINDOWS")]
    windows: Option<usize>,
    /// PC1 waits while so many sectors wait for PC2 [default: four for each worker that takes PC2, and two]
    #[arg(long, env = "SP_SCHEDULER_PC2_BACKLOG")]
    pc2_backlog: Option<usize>,
    /// A group of PC1 waits so long for more sectors once its first one could start, on workers that interleave several
    /// [default: 1m]
    #[arg(long, env = "SP_SCHEDULER_GROUP_FILL")]
    group_fill: Option<Duration>,
    /// A task is accounted with the memory that its like has taken on the host even where that is more than the
    /// resource table says; without this, only where it is less [default: false]
    #[arg(long, env = "SP_SCHEDULER_MEASURED_ABOVE_TABLE", num_args = 0..=1, default_missing_value = "true")]
    measured_above_table: Option<bool>,
    /// `hardware`, or `disabled`: the built-in worker's resources do not count [default: hardware]
    #[arg(long, env = "SP_SCHEDULER_RESOURCE_FILTERING")]
    resource_filtering: Option<String>,
}

/// `[resources]`: rows of the resource table for the whole cluster, named as the workers' environment variables are:
/// `PC1_32G_MAX_CONCURRENT = 4`. A worker's own variables win over them.
#[derive(Deserialize, Default)]
#[serde(transparent)]
pub(crate) struct ResourceKeys(BTreeMap<String, toml::Value>);

impl SchedulingKeys {
    /// Flags and environment, then Lotus's variables, then the file, then the defaults.
    pub(crate) fn resolve(self, file: Self, resources: ResourceKeys) -> anyhow::Result<Placement> {
        let lotus = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let assigner = self.assigner.or_else(|| lotus("LOTUS_STORAGE_ASSIGNER")).or(file.assigner);
        let filtering =
            self.resource_filtering.or_else(|| lotus("LOTUS_STORAGE_RESOURCEFILTERING")).or(file.resource_filtering);
        let windows = self.windows.or(file.windows).unwrap_or(2);
        if !(1..=16).contains(&windows) {
            bail!("--windows must be 1 to 16, not {windows}");
        }
        Ok(Placement {
            assigner: assigner.unwrap_or_default().parse().context("--assigner")?,
            assigner_seed: self.assigner_seed.or(file.assigner_seed).unwrap_or(0),
            windows,
            pc2_backlog: self.pc2_backlog.or(file.pc2_backlog).unwrap_or(0),
            group_fill_ms: self.group_fill.or(file.group_fill).map_or(60_000, |fill| fill.0.as_millis() as u64),
            measured_above_table: self.measured_above_table.or(file.measured_above_table).unwrap_or(false),
            filter_builtin_resources: match filtering.as_deref() {
                None | Some("hardware") => true,
                Some("disabled") => false,
                Some(other) => bail!("--resource-filtering `{other}` is neither hardware nor disabled"),
            },
            resources: resources.table()?,
        })
    }
}

impl ResourceKeys {
    fn table(self) -> anyhow::Result<ResourceTable> {
        for name in self.0.keys() {
            if !ResourceTable::is_override(name) {
                bail!("[resources] {name}: not a name such as PC1_32G_MAX_CONCURRENT or C2_GPU_UTILIZATION");
            }
        }
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        let named = self.0.into_iter().map(|(name, value)| (name, text(value)));
        ResourceTable::with_env(named).context("[resources]")
    }
}

#[cfg(test)]
mod tests {
    use sp_sched_core::Assigner;
    use sp_types::{SectorSize, TaskKind};

    use super::*;

    fn resolve(scheduling: &str, resources: &str) -> anyhow::Result<Placement> {
        let file: SchedulingKeys = toml::from_str(scheduling)?;
        SchedulingKeys::default().resolve(file, toml::from_str(resources)?)
    }

    #[test]
    fn the_cluster_s_rows_are_named_as_the_workers_variables() {
        let placement = resolve("assigner = 'spread'", "PC1_32G_MAX_CONCURRENT = 4\nC2_GPU_UTILIZATION = 0.5").unwrap();
        assert_eq!((placement.assigner, placement.windows, placement.group_fill_ms), (Assigner::Spread, 2, 60_000));
        assert_eq!(resolve("group-fill = '5m'", "").unwrap().group_fill_ms, 300_000);
        assert_eq!(placement.resources.row(TaskKind::PreCommit1, SectorSize::GiB32).max_concurrent, 4);
        assert_eq!(placement.resources.row(TaskKind::Commit2, SectorSize::KiB2).gpu_utilization, 0.5);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |scheduling, resources| resolve(scheduling, resources).err().map(|e| format!("{e:#}"));
        assert!(refused("assigner = 'fastest'", "").unwrap().contains("unknown assigner `fastest`"));
        assert!(refused("windows = 0", "").unwrap().contains("1 to 16"));
        assert!(refused("resource-filtering = 'soft'", "").unwrap().contains("neither"));
        assert!(refused("", "PC9_MAX_MEMORY = 1").unwrap().contains("PC9_MAX_MEMORY"));
        assert!(refused("", "PC1_MAX_MEMORY = '4GiB'").unwrap().contains("PC1_MAX_MEMORY"));
    }
}
