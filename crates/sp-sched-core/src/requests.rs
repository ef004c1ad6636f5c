//! What operators ask for: checked whole before anything changes, and answered exactly once.

use sp_types::{AttemptId, DeadlineIndex, ErrorCode, FileKind, Randomness, ReplicaId, SectorState, TaskId, TaskKind};

use crate::core::Core;
use crate::data::SectorData;
use crate::effect::{Effect, Reply};
use crate::event::{Request, RequestId};
use crate::facts::Replica;
use crate::model::Sector;
use crate::proving::call::PostSector;
use crate::proving::job::{PostId, PostKind};
use crate::unsealed::Held;

/// Most pieces of a sector: they are kept in its row.
const PIECES_MAX: usize = 1024;

/// A request that is refused: code and message.
pub(crate) type Refused = (ErrorCode, String);

impl Core {
    pub(crate) fn on_request(&mut self, id: RequestId, request: Request) {
        let answer = match request {
            Request::Pledge { count, priority } => self.pledge(count, priority).map(Some),
            Request::AddPiece { data, priority } => self.add_piece(data, priority).map(Some),
            Request::DataCid { data, padded_bytes } => self.data_cid(data, padded_bytes).map(Some),
            Request::GetDataCid { task } => self.get_data_cid(task).map(Some),
            Request::Snap { sector, data, priority } => self.snap(sector, data, priority).map(Some),
            Request::MarkForUpdate { sector } => self.mark_for_update(sector).map(Some),
            Request::AbortUpgrade { sector } => self.abort_upgrade(sector).map(Some),
            Request::RegenSectorKey { sector } => self.regen_sector_key(sector).map(Some),
            Request::Remove { sector } => self.remove(sector).map(Some),
            Request::ForceState { sector, state } => self.force_state(sector, state).map(Some),
            Request::Retry { sector } => self.retry(sector).map(Some),
            Request::Unseal { sector } => self.unseal(sector).map(Some),
            Request::ReleaseUnsealed { sector } => self.release_unsealed(sector).map(Some),
            Request::TrimUnsealed { sector, keep } => self.trim_unsealed(sector, &keep).map(Some),
            Request::Pin { sector, reason } => self.pin(sector, reason).map(Some),
            Request::Unpin { sector } => self.unpin(sector).map(Some),
            Request::CleanUp { sector } => self.clean_up(sector).map(Some),
            Request::Import(import) => self.import(*import).map(Some),
            Request::Receive(order) => self.receive(*order).map(Some),
            Request::MoveFiles { sector, store } => self.move_files(sector, store).map(Some),
            Request::Abort { id, reason } => self.abort(&id, &reason).map(Some),
            Request::ComputeWindowPost { deadline, randomness } => {
                self.deadline_post(id, PostKind::Window(deadline), randomness, |_| true).map(|()| None)
            }
            Request::CheckDeadline { deadline, randomness } => {
                self.deadline_post(id, PostKind::Check(deadline), randomness, |_| true).map(|()| None)
            }
            Request::CheckSectors { deadline, sectors, randomness } => {
                let asked = |number: u64| sectors.contains(&number);
                self.deadline_post(id, PostKind::Check(deadline), randomness, asked).map(|()| None)
            }
            Request::ComputeWinningPost { randomness, pick } => self.winning_post(id, randomness, pick).map(|()| None),
            other => self.control(other).map(Some),
        };
        match answer {
            // A PoSt answers when it is proven.
            Ok(None) => {}
            Ok(Some(reply)) => self.out.push(Effect::Reply(id, reply)),
            Err((code, message)) => self.out.push(Effect::Reply(id, Reply::Failed { code, message })),
        }
    }

    fn pledge(&mut self, count: u32, priority: Option<i64>) -> Result<Reply, Refused> {
        let limit = self.config.pledge_limit;
        if count == 0 || count > limit {
            return Err((ErrorCode::BadRequest, format!("cannot pledge {count} sectors; ask for 1 to {limit}")));
        }
        self.has_sealing_room(self.config.max_sealing_sectors, count)?;
        Ok(Reply::Sectors((0..count).map(|_| self.new_sector(None, priority)).collect()))
    }

    fn add_piece(&mut self, data: SectorData, priority: Option<i64>) -> Result<Reply, Refused> {
        self.fits_sector(&data)?;
        self.has_sealing_room(self.config.max_sealing_sectors_for_deals, 1)?;
        Ok(Reply::Sectors(vec![self.new_sector(Some(data), priority)]))
    }

    pub(crate) fn fits_sector(&self, data: &SectorData) -> Result<(), Refused> {
        if let Some(empty) = data.pieces.iter().find(|piece| piece.data_bytes == 0) {
            return Err((ErrorCode::EmptyPiece, format!("`{}` is empty; there is nothing to seal", empty.name)));
        }
        let count = data.pieces.len();
        if count == 0 || count > PIECES_MAX {
            let message = format!("a sector is made of 1 to {PIECES_MAX} pieces, not of {count}");
            return Err((ErrorCode::BadRequest, message));
        }
        data.too_large_for(self.config.sector_size).map_or(Ok(()), |why| Err((ErrorCode::PieceTooLarge, why)))
    }

