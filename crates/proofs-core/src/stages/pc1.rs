//! PC1: copies the data, builds tree-d and labels the layers; of one sector, or of several in lock-step.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use filecoin_hashers::poseidon::PoseidonHasher;
use filecoin_proofs::{SealPreCommitPhase1Output, SectorShapeBase, StoreConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sp_types::{Commitment, PieceInfo, RegisteredSealProof};
use storage_proofs_core::cache_key::CacheKey;
use storage_proofs_porep::stacked::{Labels, generate_replica_id};

use super::add_piece::{check_pieces, comm_d};
use super::files::{check_sector_file, require_empty_dir, same_start};
use super::parents::{ensure_parents, graph};
use super::provider::{Provider, provider};
use super::{SectorContext, StageError, pc1_upstream};
use crate::kernels::sdr::{FileError, GroupSector, MAX_STREAMS, label_group};
use crate::kernels::{Cpu, build_tree_d};

pub(super) const STAGE: &str = "PC1";

/// Upstream's name of the file of tree-d.
const TREE_D: &str = "sc-02-data-tree-d.dat";

/// One sector of a PC1.
#[derive(Debug, Clone, Copy)]
pub struct Pc1Sector<'a> {
    /// Which sector.
    pub ctx: SectorContext,
    /// Its ticket.
    pub ticket: [u8; 32],
    /// Its pieces, which fill it.
    pub pieces: &'a [PieceInfo],
    /// The data, padded, of the sector's size.
    pub unsealed: &'a Path,
    /// The copy of the data that PC2 encodes: made here.
    pub sealed: &'a Path,
    /// The directory of tree-d and layers: filled here.
    pub cache: &'a Path,
}

/// What PC1 hands to PC2 besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pc1Output {
    /// Commitment of the data.
    pub comm_d: Commitment,
    /// Opaque bytes (JSON, under 64 KiB) for [`pc2`](super::pc2). They name no directory: the files may move.
    pub phase1: Vec<u8>,
}

/// What [`Pc1Output::phase1`] holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Phase1 {
    /// Name of the registered seal proof.
    pub(super) proof: String,
    /// The ticket, which synthetic proofs need in PC2.
    pub(super) ticket: [u8; 32],
    /// Upstream's output, its paths emptied.
    pub(super) output: Value,
}

/// PC1 of one sector: [`pc1_group`] of a group of one.
pub fn pc1(
    ctx: &SectorContext,
    ticket: [u8; 32],
    pieces: &[PieceInfo],
    unsealed: &Path,
    sealed: &Path,
    cache: &Path,
) -> Result<Pc1Output, StageError> {
    let mut results = pc1_group(&[Pc1Sector { ctx: *ctx, ticket, pieces, unsealed, sealed, cache }]);
    results.pop().unwrap_or_else(|| Err(StageError::bad_input(STAGE, "no sector")))
}

/// PC1 of up to four sectors of one registered proof on one thread (tree-d on all cores). Creates `sealed`, a copy of
/// `unsealed` that is not encoded yet, and fills `cache` with tree-d and layers, byte for byte as upstream does. The
/// pieces of a sector must fill it and have the root of its data. Memory: two sectors per sector.
///
/// A sector begins in an empty `cache` and without `sealed`. Beside `cache` it keeps a journal ([`pc1_journal`]): called
/// again after a crash, with the journal in place, it believes the layers that have their digest in the journal and goes
/// on after them. The caller removes the journal when it has the result. The caller fsyncs tree-d and the directories
/// before it believes in the files.
///
/// One result per sector, in their order. A sector that cannot begin does not stop the others; labelling goes wrong for
/// all or none. `SP_PROOFS=upstream` in the environment has upstream's own code do it, sector by sector and without a
/// journal.
pub fn pc1_group(sectors: &[Pc1Sector<'_>]) -> Vec<Result<Pc1Output, StageError>> {
    let fail_all = |make: &dyn Fn() -> StageError| sectors.iter().map(|_| Err(make())).collect();
    match provider() {
        Err(text) => return fail_all(&|| StageError::bad_input(STAGE, text)),
        Ok(Provider::Upstream) => return sectors.iter().map(pc1_upstream::pc1).collect(),
        Ok(Provider::Ours) => {}
    }
    let Some(proof) = sectors.first().map(|sector| sector.ctx.proof) else { return Vec::new() };
    if sectors.len() > MAX_STREAMS || sectors.iter().any(|sector| sector.ctx.proof != proof) {
        let message = format!("a group is one to {MAX_STREAMS} sectors of one registered proof");
        return fail_all(&|| StageError::bad_input(STAGE, message.as_str()));
    }
    let prepared: Vec<Result<Prepared<'_>, StageError>> = sectors.iter().map(prepare).collect();
    let labelled = label(proof, &prepared.iter().flatten().collect::<Vec<_>>());
    let finish = |prepared: Result<Prepared<'_>, StageError>| {
        let prepared = prepared?;
        labelled.as_ref().map_err(again)?;
        output(&prepared)
    };
    prepared.into_iter().map(finish).collect()
}

/// The journal of a PC1 that fills `cache`: a file beside it.
pub fn pc1_journal(cache: &Path) -> PathBuf {
    let mut name = cache.file_name().unwrap_or_default().to_owned();
    name.push(".pc1");
    cache.with_file_name(name)
}

/// Would a PC1 that fills `cache` go on with what an earlier one left there? If not, it wants an empty place.
pub fn pc1_goes_on(cache: &Path) -> bool {
    provider() == Ok(Provider::Ours) && pc1_journal(cache).exists()
}

