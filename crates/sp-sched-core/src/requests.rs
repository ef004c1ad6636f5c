//! What operators ask for: checked whole before anything changes, and answered exactly once.

use sp_types::{AttemptId, ByteSize, DeadlineIndex, ErrorCode, FileKind, Randomness, SectorState, TaskId, TaskKind};

use crate::core::Core;
use crate::effect::{Effect, Reply};
use crate::event::{Request, RequestId};
use crate::model::{PieceData, Sector};
use crate::post_job::{PostKind, PostSector};

/// A request that is refused: code and message.
pub(crate) type Refused = (ErrorCode, String);

impl Core {
    pub(crate) fn on_request(&mut self, id: RequestId, request: Request) {
        let answer = match request {
            Request::Pledge { count } => self.pledge(count).map(Some),
            Request::AddPiece { data_bytes, digest, name } => self.add_piece(data_bytes, digest, name).map(Some),
            Request::Unseal { sector } => self.unseal(sector).map(Some),
            Request::ReleaseUnsealed { sector } => self.release_unsealed(sector).map(Some),
            Request::Abort { id, reason } => self.abort(&id, &reason).map(Some),
            Request::ComputeWindowPost { deadline, randomness } => {
                self.deadline_post(id, PostKind::Window(deadline), deadline, randomness).map(|()| None)
            }
            Request::CheckDeadline { deadline, randomness } => {
                self.deadline_post(id, PostKind::Check(deadline), deadline, randomness).map(|()| None)
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

    fn pledge(&mut self, count: u32) -> Result<Reply, Refused> {
        let limit = self.config.pledge_limit;
        if count == 0 || count > limit {
            return Err((ErrorCode::BadRequest, format!("cannot pledge {count} sectors; ask for 1 to {limit}")));
        }
        Ok(Reply::Sectors((0..count).map(|_| self.new_sector(None)).collect()))
    }

    fn add_piece(&mut self, data_bytes: u64, digest: [u8; 32], name: String) -> Result<Reply, Refused> {
        if data_bytes == 0 {
            return Err((ErrorCode::EmptyPiece, format!("`{name}` is empty; there is nothing to seal")));
        }
        let size = self.config.sector_size;
        let room = size.bytes() / 128 * 127;
        if data_bytes > room {
            let message = format!(
                "`{name}` has {data_bytes} bytes, a {size} sector holds {room} ({}); split it or use larger sectors",
                ByteSize(room)
            );
            return Err((ErrorCode::PieceTooLarge, message));
        }
        Ok(Reply::Sectors(vec![self.new_sector(Some(PieceData { data_bytes, digest, name }))]))
    }

    fn known(&self, number: u64) -> Result<&Sector, Refused> {
        let unknown = || (ErrorCode::UnknownSector, format!("there is no sector {number}; see `sp-ctl sectors list`"));
        self.sectors.get(&number).ok_or_else(unknown)
    }

    fn proving_sector(&self, number: u64) -> Result<&Sector, Refused> {
        let sector = self.known(number)?;
        if sector.state == SectorState::Proving {
            return Ok(sector);
        }
        let message = format!("sector {number} is in state {}; wait until it is Proving", sector.state);
        Err((ErrorCode::WrongState, message))
    }

    fn unseals(&self, number: u64) -> bool {
        self.tasks_of(number).any(|t| t.kind == TaskKind::Unseal)
    }

    fn unseal(&mut self, number: u64) -> Result<Reply, Refused> {
        let sector = self.proving_sector(number)?;
        if sector.data.is_none() {
            let message = format!("sector {number} is a CC sector: there is no data in it that could be unsealed");
            return Err((ErrorCode::WrongState, message));
        }
        let copy = sector.file(FileKind::Unsealed);
        let there = copy.is_some_and(|f| self.facts.replicas_of(number, f).next().is_some());
        // While the index is away its last word counts.
        if there || (copy.is_some() && !self.facts.connected) {
            return Ok(Reply::Unsealing { ready: true });
        }
        if !self.unseals(number) {
            if let Some(sector) = self.sector_mut(number) {
                sector.drop_files(&[FileKind::Unsealed]);
            }
            self.log(number, "UNS asked for".to_owned(), String::new());
            self.ensure_task(number, TaskKind::Unseal);
        }
        Ok(Reply::Unsealing { ready: false })
    }

    fn release_unsealed(&mut self, number: u64) -> Result<Reply, Refused> {
        self.proving_sector(number)?;
        if self.unseals(number) {
            let message = format!("sector {number} is being unsealed; wait for it or abort it first");
            return Err((ErrorCode::WrongState, message));
        }
        let copies = self.facts.replicas(number).filter(|(id, _)| id.kind == FileKind::Unsealed).count();
        let replicas = u32::try_from(copies).unwrap_or(u32::MAX);
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
        let description = format!("job {id}, task {}, sector {}, running on host {name}", task.kind, task.sector);
        self.log_attempt(id, "aborted", why);
        self.end_attempt(id, why);
        *self.hints.entry(id.task).or_default().here.entry(worker).or_default() += 1;
        self.postpone(id.task, self.config.retry_wait_min_ms, why.to_owned());
        Some(description)
    }

    fn abort_task(&mut self, id: TaskId, why: &str) -> Option<String> {
        let Some(task) = self.tasks.get(&id) else { return self.abort_post(id, why) };
        let (kind, sector) = (task.kind, task.sector);
        self.give_up(id, why);
        let after = if kind == TaskKind::Unseal { "" } else { "; its sector is Failed" };
        Some(format!("job {id}, task {kind}, sector {sector}{after}"))
    }

    fn abort_post(&mut self, task: TaskId, why: &str) -> Option<String> {
        let has = |parts: &[crate::post_job::Part]| parts.iter().any(|p| p.task == task);
        let (id, kind) = self.posts.iter().find(|(_, job)| has(&job.parts)).map(|(id, job)| (*id, job.kind))?;
        self.fail_post(id, ErrorCode::Cancelled, why);
        Some(format!("job {task}, task {}, with every partition of its request", kind.task()))
    }

    // === PoSt ===

    fn has_post_room_left(&self) -> Result<(), Refused> {
        if self.posts.len() < self.config.post_requests_limit {
            return Ok(());
        }
        let message = format!("{} PoSt requests are under way already; wait for one to finish", self.posts.len());
        Err((ErrorCode::Unavailable, message))
    }

    fn deadline_post(
        &mut self,
        id: RequestId,
        kind: PostKind,
        deadline: DeadlineIndex,
        randomness: Randomness,
    ) -> Result<(), Refused> {
        self.has_post_room_left()?;
        if deadline.0 >= DeadlineIndex::COUNT {
            let message = format!("there is no deadline {deadline}; they are 0 to {}", DeadlineIndex::COUNT - 1);
            return Err((ErrorCode::BadRequest, message));
        }
        let partitions = self.deadlines().remove(&deadline).unwrap_or_default();
        let with_sectors = partitions.into_iter().zip(0u32..).filter(|(numbers, _)| !numbers.is_empty());
        let parts: Vec<(u32, Vec<PostSector>)> = with_sectors
            .map(|(numbers, index)| (index, numbers.iter().filter_map(|n| self.post_sector(*n)).collect()))
            .collect();
        if parts.is_empty() {
            let message = format!("no sector is proven at deadline {deadline}; see `sp-ctl proving deadlines`");
            return Err((ErrorCode::NotFound, message));
        }
        self.begin_post(id, kind, randomness, parts);
        Ok(())
    }

    fn winning_post(&mut self, id: RequestId, randomness: Randomness, pick: u64) -> Result<(), Refused> {
        self.has_post_room_left()?;
        let proving: Vec<PostSector> = self.sectors.keys().filter_map(|n| self.post_sector(*n)).collect();
        if proving.is_empty() {
            return Err((ErrorCode::NotFound, "no sector is Proving yet; seal one first".to_owned()));
        }
        let challenged = proving[(pick % proving.len() as u64) as usize];
        self.begin_post(id, PostKind::Winning, randomness, vec![(0, vec![challenged])]);
        Ok(())
    }

    fn post_sector(&self, number: u64) -> Option<PostSector> {
        let sector = self.sectors.get(&number).filter(|s| s.state == SectorState::Proving)?;
        Some((number, sector.comm_r?, sector.seal_proof))
    }
}
