//! The fake stages, AP to FIN and UNS, and the way to those of a snap. Every stage checks what it reads, so that a wrong, half or foreign file is noticed.

use std::io;
use std::path::{Path, PathBuf};

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{
    AddPieceOutput, ExecAddPiece, ExecCommit1, ExecCommit2, ExecFinalize, ExecPreCommit1, ExecPreCommit2, ExecRequest,
    ExecUnseal, NoOutput, Piece, PreCommit1Output, PreCommit2Output, ProofOutput,
};
use sp_sectors::Disk;
use sp_types::{TaskKind, with_fillers};

use super::files::{Step, read, sync};
use super::made::Made;
use super::seal::{LAYERS, P_AUX, SECTOR_BYTES, Seal, T_AUX, TREE_C, TREE_R_LAST, comm_d, proof_of, unsealed_of};
use super::snap;
use super::update::Update;
use crate::piece;

/// A stage that has read and checked its inputs.
pub(super) struct Plan {
    steps: Vec<Step>,
    /// Made durable at the end.
    outputs: Vec<PathBuf>,
    outcome: Outcome,
    /// The replica that exists once it is done.
    pub(super) sealed: Option<Seal>,
    /// The same for an update.
    pub(super) updated: Option<Update>,
}

impl Plan {
    pub(super) fn new(steps: Vec<Step>, outputs: &[&String], outcome: Outcome) -> Self {
        Self { steps, outputs: outputs.iter().map(PathBuf::from).collect(), outcome, sealed: None, updated: None }
    }

    /// The update exists once this is done.
    pub(super) fn making(self, update: Update) -> Self {
        Self { updated: Some(update), ..self }
    }

    /// The task and its usual time, ms.
    pub(super) fn stage_of(request: &ExecRequest) -> Option<(TaskKind, u64)> {
        Some(match request.op {
            Some(Op::AddPiece(_)) => (TaskKind::AddPiece, 1_500),
            Some(Op::PreCommit1(_)) => (TaskKind::PreCommit1, 10_000),
            Some(Op::PreCommit2(_)) => (TaskKind::PreCommit2, 7_000),
            Some(Op::Commit1(_)) => (TaskKind::Commit1, 2_000),
            Some(Op::Commit2(_)) => (TaskKind::Commit2, 8_000),
            Some(Op::Finalize(_)) => (TaskKind::Finalize, 1_500),
            Some(Op::Unseal(_)) => (TaskKind::Unseal, 4_000),
            Some(Op::ReplicaUpdate(_)) => (TaskKind::ReplicaUpdate, 6_000),
            Some(Op::ProveReplicaUpdate1(_)) => (TaskKind::ProveReplicaUpdate1, 2_000),
            Some(Op::ProveReplicaUpdate2(_)) => (TaskKind::ProveReplicaUpdate2, 6_000),
            Some(Op::FinalizeReplicaUpdate(_)) => (TaskKind::FinalizeReplicaUpdate, 1_500),
            Some(Op::RegenSectorKey(_)) => (TaskKind::RegenSectorKey, 5_000),
            _ => return None,
        })
    }

    pub(super) fn read(disk: &dyn Disk, made: &Made, request: &ExecRequest) -> io::Result<Self> {
        match request.op.as_ref() {
            Some(Op::AddPiece(op)) => add_piece(disk, op),
            Some(Op::PreCommit1(op)) => pre_commit_1(disk, request, op),
            Some(Op::PreCommit2(op)) => pre_commit_2(disk, request, op),
            Some(Op::Commit1(op)) => commit_1(disk, request, op),
            Some(Op::Commit2(op)) => commit_2(disk, op),
            Some(Op::Finalize(op)) => finalize(disk, op),
            Some(Op::Unseal(op)) if !op.update.is_empty() => snap::unseal(disk, made, request, op),
            Some(Op::Unseal(op)) => unseal(disk, request, op),
            Some(Op::ReplicaUpdate(op)) => snap::replica_update(disk, made, request, op),
            Some(Op::ProveReplicaUpdate1(op)) => snap::prove_1(disk, made, request, op),
            Some(Op::ProveReplicaUpdate2(op)) => snap::prove_2(disk, made, op),
            Some(Op::FinalizeReplicaUpdate(op)) => snap::finalize(disk, made, request, op),
            Some(Op::RegenSectorKey(op)) => snap::regen_sector_key(disk, made, request, op),
            _ => Err(io::Error::other("the fake executor seals, and does nothing else")),
        }
    }

