//! What the scheduler can be told: flags, environment, one TOML file, and Lotus's names besides.

mod sealing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use scheduler::{Assignment, Placement, Recording, SealingOptions};
use serde::Deserialize;
use sp_net::config::{self, Duration};
use sp_types::{ByteSize, SectorSize};

use crate::placement::{ResourceKeys, SchedulingKeys};
use sealing::SealingKeys;

/// Prefix of every environment variable of this service.
const ENV_PREFIX: &str = "SP_SCHEDULER_";

/// Name of the file that marks a directory of development parameters.
const INSECURE_MARKER: &str = "INSECURE-DEVELOPMENT-PARAMETERS";

#[derive(Parser)]
#[command(name = "sp-scheduler", version, about = "Directs the sealing and the proving of a storage provider")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the scheduler
    Run(Box<RunArgs>),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// TOML file; flags and environment win over it
    #[arg(long, env = "SP_SCHEDULER_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

/// Every key, as flag, as environment variable and in the file.
#[derive(Args, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    /// Directory of the state; made if missing
    #[arg(long, env = "SP_SCHEDULER_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address for workers and sp-ctl [default: 127.0.0.1:1788]
    #[arg(long, env = "SP_SCHEDULER_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address of the storage index, http://HOST:PORT
    #[arg(long, env = "SP_SCHEDULER_INDEX")]
    index: Option<String>,
    /// Name of the cluster; workers of another one are refused [default: dev]
    #[arg(long, env = "SP_SCHEDULER_CLUSTER")]
    cluster: Option<String>,
    /// Network that the proofs are for; any but `dev` refuses development parameters [default: dev]
    #[arg(long, env = "SP_SCHEDULER_NETWORK")]
    network: Option<String>,
    /// Id address of the miner [default: t01000]
    #[arg(long, env = "SP_SCHEDULER_MINER")]
    miner: Option<String>,
    /// Sector size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB [default: 2KiB]
    #[arg(long, env = "SP_SCHEDULER_SECTOR_SIZE")]
    sector_size: Option<String>,
    /// Length of an epoch of the local chain [default: 4s]
    #[arg(long, env = "SP_SCHEDULER_EPOCH")]
    epoch: Option<Duration>,
    /// Epochs from a pre-commitment to its seed [default: 10]
    #[arg(long, env = "SP_SCHEDULER_SEED_DELAY_EPOCHS")]
    seed_delay_epochs: Option<u32>,
    /// How sectors are given to deadlines: `network`, as the network does it, or `pack:N`, all to deadline N
    /// [default: network]
    #[arg(long, env = "SP_SCHEDULER_ASSIGNMENT")]
    assignment: Option<String>,
    /// One epoch in so many is won on the local chain, and a winning PoSt is due at once; 0: none is [default: 0]
    #[arg(long, env = "SP_SCHEDULER_WIN_ONE_IN", value_name = "N")]
    win_one_in: Option<u32>,
    /// Directory of the proof parameters [default: FIL_PROOFS_PARAMETER_CACHE, else the development directory]
    #[arg(long, env = "SP_SCHEDULER_PARAMETERS")]
    parameters: Option<PathBuf>,
    /// A worker's lease ends this long after its last renewal [default: 15s]
    #[arg(long, env = "SP_SCHEDULER_LEASE")]
    lease: Option<Duration>,
    /// Workers renew this often [default: 2s]
    #[arg(long, env = "SP_SCHEDULER_HEARTBEAT")]
    heartbeat: Option<Duration>,
    /// The sp-verify binary [default: beside this one]
    #[arg(long, env = "SP_SCHEDULER_VERIFY_BIN")]
    verify_bin: Option<PathBuf>,
    /// The sp-post-worker binary [default: beside this one]
    #[arg(long, env = "SP_SCHEDULER_POST_WORKER_BIN")]
    post_worker_bin: Option<PathBuf>,
    /// The sp-sealing-worker binary [default: beside this one]
    #[arg(long, env = "SP_SCHEDULER_SEALING_WORKER_BIN")]
    sealing_worker_bin: Option<PathBuf>,
    /// Start no built-in sealing worker: every Allow* key is off
    #[arg(long, env = "SP_SCHEDULER_NO_BUILTIN_SEALING", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_builtin_sealing: Option<bool>,
    /// Answer metrics for Prometheus here, at /metrics, for example 127.0.0.1:9788 [default: nowhere]
    #[arg(long, env = "SP_SCHEDULER_METRICS", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Finished attempts that are kept for `sp-ctl sealing history` [default: 10000]
    #[arg(long, env = "SP_SCHEDULER_HISTORY_LIMIT", value_name = "N")]
    history_limit: Option<u64>,
    /// Record every event and what was decided for it into this file, for `sp-ctl sched replay`; the file of the run
    /// before becomes FILE.old [default: none]
    #[arg(long, env = "SP_SCHEDULER_RECORD_EVENTS", value_name = "FILE")]
    record_events: Option<PathBuf>,
    /// Stop recording at this size [default: 1GiB]
    #[arg(long, env = "SP_SCHEDULER_RECORD_LIMIT", value_name = "SIZE")]
    record_limit: Option<String>,
    #[command(flatten)]
    #[serde(rename = "Storage")]
    storage: StorageKeys,
    #[command(flatten)]
    #[serde(rename = "Proving")]
    proving: ProvingKeys,
    #[command(flatten)]
    #[serde(rename = "Sealing")]
    sealing: SealingKeys,
    #[command(flatten)]
    scheduling: SchedulingKeys,
    #[arg(skip)]
    resources: ResourceKeys,
}

