//! Which files of a sector are taken along, and who has them.

use sp_proto::v1::{FindStorageRequest, FoundReplica, SectorStatusRequest, SectorSummary};
use sp_types::{FileKind, ReplicaInfo, SectorId, SectorState, Soundness, StoreId};

use super::super::record::Record;
use super::record_of;
use crate::context::{Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;

/// The root of a file that nobody has read whole yet.
pub(super) const UNREAD: [u8; 32] = [0; 32];

/// Everything about one sector that is taken along.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) sector: SectorId,
    pub(super) record: Record,
    pub(super) wanted: Vec<Wanted>,
}

/// A file that is taken along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) kind: FileKind,
    /// Zero while nobody has read it whole.
    pub(super) root: [u8; 32],
    pub(super) size_bytes: u64,
    /// In the order in which they are asked.
    pub(super) sources: Vec<Source>,
}

/// A data port of a worker that has the file on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) store: StoreId,
    pub(super) data_url: String,
    /// Zero while nobody has read this copy whole.
    pub(super) root: [u8; 32],
}

/// A copy, as the index lists it.
#[derive(Debug, Clone)]
struct Copy {
    info: ReplicaInfo,
    /// Of the connected workers that have its path; several hosts may.
    data_urls: Vec<String>,
}

/// Does the sector need the file there?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It cannot be proven without it.
    Must,
    /// It is taken along where there is one.
    May,
}

/// Finds out what is to be taken along; refused unless the sector is finished, and somebody has its files.
pub(super) async fn plan(scheduler: &mut Scheduler, number: u64, unsealed: bool) -> Result<Plan, CommandError> {
    // First, since it says best what is wrong with a sector that is being updated.
    let record = record_of(scheduler, number).await?;
    let ask = SectorStatusRequest { number, log: false };
    let summary = scheduler.sector_status(request(ask)).await?.into_inner().summary.unwrap_or_default();
    is_finished(&summary)?;
    let sector = SectorId { miner: record.miner, number };
    let copies = copies(scheduler, number).await?;
    let mut wanted = Vec::new();
    for (kind, need) in kinds(record.is_updated(), unsealed) {
        match of_kind(sector, kind, &copies)? {
            Some(found) => wanted.push(found),
            None if need == Need::Must => return Err(nobody_has(sector, kind)),
            None => output::note(&left_out(sector, kind)),
        }
    }
    Ok(Plan { sector, record, wanted })
}

/// Who has the file now: it may have been moved since, or its worker has come back under another address.
pub(super) async fn find_again(
    scheduler: &mut Scheduler,
    sector: SectorId,
    kind: FileKind,
) -> Result<Option<Wanted>, CommandError> {
    of_kind(sector, kind, &copies(scheduler, sector.number).await?)
}

fn is_finished(summary: &SectorSummary) -> Result<(), CommandError> {
    let rests = [SectorState::Proving, SectorState::Available].iter().any(|state| summary.state == state.to_string());
    if summary.proven || rests {
        return Ok(());
    }
    let SectorSummary { number, state, .. } = summary;
    let text = format!("sector {number} is in state {state}: only a sector that is proven can be taken elsewhere");
    Err(CommandError::failed(text)
        .hint(format!("wait until it is Proving; `sp-ctl sectors status {number} --log` shows what it waits for")))
}

/// An updated sector is proven by its update; the files of before are what its data is read with, unless they were given up.
fn kinds(updated: bool, unsealed: bool) -> Vec<(FileKind, Need)> {
    let before = if updated { Need::May } else { Need::Must };
    let mut kinds = vec![(FileKind::Sealed, before), (FileKind::Cache, before)];
    if updated {
        kinds.extend([(FileKind::Update, Need::Must), (FileKind::UpdateCache, Need::Must)]);
    }
    if unsealed {
        kinds.push((FileKind::Unsealed, Need::May));
    }
    kinds
}

async fn copies(scheduler: &mut Scheduler, number: u64) -> Result<Vec<Copy>, CommandError> {
    let found = scheduler.find_storage(request(FindStorageRequest { sector: number })).await?.into_inner().replicas;
    let copy = |FoundReplica { replica, store }: FoundReplica| {
        let info = ReplicaInfo::try_from(replica.unwrap_or_default());
        let info = info.map_err(|error| CommandError::failed(error.to_string()))?;
        let data_urls = store.into_iter().flat_map(|fact| fact.holders).map(|holder| holder.data_url).collect();
        Ok(Copy { info, data_urls })
    };
    found.into_iter().map(copy).collect()
}