    /// The first half of the work: nothing of it is durable or whole.
    pub(super) fn begin(&self, disk: &dyn Disk) -> io::Result<()> {
        self.steps[..self.half()].iter().try_for_each(|step| step.carry_out(disk))
    }

    /// The rest of it, and everything made durable.
    pub(super) fn finish(&self, disk: &dyn Disk) -> io::Result<Outcome> {
        self.steps[self.half()..].iter().try_for_each(|step| step.carry_out(disk))?;
        self.outputs.iter().try_for_each(|path| sync(disk, path))?;
        Ok(self.outcome.clone())
    }

    fn half(&self) -> usize {
        self.steps.len().div_ceil(2)
    }
}

fn add_piece(disk: &dyn Disk, op: &ExecAddPiece) -> io::Result<Plan> {
    let data = if op.pieces.is_empty() { vec![] } else { read(disk, Path::new(&op.source))? };
    let announced: u64 = op.pieces.iter().map(|piece| piece.data_bytes).sum();
    if data.len() as u64 != announced {
        return Err(io::Error::other(format!("pieces of {} bytes where {announced} were announced", data.len())));
    }
    let unsealed = unsealed_of(&data);
    let comm_d = comm_d(&unsealed);
    let padded: Vec<u64> = op.pieces.iter().map(|piece| piece.padded_bytes).collect();
    let sizes = with_fillers(&padded, SECTOR_BYTES as u64).ok_or_else(|| io::Error::other("the pieces do not fit"))?;
    let piece = |padded_bytes| Piece { padded_bytes, commitment: comm_d.clone() };
    let outcome =
        Outcome::AddPiece(AddPieceOutput { pieces: sizes.into_iter().map(piece).collect(), comm_d: comm_d.clone() });
    Ok(Plan::new(vec![Step::Create((&op.unsealed).into(), unsealed)], &[&op.unsealed], outcome))
}

fn pre_commit_1(disk: &dyn Disk, request: &ExecRequest, op: &ExecPreCommit1) -> io::Result<Plan> {
    let comm_d = comm_d(&read(disk, Path::new(&op.unsealed))?);
    let piece = op.pieces.first().map(|p| p.commitment.clone()).unwrap_or_default();
    expect("the unsealed file", &comm_d, &piece)?;
    let (seal, cache) = (seal(request, &op.ticket, &comm_d), Path::new(&op.cache));
    // The worker leaves what an earlier run of the attempt has made.
    let mut steps = vec![Step::Clear((&op.sealed).into()), Step::Clear(cache.to_owned())];
    steps.extend([Step::Create((&op.sealed).into(), seal.labelled()), Step::MakeDir(cache.to_owned())]);
    let files = LAYERS.into_iter().chain([T_AUX]);
    steps.extend(files.map(|name| Step::Create(cache.join(name), seal.cache_file(name))));
    let phase1 = [op.ticket.clone(), comm_d.clone()].concat();
    let outcome = Outcome::PreCommit1(PreCommit1Output { phase1, comm_d });
    Ok(Plan::new(steps, &[&op.sealed, &op.cache], outcome))
}

