//! What a worker is told: inputs with their sources, outputs, parameters.

use sp_types::{AttemptId, Commitment, FileKind, TaskId, TaskKind, WorkerId};

use crate::core::Core;
use crate::effect::{Assignment, InputFile, TaskParams};
use crate::model::{Attempt, Sector, SectorFile, Task, Update};
use crate::receive::download_params;

impl Core {
    /// Does the task wait for bytes that an operator sends?
    pub(crate) fn wants_upload(&self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        match task.kind {
            TaskKind::AddPiece => self.sector_of(task).is_some_and(|s| s.upload().is_some()),
            kind => kind == TaskKind::DataCid,
        }
    }

    /// Files that the task reads: the roots that count. The error names the kind that the sector does not have.
    pub(crate) fn inputs_of(&self, sector: &Sector, kind: TaskKind) -> Result<Vec<SectorFile>, FileKind> {
        if kind == TaskKind::Fetch {
            return Ok(self.astray(sector));
        }
        // Whoever computes with the data computes with all of it.
        let is_whole = |file: &&SectorFile| file.held.is_none() || kind == TaskKind::FinalizeUnsealed;
        sector.input_kinds(kind).iter().map(|k| sector.file(*k).filter(is_whole).cloned().ok_or(*k)).collect()
    }

    pub(crate) fn input_file(&self, sector: u64, file: &SectorFile, own: &WorkerId) -> InputFile {
        let sources = self.sources(sector, file, Some(own));
        InputFile { sector, kind: file.kind, root: file.root, size_bytes: file.size_bytes, sources }
    }

    /// The assignment of a granted attempt. It is made anew whenever it is sent, with the sources of the day.
    pub(crate) fn assignment(&self, id: AttemptId) -> Result<Assignment, String> {
        let gone = || "the task is gone".to_owned();
        let task = self.tasks.get(&id.task).ok_or_else(gone)?;
        let attempt = self.attempt(id).ok_or_else(gone)?;
        let (origin, seal_proof, inputs, params) = match task.sector {
            None => (None, self.data_cid_proof(), Vec::new(), self.data_cid_params(task.id, &attempt.upload_ticket)?),
            Some(_) => {
                let sector = self.sector_of(task).ok_or_else(gone)?;
                let params = self.task_params(sector, task.kind, &attempt.upload_ticket)?;
                (sector.origin, sector.seal_proof, self.input_files(sector, task, attempt)?, params)
            }
        };
        Ok(Assignment {
            attempt: id,
            task: task.kind,
            sector: task.sector.unwrap_or_default(),
            origin,
            seal_proof,
            inputs,
            outputs: attempt.outputs.clone(),
            params,
            time_limit_ms: self.config.time_limit_ms(task.kind),
            hold: attempt.held,
            gpus: attempt.gpus.clone(),
            group: attempt.group.clone(),
        })
    }

    fn input_files(&self, sector: &Sector, task: &Task, attempt: &Attempt) -> Result<Vec<InputFile>, String> {
        let files = match task.kind {
            // Meanwhile other files may be where they do not belong.
            TaskKind::Fetch => attempt.outputs.iter().map(|o| sector.file(o.kind).cloned().ok_or(o.kind)).collect(),
            kind => self.inputs_of(sector, kind),
        };
        let files: Vec<SectorFile> = files.map_err(|kind| format!("the sector has no {kind} file"))?;
        Ok(files.iter().map(|f| self.input_file(sector.number, f, &attempt.worker)).collect())
    }

    fn task_params(&self, sector: &Sector, kind: TaskKind, upload_ticket: &str) -> Result<TaskParams, String> {
        let ticket = || sector.ticket.map(|(bytes, _)| bytes).ok_or("the sector has no ticket");
        let comm_d = || sector.comm_d.ok_or("the sector has no comm_d");
        Ok(match kind {
            TaskKind::AddPiece => add_piece_params(sector, upload_ticket)?,
            TaskKind::PreCommit1 => TaskParams::PreCommit1 { ticket: ticket()?, pieces: sector.pieces.clone() },
            TaskKind::PreCommit2 => TaskParams::PreCommit2 { phase1: sector.phase1.clone() },
            TaskKind::Commit1 => TaskParams::Commit1 {
                ticket: ticket()?,
                seed: sector.seed.ok_or("the sector has no seed")?.0,
                comm_r: sector.comm_r.ok_or("the sector has no comm_r")?,
                comm_d: comm_d()?,
                pieces: sector.pieces.clone(),
            },
            TaskKind::Commit2 => TaskParams::Commit2,
            TaskKind::Finalize => {
                let keep_unsealed = sector.data.is_some() && self.config.always_keep_unsealed_copy;
                TaskParams::Finalize { keep_unsealed }
            }
            TaskKind::FinalizeUnsealed => TaskParams::FinalizeUnsealed { keep: sector.keep.clone() },
            TaskKind::Unseal => TaskParams::Unseal {
                comm_d: sector.present_comm_d().ok_or("the sector has no comm_d")?,
                ticket: ticket()?,
                updated: sector.is_updated(),
            },
            TaskKind::ReplicaUpdate => TaskParams::ReplicaUpdate { pieces: update_of(sector)?.pieces.clone() },
            TaskKind::ProveReplicaUpdate1 => {
                let (comm_r_old, comm_r_new, comm_d_new) = update_commitments(sector)?;
                TaskParams::ProveReplicaUpdate1 { comm_r_old, comm_r_new, comm_d_new }
            }
            TaskKind::ProveReplicaUpdate2 => {
                let (comm_r_old, comm_r_new, comm_d_new) = update_commitments(sector)?;
                TaskParams::ProveReplicaUpdate2 { comm_r_old, comm_r_new, comm_d_new }
            }
            TaskKind::FinalizeReplicaUpdate => TaskParams::FinalizeReplicaUpdate,
            TaskKind::Fetch => TaskParams::Fetch,
            TaskKind::DownloadSector => download_params(sector)?,
            TaskKind::RegenSectorKey => {
                TaskParams::RegenSectorKey { comm_d_new: update_of(sector)?.comm_d.ok_or("the update has no comm_d")? }
            }
            other => return Err(format!("{other} is not a task of the pipeline")),
        })
    }
}

fn update_of(sector: &Sector) -> Result<&Update, String> {
    sector.update.as_ref().ok_or_else(|| "the sector has no update".to_owned())
}

/// comm_r of the replica before the update, of the update, and comm_d of the new data.
pub(crate) fn update_commitments(sector: &Sector) -> Result<(Commitment, Commitment, Commitment), String> {
    let update = update_of(sector)?;
    Ok((
        sector.comm_r.ok_or("the sector has no comm_r")?,
        update.comm_r.ok_or("the update has no comm_r")?,
        update.comm_d.ok_or("the update has no comm_d")?,
    ))
}

fn add_piece_params(sector: &Sector, upload_ticket: &str) -> Result<TaskParams, String> {
    let Some((data, _)) = sector.upload() else { return Ok(TaskParams::Pledge) };
    Ok(TaskParams::AddPiece {
        data_bytes: data.data_bytes(),
        data_digest: data.digest,
        ticket: upload_ticket.to_owned(),
        pieces: data.to_pack().ok_or("the piece is too large")?,
    })
}
