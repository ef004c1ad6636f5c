//! `sectors import`: takes over sectors that were sealed elsewhere; their files stay where they are, or are downloaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sp_proto::v1::{
    ExamineSectorReply, ExamineSectorRequest, FileKind, FindStorageRequest, FoundReplica, ImportSectorRequest,
    InfoRequest, ListForeignSectorsRequest, SectorSummary,
};
use sp_types::{PostProof, PostType, SectorSize, SectorState};

use super::receive::From;
use super::record::Record;
use crate::context::{Context, Scheduler, data_plane, request, within};
use crate::error::{CommandError, Exit};
use crate::output;

/// A worker reads a challenge of every copy that it has.
const EXAMINE_LIMIT: Duration = Duration::from_secs(330);

/// Take over sectors that were sealed elsewhere, for example by Lotus: attach their path first. Their files stay where
/// they are. Which replica it is tells the cache's p_aux; a challenge of it is read and checked before it counts.
///
/// An updated sector (SnapDeals) is taken over by its update and the update's cache, and by nothing else while any of them
/// is there: import it when its update is on the chain. Attach the path of its sealed file and cache too where they are
/// still kept, since the data is read with them.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Sector numbers.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    numbers: Vec<u64>,
    /// Every sector whose sealed file and cache, or update and update's cache, lie on a path and that is not known yet.
    #[arg(long)]
    all: bool,
    /// Records of `sp-ctl sectors export`: without its record, a sector can be proven and not unsealed.
    #[arg(long = "record", value_name = "FILE")]
    records: Vec<PathBuf>,
    /// Read and check the challenges, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    from: From,
}

/// A sector, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct Row {
    sector: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    comm_r: String,
    /// That is the commitment of its update.
    updated: bool,
    /// Empty when it was not taken over.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) state: String,
    with_record: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

/// Whose sectors they are.
struct Site {
    miner: u64,
    post_proof: String,
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let records = read_records(&self.records)?;
        let mut scheduler = context.scheduler().await?;
        if self.from.url().is_some() {
            let rows = self.from.run(context, &mut scheduler, &self.numbers, &records).await?;
            return self.show(context, &rows);
        }
        let site = site(&mut scheduler).await?;
        let numbers = match self.all {
            true => {
                let ask = ListForeignSectorsRequest {};
                scheduler.list_foreign_sectors(request(ask)).await?.into_inner().sectors
            }
            false => self.numbers.clone(),
        };
        if numbers.is_empty() {
            output::note("no path holds a sector that is not known; attach theirs first: `sp-ctl storage attach`");
        }
        let mut rows = Vec::new();
        for sector in numbers {
            let record = records.get(&sector);
            let mut row = Row::new(sector, record.is_some());
            match self.import(&mut scheduler, &site, record, &mut row).await {
                Ok(()) if !context.json() => output::note(&row.line()),
                Ok(()) => {}
                Err(failure) => row.fail(&failure),
            }
            rows.push(row);
        }
        self.show(context, &rows)
    }

    fn show(&self, context: &Context, rows: &[Row]) -> Result<(), CommandError> {
        context.show(&rows, |_| summary(rows, self.dry_run))?;
        match rows.iter().filter(|row| !row.error.is_empty()).count() {
            0 => Ok(()),
            failed => Err(CommandError::new(Exit::Failed, format!("{failed} sectors were not imported"))
                .hint("run it again when that is mended; what is imported already stays so")),
        }
    }

    async fn import(
        &self,
        scheduler: &mut Scheduler,
        site: &Site,
        record: Option<&Record>,
        row: &mut Row,
    ) -> Result<(), CommandError> {
        let record = record.map(Record::to_wire).transpose()?;
        let ExamineSectorReply { comm_r, updated } = examine(scheduler, site, row.sector).await?;
        (row.comm_r, row.updated) = (hex::encode(&comm_r), updated);
        if self.dry_run {
            return Ok(());
        }
        let ask = ImportSectorRequest { number: row.sector, comm_r, record, updated, from: None };
        row.state = scheduler.import_sector(request(ask)).await?.into_inner().state;
        Ok(())
    }
}

async fn site(scheduler: &mut Scheduler) -> Result<Site, CommandError> {
    let info = scheduler.info(request(InfoRequest {})).await?.into_inner();
    let size = SectorSize::from_bytes(info.sector_size);
    let size = size.ok_or_else(|| CommandError::failed(format!("unknown sector size {}", info.sector_size)))?;
    let proof = PostProof { size, post_type: PostType::Window };
    Ok(Site { miner: info.miner, post_proof: proof.to_string() })
}