macro_rules! lotus_keys {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$help:meta])* $field:ident $key:literal $env:literal $lotus:literal,)+
        $(; $($(#[$about:meta])* $value:ident: $type:ty, $value_key:literal $value_env:literal;)+)?
    }) => {
        $(#[$doc])*
        #[derive(Args, Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        struct $name {
            $($(#[$help])*
            #[arg(long, env = $env, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            #[serde(rename = $key)]
            $field: Option<bool>,)+
            $($($(#[$about])*
            #[arg(long, env = $value_env)]
            #[serde(rename = $value_key)]
            $value: Option<$type>,)+)?
        }

        impl $name {
            /// Flags and environment first, then Lotus's variables, then the file.
            fn over(self, file: Self) -> Result<Self, config::ConfigError> {
                Ok(Self { $($field: match self.$field {
                    None => config::second_flag($env, $lotus)?.or(file.$field),
                    set => set,
                },)+ $($($value: self.$value.or(file.$value),)+)? })
            }
        }
    };
}

lotus_keys! {
    /// `[Storage]`: what the built-in sealing worker does, and who takes finished files to storage paths.
    StorageKeys {
        /// Built-in sealing worker: AP and DC [default: true]
        allow_add_piece "AllowAddPiece" "SP_SCHEDULER_ALLOW_ADD_PIECE" "LOTUS_STORAGE_ALLOWADDPIECE",
        /// Built-in sealing worker: PC1 [default: true]
        allow_pre_commit1 "AllowPreCommit1" "SP_SCHEDULER_ALLOW_PRE_COMMIT1" "LOTUS_STORAGE_ALLOWPRECOMMIT1",
        /// Built-in sealing worker: PC2 [default: true]
        allow_pre_commit2 "AllowPreCommit2" "SP_SCHEDULER_ALLOW_PRE_COMMIT2" "LOTUS_STORAGE_ALLOWPRECOMMIT2",
        /// Built-in sealing worker: C2 [default: true]
        allow_commit "AllowCommit" "SP_SCHEDULER_ALLOW_COMMIT" "LOTUS_STORAGE_ALLOWCOMMIT",
        /// Built-in sealing worker: UNS [default: true]
        allow_unseal "AllowUnseal" "SP_SCHEDULER_ALLOW_UNSEAL" "LOTUS_STORAGE_ALLOWUNSEAL",
        /// Built-in sealing worker: RU [default: true]
        allow_replica_update "AllowReplicaUpdate" "SP_SCHEDULER_ALLOW_REPLICA_UPDATE" "LOTUS_STORAGE_ALLOWREPLICAUPDATE",
        /// Built-in sealing worker: PR2 [default: true]
        allow_prove_replica_update2 "AllowProveReplicaUpdate2" "SP_SCHEDULER_ALLOW_PROVE_REPLICA_UPDATE2" "LOTUS_STORAGE_ALLOWPROVEREPLICAUPDATE2",
        /// Built-in sealing worker: GSK [default: true]
        allow_regen_sector_key "AllowRegenSectorKey" "SP_SCHEDULER_ALLOW_REGEN_SECTOR_KEY" "LOTUS_STORAGE_ALLOWREGENSECTORKEY",
        /// Only workers that have the files already take finished sectors to storage paths [default: false]
        disallow_remote_finalize "DisallowRemoteFinalize" "SP_SCHEDULER_DISALLOW_REMOTE_FINALIZE" "LOTUS_STORAGE_DISALLOWREMOTEFINALIZE",
    }
}

lotus_keys! {
    /// `[Proving]`.
    ProvingKeys {
        /// Start no built-in window PoSt worker
        disable_builtin_window_post "DisableBuiltinWindowPoSt" "SP_SCHEDULER_DISABLE_BUILTIN_WINDOW_POST" "LOTUS_PROVING_DISABLEBUILTINWINDOWPOST",
        /// Start no built-in winning PoSt worker
        disable_builtin_winning_post "DisableBuiltinWinningPoSt" "SP_SCHEDULER_DISABLE_BUILTIN_WINNING_POST" "LOTUS_PROVING_DISABLEBUILTINWINNINGPOST",
        ;
        /// Part of a window PoSt worker's time that may go, while nothing else is done on its host, into proving the
        /// partitions of the next hours under made-up randomness, to find out what would be skipped, in percent; 0: none [default: 5]
        rehearse: u64, "Rehearse" "SP_SCHEDULER_REHEARSE";
        /// Longest that one challenge may be read; where a worker's own limit is shorter, that counts [default: 1m]
        single_check_timeout: Duration, "SingleCheckTimeout" "SP_SCHEDULER_SINGLE_CHECK_TIMEOUT";
        /// Longest that all challenges of a partition may be read together; what is not read by then is skipped. Never more
        /// than 7.5 minutes, or a third of the time that is left of the deadline [default: 20m]
        partition_check_timeout: Duration, "PartitionCheckTimeout" "SP_SCHEDULER_PARTITION_CHECK_TIMEOUT";
        /// Challenges that a worker reads at once; where its own limit is lower, that counts; 0: each worker's own [default: 0]
        parallel_check_limit: u32, "ParallelCheckLimit" "SP_SCHEDULER_PARALLEL_CHECK_LIMIT";
    }
}

/// What the scheduler goes by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) index: String,
    pub(crate) cluster: String,
    pub(crate) network: String,
    pub(crate) miner: u64,
    pub(crate) sector_size: SectorSize,
    pub(crate) epoch_ms: u64,
    pub(crate) seed_delay_epochs: u32,
    pub(crate) assignment: Assignment,
    pub(crate) win_one_in: u32,
    pub(crate) parameters: PathBuf,
    pub(crate) insecure_parameters: bool,
    pub(crate) lease_ms: u64,
    pub(crate) heartbeat_ms: u64,
    pub(crate) sealing: SealingOptions,
    pub(crate) placement: Placement,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) history_limit: u64,
    pub(crate) recording: Option<Recording>,
    pub(crate) verify_bin: PathBuf,
    pub(crate) post_worker_bin: PathBuf,
    pub(crate) sealing_worker_bin: PathBuf,
    pub(crate) builtin_window: bool,
    pub(crate) builtin_winning: bool,
    pub(crate) rehearse_percent: u64,
    pub(crate) read_timeout_ms: u64,
    pub(crate) partition_timeout_ms: u64,
    pub(crate) parallel_reads: u32,
    /// The flag of each sealing task and whether the built-in worker does it; none when it is not started.
    pub(crate) builtin_sealing: Option<Vec<(&'static str, bool)>>,
}

impl RunArgs {
    /// Flags over environment over file over defaults; everything checked.
    pub(crate) fn resolve(self, command: &clap::Command) -> anyhow::Result<Settings> {
        config::refuse_unknown_env(ENV_PREFIX, &config::env_names(command))?;
        let file: Keys = config::load(self.config.as_deref())?;
        let flags = self.keys;
        let data_dir = flags.data_dir.or(file.data_dir);
        let index = flags.index.or(file.index);
        let network = flags.network.or(file.network).unwrap_or_else(|| "dev".into());
        let parameters = flags.parameters.or(file.parameters).map_or_else(default_parameters, Ok)?;
        let insecure_parameters = parameters.join(INSECURE_MARKER).exists();
        refuse_insecure(&network, &parameters, insecure_parameters)?;
        let storage = flags.storage.over(file.storage)?;
        let proving = flags.proving.over(file.proving)?;
        let rehearse_percent = proving.rehearse.unwrap_or(5);
        if rehearse_percent > 100 {
            bail!("--rehearse is a part of a worker's time in percent, 0 to 100, not {rehearse_percent}");
        }
        let read_timeout_ms = millis(proving.single_check_timeout, 60_000);
        let partition_timeout_ms = millis(proving.partition_check_timeout, 20 * 60_000);
        if read_timeout_ms == 0 || partition_timeout_ms == 0 {
            bail!(
                "--single-check-timeout and --partition-check-timeout must be above zero: nothing is read without a limit"
            );
        }
        let disallow_remote_finalize = storage.disallow_remote_finalize.unwrap_or(false);
        let sealing = flags.sealing.over(file.sealing)?.options();
        let sealing = SealingOptions { disallow_remote_finalize, ..sealing };
        let no_builtin_sealing = flags.no_builtin_sealing.or(file.no_builtin_sealing).unwrap_or(false);
        let beside = |given: Option<PathBuf>, name: &str| given.map_or_else(|| beside_us(name), Ok);
        let lease_ms = millis(flags.lease.or(file.lease), 15_000);
        let heartbeat_ms = millis(flags.heartbeat.or(file.heartbeat), 2_000);
        let record_limit = flags.record_limit.or(file.record_limit).unwrap_or_else(|| "1GiB".into());
        let limit_bytes = record_limit.parse::<ByteSize>().context("--record-limit")?.0;
        let recording = flags.record_events.or(file.record_events).map(|file| Recording { file, limit_bytes });
        if heartbeat_ms == 0 || heartbeat_ms * 2 > lease_ms {
            bail!("--heartbeat must be above zero and at most half of --lease, or a single lost renewal ends a lease");
        }
        Ok(Settings {
            data_dir: data_dir.context("--data-dir is missing; name the directory of the scheduler's state")?,
            listen: flags.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 1788))),
            index: index.context("--index is missing; name the storage index, for example http://127.0.0.1:1789")?,
            cluster: flags.cluster.or(file.cluster).unwrap_or_else(|| "dev".into()),
            network,
            miner: parse_miner(&flags.miner.or(file.miner).unwrap_or_else(|| "t01000".into()))?,
            sector_size: flags.sector_size.or(file.sector_size).unwrap_or_else(|| "2KiB".into()).parse()?,
            epoch_ms: millis(flags.epoch.or(file.epoch), 4_000),
            win_one_in: flags.win_one_in.or(file.win_one_in).unwrap_or(0),
            seed_delay_epochs: flags.seed_delay_epochs.or(file.seed_delay_epochs).unwrap_or(10),
            assignment: flags.assignment.or(file.assignment).unwrap_or_else(|| "network".into()).parse()?,
            parameters,
            insecure_parameters,
            lease_ms,
            heartbeat_ms,
            sealing,
            placement: flags.scheduling.resolve(file.scheduling, file.resources)?,
            metrics: flags.metrics.or(file.metrics),
            history_limit: flags.history_limit.or(file.history_limit).unwrap_or(10_000),
            recording,
            verify_bin: beside(flags.verify_bin.or(file.verify_bin), "sp-verify")?,
            post_worker_bin: beside(flags.post_worker_bin.or(file.post_worker_bin), "sp-post-worker")?,
            sealing_worker_bin: beside(flags.sealing_worker_bin.or(file.sealing_worker_bin), "sp-sealing-worker")?,
            builtin_window: !proving.disable_builtin_window_post.unwrap_or(false),
            builtin_winning: !proving.disable_builtin_winning_post.unwrap_or(false),
            rehearse_percent,
            read_timeout_ms,
            partition_timeout_ms,
            parallel_reads: proving.parallel_check_limit.unwrap_or(0),
            builtin_sealing: if no_builtin_sealing { None } else { storage.tasks() },
        })
    }
}