/// A sector with everything but its layers.
struct Prepared<'a> {
    sector: &'a Pc1Sector<'a>,
    comm_d: Commitment,
    replica_id: [u8; 32],
    journal: PathBuf,
}

fn prepare<'a>(sector: &'a Pc1Sector<'a>) -> Result<Prepared<'a>, StageError> {
    let Pc1Sector { ctx, ticket, pieces, unsealed, sealed, cache } = *sector;
    check_pieces(STAGE, ctx.proof.size, pieces)?;
    check_sector_file(STAGE, unsealed, ctx.proof.size)?;
    let journal = pc1_journal(cache);
    if !journal.exists() {
        require_empty_dir(STAGE, cache)?;
        // A replica that is there already must not be lost.
        if sealed.exists() {
            let message = format!("{} exists already; start without it", sealed.display());
            return Err(StageError::bad_input(STAGE, message));
        }
        // From here on what lies in `cache` is ours.
        File::create_new(&journal).map_err(StageError::io(STAGE, &journal))?;
    }
    // Whoever calls again may have cleared everything but the journal.
    fs::create_dir_all(cache).map_err(StageError::io(STAGE, cache))?;
    copy_data(sector)?;
    let tree = cache.join(TREE_D);
    let build =
        || build_tree_d(Cpu::detect(), &File::open(unsealed)?, ctx.proof.size.bytes() / 32, &File::create(&tree)?);
    let root = Commitment(build().map_err(StageError::io(STAGE, &tree))?);
    let promised = comm_d(ctx.proof, pieces)?;
    if root != promised {
        let message = format!("pieces and comm_d do not match: the data has the root {root}, the pieces {promised}");
        return Err(StageError::corrupt(STAGE, message));
    }
    let porep_id = ctx.proof.porep_id();
    let replica_id =
        generate_replica_id::<PoseidonHasher, _>(&ctx.prover_id.0, ctx.number, &ticket, root.0, &porep_id).into();
    Ok(Prepared { sector, comm_d: root, replica_id, journal })
}

/// Makes `sealed`, whole or not at all. One that an earlier run made must be the data: PC2 may have encoded it since.
fn copy_data(sector: &Pc1Sector<'_>) -> Result<(), StageError> {
    let Pc1Sector { ctx, unsealed, sealed, .. } = *sector;
    if sealed.exists() {
        check_sector_file(STAGE, sealed, ctx.proof.size)?;
        if same_start(STAGE, unsealed, sealed, ctx.proof.size.bytes())? {
            return Ok(());
        }
        let message = format!("{} is not the data (encoded already, or damaged); start without it", sealed.display());
        return Err(StageError::corrupt(STAGE, message));
    }
    let mut name = sealed.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = sealed.with_file_name(name);
    let copied = fs::copy(unsealed, &part).and_then(|_| File::open(&part)?.sync_all());
    copied.and_then(|()| fs::rename(&part, sealed)).map_err(StageError::io(STAGE, sealed))
}

fn label(proof: RegisteredSealProof, prepared: &[&Prepared<'_>]) -> Result<(), FileError> {
    if prepared.is_empty() {
        return Ok(());
    }
    let graph = graph(proof);
    let parents = ensure_parents(&graph)?;
    let sector = |p: &&'_ Prepared<'_>| (p.replica_id, p.sector.cache.to_owned(), p.journal.clone());
    let owned: Vec<_> = prepared.iter().map(sector).collect();
    let sectors: Vec<_> = owned
        .iter()
        .map(|(replica_id, cache, journal)| GroupSector { replica_id: *replica_id, cache, journal })
        .collect();
    label_group(Cpu::detect(), &graph, &parents, proof.size.layers(), &sectors)
}

/// The error of the group, once more for one of its sectors.
fn again(error: &FileError) -> StageError {
    let source = io::Error::new(error.source.kind(), error.source.to_string());
    StageError::Io { stage: STAGE, path: error.path.clone(), source }
}

/// Upstream's output, which PC2 takes.
fn output(prepared: &Prepared<'_>) -> Result<Pc1Output, StageError> {
    let Pc1Sector { ctx, ticket, .. } = *prepared.sector;
    let nodes = (ctx.proof.size.bytes() / 32) as usize;
    let store = |id: String, size| StoreConfig { path: PathBuf::new(), id, size: Some(size), rows_to_discard: 0 };
    let layers = (1..=ctx.proof.size.layers()).map(|layer| store(CacheKey::label_layer(layer), nodes));
    // The shape of the trees is no part of it.
    let output = SealPreCommitPhase1Output::<SectorShapeBase> {
        labels: Labels::new(layers.collect()),
        config: store(CacheKey::CommDTree.to_string(), 2 * nodes - 1),
        comm_d: prepared.comm_d.0,
    };
    encode(ctx.proof, ticket, prepared.comm_d, serde_json::to_value(&output))
}

/// What goes to PC2.
pub(super) fn encode(
    proof: RegisteredSealProof,
    ticket: [u8; 32],
    comm_d: Commitment,
    output: serde_json::Result<Value>,
) -> Result<Pc1Output, StageError> {
    let written = output.and_then(|output| serde_json::to_vec(&Phase1 { proof: proof.to_string(), ticket, output }));
    let phase1 = written.map_err(|e| StageError::upstream(STAGE, format!("its output cannot be written: {e}")))?;
    Ok(Pc1Output { comm_d, phase1 })
}