/// Asks whoever has files of the sector, until one has answered a challenge. Of an updated one that is whoever has files of
/// its update: the replica before it may lie elsewhere, and is not what is proven.
async fn examine(scheduler: &mut Scheduler, site: &Site, sector: u64) -> Result<ExamineSectorReply, CommandError> {
    let mut replicas = scheduler.find_storage(request(FindStorageRequest { sector })).await?.into_inner().replicas;
    if replicas.iter().any(is_of_update) {
        replicas.retain(is_of_update);
    }
    let mut urls: Vec<String> = Vec::new();
    for holder in replicas.into_iter().filter_map(|found| found.store).flat_map(|store| store.holders) {
        if !urls.contains(&holder.data_url) {
            urls.push(holder.data_url);
        }
    }
    let mut last = CommandError::new(Exit::Unavailable, format!("no connected worker has files of sector {sector}"));
    for url in urls {
        let ask = ExamineSectorRequest { miner: site.miner, sector, post_proof: site.post_proof.clone() };
        match data_plane(&url).await?.examine_sector(within(EXAMINE_LIMIT, ask)).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => last = CommandError::from(status),
        }
    }
    Err(last)
}

fn is_of_update(found: &FoundReplica) -> bool {
    let kind = found.replica.as_ref().map(|info| info.kind());
    kind.is_some_and(|kind| matches!(kind, FileKind::Update | FileKind::UpdateCache))
}

/// The records in these files, by sector.
fn read_records(paths: &[PathBuf]) -> Result<BTreeMap<u64, Record>, CommandError> {
    let mut records = BTreeMap::new();
    for path in paths {
        for record in read(path)? {
            let sector = record.sector;
            if records.insert(sector, record).is_some() {
                let text = format!("there are two records of sector {sector}; give one of them");
                return Err(CommandError::new(Exit::Usage, text));
            }
        }
    }
    Ok(records)
}

fn read(path: &Path) -> Result<Vec<Record>, CommandError> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).map_err(|cause| {
        let text = format!("{} is not a list of sector records: {cause}", path.display());
        CommandError::new(Exit::Usage, text).hint("`sp-ctl sectors export` writes them")
    })
}

impl Row {
    pub(super) fn new(sector: u64, with_record: bool) -> Self {
        let (comm_r, state, error) = (String::new(), String::new(), String::new());
        Self { sector, comm_r, updated: false, state, with_record, error }
    }

    pub(super) fn sector(&self) -> u64 {
        self.sector
    }

    pub(super) fn is_good(&self) -> bool {
        self.error.is_empty()
    }

    /// It did not work; said at once, since others may follow.
    pub(super) fn fail(&mut self, failure: &CommandError) {
        self.error = failure.line();
        output::note(&format!("sector {}: {}", self.sector, self.error));
    }

    /// How it stands once it was taken over.
    pub(super) fn proven(&mut self, summary: &SectorSummary) {
        (self.state, self.comm_r) = (summary.state.clone(), hex::encode(&summary.comm_r));
        self.updated = summary.updated;
    }

    pub(super) fn line(&self) -> String {
        let Self { sector, comm_r, updated, state, .. } = self;
        let of = if *updated { " of its update" } else { "" };
        match state.is_empty() {
            true => format!("sector {sector}: its challenge is answered; comm_r{of} {comm_r}"),
            false => format!("sector {sector}: {state}; comm_r{of} {comm_r}"),
        }
    }
}

fn summary(rows: &[Row], dry_run: bool) -> String {
    let good = rows.iter().filter(|row| row.error.is_empty()).count();
    let without = rows.iter().filter(|row| row.error.is_empty() && !row.with_record).count();
    let told = if without > 0 {
        format!(" ({without} without a record: they can be proven, not unsealed)")
    } else {
        String::new()
    };
    if rows.iter().any(|row| row.error.is_empty() && row.state == SectorState::ReceiveSector.to_string()) {
        return format!("Downloading {good} of {} sectors{told}\n", rows.len());
    }
    match dry_run {
        true => format!("{good} of {} sectors could be imported{told}\n", rows.len()),
        false => format!("Imported {good} of {} sectors{told}\n", rows.len()),
    }
}