    /// The limits on sectors being sealed, updated or failed; a full pipeline stops the intake, not the disks.
    pub(crate) fn has_sealing_room(&self, max: u64, more: u32) -> Result<(), Refused> {
        if max == 0 {
            return Ok(());
        }
        let sealing = self.sectors.values().filter(|s| s.state.is_sealing()).count() as u64;
        if sealing + u64::from(more) <= max {
            return Ok(());
        }
        // Lotus's words.
        Err((ErrorCode::Unavailable, format!("too many sectors sealing (curSealing: {sealing}, max: {max})")))
    }

    pub(crate) fn known(&self, number: u64) -> Result<&Sector, Refused> {
        let unknown = || (ErrorCode::UnknownSector, format!("there is no sector {number}; see `sp-ctl sectors list`"));
        self.sectors.get(&number).ok_or_else(unknown)
    }

    /// A sector that is proven and that nothing is done with.
    pub(crate) fn resting_sector(&self, number: u64) -> Result<&Sector, Refused> {
        let sector = self.known(number)?;
        if matches!(sector.state, SectorState::Proving | SectorState::Available) {
            return Ok(sector);
        }
        let message = format!("sector {number} is in state {}; wait until it is Proving", sector.state);
        Err((ErrorCode::WrongState, message))
    }

    /// Is there a replica of the file that counts, on whatever store?
    pub(crate) fn knows(&self, sector: &Sector, kind: FileKind) -> bool {
        sector.file(kind).is_some_and(|f| self.facts.replicas_of(sector.number, f).next().is_some())
    }

    fn unseals(&self, number: u64) -> bool {
        self.tasks_of(number).any(|t| t.kind == TaskKind::Unseal)
    }

    fn unseal(&mut self, number: u64) -> Result<Reply, Refused> {
        let sector = self.resting_sector(number)?;
        if sector.stored_data().is_none() {
            return Err((ErrorCode::WrongState, sector.why_no_data()));
        }
        self.is_not_trimmed(number)?;
        let is_whole = sector.unsealed_held() == Some(Held::All);
        // While the index is away its last word counts.
        if is_whole && (!self.facts.connected || self.knows(sector, FileKind::Unsealed)) {
            return Ok(Reply::Unsealing { ready: true });
        }
        if let Some(kind) = [FileKind::Sealed, FileKind::Cache].into_iter().find(|kind| sector.awaits(*kind)) {
            let message = format!(
                "the data of sector {number} lies in its update, which is read with the replica before it, and no path had \
                 the {kind} of that when the sector was imported; attach the path that has it and import the sector again"
            );
            return Err((ErrorCode::WrongState, message));
        }
        if sector.is_updated() && sector.file(FileKind::Sealed).is_none() {
            let message = format!(
                "the data of sector {number} lies in its update, which is read with the replica before it, and that \
                 was let go of; make it again with `sp-ctl sectors regen-key {number}`"
            );
            return Err((ErrorCode::WrongState, message));
        }
        if !self.unseals(number) {
            // What a partial copy holds can be read until there is a whole one.
            if let Some(sector) = self.sector_mut(number).filter(|_| is_whole) {
                sector.drop_files(&[FileKind::Unsealed]);
            }
            self.log(number, "UNS asked for".to_owned(), String::new());
            self.ensure_task(number, TaskKind::Unseal);
        }
        Ok(Reply::Unsealing { ready: false })
    }

    fn release_unsealed(&mut self, number: u64) -> Result<Reply, Refused> {
        let sector = self.resting_sector(number)?;
        self.may_let_go(sector)?;
        let goes = |id: &ReplicaId, r: &Replica| id.kind == FileKind::Unsealed && sector.has_say_over(r.origin);
        let copies = self.facts.replicas(number).filter(|(id, replica)| goes(id, replica)).count();
        let replicas = u32::try_from(copies).unwrap_or(u32::MAX);
        self.end_moves(number);
        if let Some(sector) = self.sector_mut(number) {
            sector.drop_files(&[FileKind::Unsealed]);
        }
        self.log(number, "unsealed copy released".to_owned(), String::new());
        self.untidy.insert(number);
        Ok(Reply::Released { replicas })
    }

    // === abort ===

    fn abort(&mut self, text: &str, reason: &str) -> Result<Reply, Refused> {
        let missing = || (ErrorCode::NotFound, format!("there is no job {text}; see `sp-ctl sealing jobs`"));
        let why = if reason.is_empty() { "aborted by an operator".to_owned() } else { format!("aborted: {reason}") };
        let description = if let Ok(id) = text.parse::<AttemptId>() {
            self.abort_attempt(id, &why).ok_or_else(missing)?
        } else if let Ok(id) = text.parse::<u64>() {
            self.abort_task(TaskId(id), &why).ok_or_else(missing)?
        } else {
            let message =
                format!("`{text}` is no job id; write TASK or TASK.NUMBER as `sp-ctl sealing jobs` shows them");
            return Err((ErrorCode::BadRequest, message));
        };
        Ok(Reply::Aborted { description })
    }