impl StorageKeys {
    /// The worker's flags; none when every key is off.
    fn tasks(self) -> Option<Vec<(&'static str, bool)>> {
        let Self {
            allow_add_piece,
            allow_pre_commit1,
            allow_pre_commit2,
            allow_commit,
            allow_unseal,
            allow_replica_update,
            allow_prove_replica_update2,
            allow_regen_sector_key,
            disallow_remote_finalize: _,
        } = self;
        let tasks = [
            ("addpiece", allow_add_piece),
            ("precommit1", allow_pre_commit1),
            ("precommit2", allow_pre_commit2),
            ("commit", allow_commit),
            ("unseal", allow_unseal),
            ("replica-update", allow_replica_update),
            ("prove-replica-update2", allow_prove_replica_update2),
            ("regen-sector-key", allow_regen_sector_key),
        ];
        let tasks = tasks.map(|(flag, allowed)| (flag, allowed.unwrap_or(true)));
        tasks.iter().any(|(_, allowed)| *allowed).then(|| tasks.to_vec())
    }
}

fn millis(duration: Option<Duration>, default: u64) -> u64 {
    duration.map_or(default, |d| d.0.as_millis() as u64)
}

/// `t01000` is 1000; `f01000` is the same miner on the main network.
fn parse_miner(text: &str) -> anyhow::Result<u64> {
    let digits = text.strip_prefix("t0").or_else(|| text.strip_prefix("f0"));
    let number = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok());
    number.with_context(|| format!("--miner `{text}` is no id address; write for example t01000"))
}