fn pre_commit_2(disk: &dyn Disk, request: &ExecRequest, op: &ExecPreCommit2) -> io::Result<Plan> {
    let (ticket, comm_d) = op.phase1.split_at_checked(32).ok_or_else(|| io::Error::other("a short phase 1"))?;
    let (seal, cache) = (seal(request, ticket, comm_d), Path::new(&op.cache));
    expect("the labelled file", &read(disk, Path::new(&op.sealed))?, &seal.labelled())?;
    expect_cache(disk, cache, &seal, &LAYERS)?;
    let mut steps = vec![Step::Overwrite((&op.sealed).into(), seal.sealed())];
    let trees = [TREE_C, TREE_R_LAST, P_AUX];
    steps.extend(trees.map(|name| Step::Create(cache.join(name), seal.cache_file(name))));
    let outcome = Outcome::PreCommit2(PreCommit2Output { comm_r: seal.comm_r(), comm_d: comm_d.to_vec() });
    Ok(Plan { sealed: Some(seal), ..Plan::new(steps, &[&op.sealed, &op.cache], outcome) })
}

fn commit_1(disk: &dyn Disk, request: &ExecRequest, op: &ExecCommit1) -> io::Result<Plan> {
    let seal = seal(request, &op.ticket, &op.comm_d);
    expect("comm_r", &op.comm_r, &seal.comm_r())?;
    expect("the sealed file", &read(disk, Path::new(&op.sealed))?, &seal.sealed())?;
    expect_cache(disk, Path::new(&op.cache), &seal, &[TREE_C, TREE_R_LAST, P_AUX, T_AUX])?;
    let steps = vec![Step::Create((&op.vanilla).into(), seal.vanilla(&op.seed))];
    Ok(Plan::new(steps, &[&op.vanilla], Outcome::None(NoOutput {})))
}

fn commit_2(disk: &dyn Disk, op: &ExecCommit2) -> io::Result<Plan> {
    let proof = proof_of(&read(disk, Path::new(&op.vanilla))?);
    Ok(Plan::new(vec![], &[], Outcome::Proof(ProofOutput { proof, self_verified: true })))
}

fn finalize(disk: &dyn Disk, op: &ExecFinalize) -> io::Result<Plan> {
    let cache = Path::new(&op.cache);
    read(disk, &cache.join(P_AUX))?;
    // As upstream: what an earlier try has removed is not missed.
    let there = |name: &&str| disk.metadata(&cache.join(name)).is_ok();
    let files = LAYERS.into_iter().chain([TREE_C]).filter(there);
    let steps = files.map(|name| Step::Remove(cache.join(name))).collect();
    Ok(Plan::new(steps, &[&op.cache], Outcome::None(NoOutput {})))
}

fn unseal(disk: &dyn Disk, request: &ExecRequest, op: &ExecUnseal) -> io::Result<Plan> {
    let seal = seal(request, &op.ticket, &op.comm_d);
    expect("the sealed file", &read(disk, Path::new(&op.sealed))?, &seal.sealed())?;
    expect_cache(disk, Path::new(&op.cache), &seal, &[P_AUX, T_AUX])?;
    let steps = vec![Step::Create((&op.unsealed).into(), unsealed_with(&op.comm_d)?)];
    Ok(Plan::new(steps, &[&op.unsealed], Outcome::None(NoOutput {})))
}

/// The unsealed file that has this commitment.
pub(super) fn unsealed_with(wanted: &[u8]) -> io::Result<Vec<u8>> {
    let all = [vec![], piece::data(), piece::update()].map(|data| unsealed_of(&data));
    let found = all.into_iter().find(|unsealed| comm_d(unsealed) == wanted);
    found.ok_or_else(|| io::Error::other("nobody ever added data with this comm_d"))
}

fn seal(request: &ExecRequest, ticket: &[u8], comm_d: &[u8]) -> Seal {
    let ExecRequest { miner, sector, .. } = *request;
    Seal { miner, sector, ticket: ticket.to_vec(), comm_d: comm_d.to_vec() }
}

pub(super) fn expect_cache(disk: &dyn Disk, cache: &Path, seal: &Seal, names: &[&str]) -> io::Result<()> {
    names.iter().try_for_each(|name| expect(name, &read(disk, &cache.join(name))?, &seal.cache_file(name)))
}

pub(super) fn expect(what: &str, found: &[u8], wanted: &[u8]) -> io::Result<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(foreign(what)),
    }
}

/// The error that makes the watch see a broken law.
pub(super) fn foreign(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not what an earlier stage made"))
}