    /// The task stays and is given away again after a wait, elsewhere if possible.
    fn abort_attempt(&mut self, id: AttemptId, why: &str) -> Option<String> {
        let Some(worker) = self.attempt(id).map(|a| a.worker.clone()) else { return self.abort_post(id.task, why) };
        let task = self.tasks.get(&id.task)?;
        let name = self.worker_name(&worker);
        let of = self.subject_of(task);
        let description = format!("job {id}, task {}, {of}, running on host {name}", task.kind);
        self.log_attempt(id, "aborted", why);
        self.end_attempt(id, why);
        *self.hints.entry(id.task).or_default().here.entry(worker).or_default() += 1;
        self.postpone(id.task, self.config.retry_wait_min_ms, why.to_owned());
        Some(description)
    }

    fn abort_task(&mut self, id: TaskId, why: &str) -> Option<String> {
        let Some(task) = self.tasks.get(&id) else { return self.abort_post(id, why) };
        let (kind, of) = (task.kind, self.subject_of(task));
        let Some(number) = task.sector else {
            self.cancel_data_cid(id, why);
            return Some(format!("job {id}, task {kind}, {of}"));
        };
        if kind == TaskKind::Fetch {
            let wait_s = self.put_off_move(id, why).div_ceil(1_000);
            return Some(format!("job {id}, task {kind}, {of}; it is tried again in {wait_s} s"));
        }
        self.give_up(id, why);
        let stopped = self.sectors.get(&number).filter(|s| s.is_stopped());
        let after = stopped.map(|s| format!("; its sector is {}, `sp-ctl sectors retry {number}` goes on", s.state));
        Some(format!("job {id}, task {kind}, {of}{}", after.unwrap_or_default()))
    }

    fn abort_post(&mut self, task: TaskId, why: &str) -> Option<String> {
        let has = |parts: &[crate::proving::job::Part]| parts.iter().any(|p| p.task == task);
        let (id, kind) = self.posts.iter().find(|(_, job)| has(&job.parts)).map(|(id, job)| (*id, job.kind))?;
        self.fail_post(id, ErrorCode::Cancelled, why);
        Some(format!("job {task}, task {}, with every partition of its request", kind.task()))
    }

    // === PoSt ===

    fn has_post_room_left(&self) -> Result<(), Refused> {
        let asked = self.posts.keys().filter(|id| matches!(id, PostId::Asked(_))).count();
        if asked < self.config.post_requests_limit {
            return Ok(());
        }
        let message = format!("{asked} PoSt requests are under way already; wait for one to finish");
        Err((ErrorCode::Unavailable, message))
    }

    fn deadline_post(
        &mut self,
        id: RequestId,
        kind: PostKind,
        randomness: Randomness,
        asked: impl Fn(u64) -> bool,
    ) -> Result<(), Refused> {
        self.has_post_room_left()?;
        let deadline = DeadlineIndex(kind.deadline());
        if deadline.0 >= DeadlineIndex::COUNT {
            let message = format!("there is no deadline {deadline}; they are 0 to {}", DeadlineIndex::COUNT - 1);
            return Err((ErrorCode::BadRequest, message));
        }
        let partitions = self.deadlines().remove(&deadline).unwrap_or_default();
        let with_sectors = partitions.into_iter().zip(0u32..).filter(|(numbers, _)| !numbers.is_empty());
        let parts: Vec<(u32, Vec<PostSector>)> = with_sectors
            .map(|(numbers, index)| (index, numbers.into_iter().filter(|number| asked(*number))))
            .map(|(index, numbers)| (index, numbers.filter_map(|number| self.post_sector(number)).collect::<Vec<_>>()))
            .filter(|(_, sectors)| !sectors.is_empty())
            .collect();
        if parts.is_empty() {
            let message = format!("no sector is proven at deadline {deadline}; see `sp-ctl proving deadlines`");
            return Err((ErrorCode::NotFound, message));
        }
        self.begin_post(PostId::Asked(id), kind, randomness, parts);
        Ok(())
    }

    fn winning_post(&mut self, id: RequestId, randomness: Randomness, pick: u64) -> Result<(), Refused> {
        self.has_post_room_left()?;
        let proving: Vec<PostSector> = self.sectors.keys().filter_map(|n| self.post_sector(*n)).collect();
        if proving.is_empty() {
            return Err((ErrorCode::NotFound, "no sector is Proving yet; seal one first".to_owned()));
        }
        let challenged = proving[(pick % proving.len() as u64) as usize];
        self.begin_post(PostId::Asked(id), PostKind::Winning, randomness, vec![(0, vec![challenged])]);
        Ok(())
    }

    pub(crate) fn post_sector(&self, number: u64) -> Option<PostSector> {
        let sector = self.sectors.get(&number).filter(|s| s.is_proven())?;
        Some((number, sector.present_comm_r()?, sector.seal_proof))
    }
}