/// Proofs under development parameters can be forged by anybody: only the development network may use them.
fn refuse_insecure(network: &str, parameters: &Path, insecure: bool) -> anyhow::Result<()> {
    if network != "dev" && insecure {
        bail!(
            "the parameters in {} are INSECURE development parameters, and network `{network}` must not use them; \
             give --parameters a directory with the published ones, or run with --network dev",
            parameters.display()
        );
    }
    Ok(())
}

/// The same choice as `sp-verify` makes.
fn default_parameters() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("FIL_PROOFS_PARAMETER_CACHE") {
        return Ok(dir);
    }
    let cache = set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
    let base = cache.or_else(|| set("HOME").map(|home| home.join(".cache")));
    let base = base.context("no parameter directory: set --parameters, FIL_PROOFS_PARAMETER_CACHE or HOME")?;
    Ok(base.join("sp-cluster").join("parameters-dev"))
}

fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe().context("cannot find this program's own path")?;
    Ok(ours.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn resolve(args: &[&str], file: &str) -> anyhow::Result<Settings> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file)?;
        let path = path.display().to_string();
        let base = ["sp-scheduler", "run", "--data-dir", "d", "--index", "http://127.0.0.1:1", "--config", &path];
        let cli = Cli::try_parse_from(base.iter().chain(args))?;
        let Command::Run(run) = cli.command;
        run.resolve(&Cli::command())
    }

    #[test]
    fn flags_win_over_the_file_and_defaults_are_lotuss() {
        let plain = resolve(&[], "").unwrap();
        assert_eq!((plain.miner, plain.epoch_ms, plain.seed_delay_epochs), (1000, 4000, 10));
        assert!(plain.builtin_window && plain.builtin_winning);
        assert!(plain.builtin_sealing.unwrap().iter().all(|(_, on)| *on));
        let file =
            "epoch = '1s'\nminer = 't07'\n[Storage]\nAllowCommit = false\n[Proving]\nDisableBuiltinWindowPoSt = true\n";
        let both = resolve(&["--epoch", "500ms", "--assignment", "pack:3"], file).unwrap();
        assert_eq!(
            (both.epoch_ms, both.miner, both.assignment),
            (500, 7, Assignment::Pack(sp_types::DeadlineIndex(3)))
        );
        assert!(!both.builtin_window && both.builtin_winning);
        assert!(both.builtin_sealing.unwrap().contains(&("commit", false)));
        assert!(resolve(&["--no-builtin-sealing"], "").unwrap().builtin_sealing.is_none());
        assert!(resolve(&["--no-builtin-sealing=false"], "").unwrap().builtin_sealing.is_some());
    }

    #[test]
    fn proving_keys_are_lotuss() {
        let proving = |args: &[&str], file: &str| {
            let settings = resolve(args, file).map_err(|e| format!("{e:#}"))?;
            let limits = (settings.read_timeout_ms, settings.partition_timeout_ms, settings.parallel_reads);
            Ok((settings.rehearse_percent, limits))
        };
        assert_eq!(proving(&[], ""), Ok((5, (60_000, 1_200_000, 0))));
        let file = "[Proving]\nRehearse = 0\nSingleCheckTimeout = '10s'\nPartitionCheckTimeout = '10m0s'\nParallelCheckLimit = 64\n";
        assert_eq!(proving(&[], file), Ok((0, (10_000, 600_000, 64))));
        assert_eq!(
            proving(&["--rehearse", "7", "--single-check-timeout", "2m"], file),
            Ok((7, (120_000, 600_000, 64)))
        );
        let wrong = [["--rehearse", "101"], ["--single-check-timeout", "0s"], ["--partition-check-timeout", "0s"]];
        for args in wrong {
            let refused: Result<_, String> = proving(&args, "");
            assert!(refused.is_err_and(|why| why.contains(args[0])), "{args:?}");
        }
    }

    #[test]
    fn sealing_keys_are_lotuss() {
        assert_eq!(resolve(&[], "").unwrap().sealing, SealingOptions::default());
        let file = "[Sealing]\nAlwaysKeepUnsealedCopy = false\nFinalizeEarly = true\nMakeCCSectorsAvailable = true\n\
                    MaxSealingSectors = 7\nMaxSealingSectorsForDeals = 8\nMaxUpgradingSectors = 9\n\
                    [Storage]\nDisallowRemoteFinalize = true\n";
        let sealing = resolve(&["--max-sealing-sectors", "3", "--finalize-early=false"], file).unwrap().sealing;
        let expected = SealingOptions {
            always_keep_unsealed_copy: false,
            finalize_early: false,
            disallow_remote_finalize: true,
            make_cc_sectors_available: true,
            release_sector_key: false,
            max_sealing_sectors: 3,
            max_sealing_sectors_for_deals: 8,
            max_upgrading_sectors: 9,
        };
        assert_eq!(sealing, expected);
        assert!(resolve(&["--release-sector-key"], "").unwrap().sealing.release_sector_key);
    }

    #[test]
    fn nothing_is_recorded_unless_asked_for() {
        assert!(resolve(&[], "").unwrap().recording.is_none());
        let file = "record-events = '/r'\nrecord-limit = '2MiB'\n";
        let recording = resolve(&[], file).unwrap().recording.unwrap();
        assert_eq!((recording.file.as_path(), recording.limit_bytes), (Path::new("/r"), 2 << 20));
    }

    #[test]
    fn nonsense_is_refused() {
        for file in [
            "no-such-key = 1",
            "[scheduler]\nx = 1",
            "[Storage]\nAllowTea = true",
            "[Sealing]\nMaxSealingSectors = -1",
            "epoch = 4",
        ] {
            assert!(resolve(&[], file).is_err(), "{file}");
        }
        assert!(resolve(&["--record-events", "f", "--record-limit", "much"], "").is_err());
        for args in [["--miner", "1000"], ["--miner", "t0x"], ["--sector-size", "3KiB"], ["--heartbeat", "10s"]] {
            assert!(resolve(&args, "").is_err(), "{args:?}");
        }
    }

    #[test]
    fn other_networks_refuse_development_parameters() {
        let dir = tempfile::tempdir().unwrap();
        let parameters = dir.path().display().to_string();
        let args = ["--network", "mainnet", "--parameters", &parameters];
        assert!(!resolve(&args, "").unwrap().insecure_parameters);
        std::fs::write(dir.path().join(INSECURE_MARKER), b"").unwrap();
        let error = resolve(&args, "").unwrap_err().to_string();
        assert!(error.contains(&parameters) && error.contains("--network dev"), "{error}");
        assert!(resolve(&["--parameters", &parameters], "").unwrap().insecure_parameters);
    }
}