/// The file of this kind and who has it; none if no path does. Whose copies all lie on paths of workers that are away,
/// that is an error: they are not gone.
fn of_kind(sector: SectorId, kind: FileKind, copies: &[Copy]) -> Result<Option<Wanted>, CommandError> {
    let mut copies: Vec<&Copy> = copies.iter().filter(|copy| copy.info.id.kind == kind).collect();
    // What a scrub has found a fault in comes last. The copy that counts comes before one that was made for a task.
    copies.sort_by_key(|Copy { info, data_urls }| {
        (data_urls.is_empty(), info.soundness == Soundness::Faulty, info.id.root == UNREAD, !info.primary)
    });
    let Some(Copy { info: best, data_urls }) = copies.first() else { return Ok(None) };
    if data_urls.is_empty() {
        let store = &best.id.store;
        let text =
            format!("no connected worker has path {store}, on which the {kind} file of sector {} lies", sector.number);
        return Err(CommandError::new(Exit::Unavailable, text)
            .hint("start the worker that has it, then export again; `sp-ctl storage list` shows the paths"));
    }
    let same = copies.iter().filter(|copy| [best.id.root, UNREAD].contains(&copy.info.id.root));
    let sources = same.flat_map(|Copy { info, data_urls }| {
        let source = |url: &String| Source { store: info.id.store.clone(), data_url: url.clone(), root: info.id.root };
        data_urls.iter().map(source)
    });
    let sources = sources.collect();
    Ok(Some(Wanted { kind, root: best.id.root, size_bytes: best.size_bytes, sources }))
}

fn nobody_has(sector: SectorId, kind: FileKind) -> CommandError {
    let number = sector.number;
    CommandError::new(
        Exit::NotFound,
        format!("no path has the {kind} file of sector {number}, which is proven with it"),
    )
    .hint(format!("attach the path that has it; `sp-ctl storage find {number}` shows what there is"))
}

fn left_out(sector: SectorId, kind: FileKind) -> String {
    let number = sector.number;
    match kind {
        FileKind::Unsealed => format!(
            "sector {number}: nobody has an unsealed file of it, so none is taken along; `sp-ctl sectors unseal {number}` \
             makes one"
        ),
        _ => format!(
            "sector {number}: no path has its {kind} file of before the update, so its data cannot be read where it is \
             taken; it can be proven"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::ReplicaId;

    const SECTOR: SectorId = SectorId { miner: 1000, number: 7 };

    fn copy(store: &str, root: u8, primary: bool, soundness: Soundness, urls: &[&str]) -> Copy {
        let store = StoreId::new(store).unwrap();
        let id = ReplicaId { sector: SECTOR, kind: FileKind::Sealed, store, root: [root; 32] };
        let info = ReplicaInfo { id, size_bytes: 2048, primary, origin: None, soundness };
        Copy { info, data_urls: urls.iter().map(|url| (*url).to_owned()).collect() }
    }

    fn stores(copies: &[Copy]) -> Vec<String> {
        let wanted = of_kind(SECTOR, FileKind::Sealed, copies).unwrap().unwrap();
        wanted.sources.iter().map(|source| format!("{} {}", source.store, source.data_url)).collect()
    }

    #[test]
    fn sound_copies_come_first_and_other_content_never() {
        use Soundness::*;
        let copies = [
            copy("faulty", 1, true, Faulty, &["http://f"]),
            copy("copy", 1, false, Sound, &["http://c"]),
            copy("unread", 0, true, Unknown, &["http://u"]),
            copy("other", 2, false, Unknown, &["http://o"]),
            copy("main", 1, true, Unknown, &["http://m", "http://n"]),
            copy("away", 1, true, Unknown, &[]),
        ];
        assert_eq!(
            stores(&copies),
            ["main http://m", "main http://n", "copy http://c", "unread http://u", "faulty http://f"]
        );
        assert_eq!(stores(&copies[..1]), ["faulty http://f"], "better than nothing: every chunk is compared");
        assert_eq!(of_kind(SECTOR, FileKind::Cache, &copies).unwrap(), None);
    }

    #[test]
    fn what_lies_on_a_path_that_is_away_is_not_gone() {
        let away = of_kind(SECTOR, FileKind::Sealed, &[copy("a", 1, true, Soundness::Unknown, &[])]).unwrap_err();
        assert!(away.exit == Exit::Unavailable && away.line().contains("path a"), "{}", away.line());
    }

    #[test]
    fn an_updated_sector_is_proven_without_what_was_before() {
        let needed = |updated| {
            let kinds = kinds(updated, true).into_iter().filter(|(_, need)| *need == Need::Must);
            kinds.map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        assert_eq!(needed(false), [FileKind::Sealed, FileKind::Cache]);
        assert_eq!(needed(true), [FileKind::Update, FileKind::UpdateCache]);
    }

    #[test]
    fn only_a_sector_that_is_proven_is_taken() {
        let summary = |state: &str, proven| SectorSummary { state: state.into(), proven, ..SectorSummary::default() };
        assert!(is_finished(&summary("Proving", false)).is_ok() && is_finished(&summary("Available", false)).is_ok());
        assert!(is_finished(&summary("FinalizeFailed", true)).is_ok());
        assert!(is_finished(&summary("Committing2", false)).unwrap_err().line().contains("Committing2"));
    }
}
