//! The PoSt scheduler: every partition at once on different workers, the next worker at the first trouble, and no proof
//! that the verifier has not seen. It never waits for the index and never queues behind sealing. What could be late is
//! given to a second worker, and the first right answer wins.

use sp_types::{AttemptId, GpuShare, WorkerId};

use crate::account::Use;
use crate::core::Core;
use crate::effect::{Assignment, Effect, InputFile, ReadLimits, TaskParams};
use crate::model::UnixMs;
use crate::observe::Observation;
use crate::proving::call::PostSector;
use crate::proving::job::{Part, PostId, PostJob, PostKind, Try};
use crate::proving::loads::Loads;
use crate::workers::Worker;

/// Which partition of which PoSt.
pub(crate) type Place = (PostId, usize);

impl Core {
    /// Begins a PoSt whose partitions are known.
    pub(crate) fn begin_post(
        &mut self,
        id: PostId,
        kind: PostKind,
        randomness: sp_types::Randomness,
        parts: Vec<(u32, Vec<PostSector>)>,
    ) {
        let parts = parts.into_iter().map(|(index, sectors)| Part::new(self.next_task_id(), index, sectors)).collect();
        let limit_ms = match id {
            PostId::Won(_) => self.config.win_limit_ms,
            _ => kind.limit_ms(&self.config),
        };
        let until = self.now.plus(limit_ms);
        self.posts.insert(id, PostJob { kind, randomness, started: self.now, until, alerted: false, parts });
        self.replan = true;
    }

    /// Gives every idle partition to the best worker there is: winning first, then what closes first, then the oldest
    /// request. Only workers that
    /// nobody waits for are second ones.
    pub(crate) fn drive_posts(&mut self) {
        let mut order: Vec<PostId> = self.posts.keys().copied().collect();
        order.sort_by_key(|id| (self.posts.get(id).map(|j| j.kind != PostKind::Winning), *id));
        self.prove_what_was_read();
        self.take_from_the_cordoned();
        let parts = |id: &PostId| self.posts.get(id).map_or(0, |job| job.parts.len());
        let places: Vec<Place> = order.iter().flat_map(|id| (0..parts(id)).map(|at| (*id, at))).collect();
        let mut loads = self.post_loads();
        places.iter().for_each(|place| self.drive_part(*place, &mut loads));
        self.hand_over_what_is_read(&mut loads);
        places.iter().for_each(|place| self.race_part(*place, &mut loads));
        self.rehearse();
    }

    pub(crate) fn part(&self, (id, at): Place) -> Option<(&PostJob, &Part)> {
        let job = self.posts.get(&id)?;
        Some((job, job.parts.get(at)?))
    }

    pub(crate) fn part_mut(&mut self, (id, at): Place) -> Option<&mut Part> {
        self.posts.get_mut(&id)?.parts.get_mut(at)
    }

    pub(crate) fn place_of(&self, attempt: AttemptId) -> Option<Place> {
        let has_it = |p: &Part| p.find(attempt).is_some();
        self.posts.iter().find_map(|(id, job)| job.parts.iter().position(has_it).map(|at| (*id, at)))
    }

    // === choosing a worker ===

    fn drive_part(&mut self, place: Place, loads: &mut Loads) {
        let now = self.now;
        let Some((_, part)) = self.part(place) else { return };
        if !part.waits() {
            return;
        }
        match self.choose_prover(place, loads) {
            // Trying the same worker again at once would only repeat its failure.
            Choice::Give(worker) if part.failures_on(&worker) > 0 && now < part.again_at => {}
            Choice::Give(worker) => self.give(place, worker, loads),
            Choice::AllBusy => {
                if let Some(part) = self.part_mut(place) {
                    part.nobody_since = None;
                }
                // Whoever is let go is free at once.
                if self.make_room_for(place) {
                    *loads = self.post_loads();
                    if let Choice::Give(worker) = self.choose_prover(place, loads) {
                        return self.give(place, worker, loads);
                    }
                }
                if let Some((worker, gpus)) = self.choose_reader(place, loads) {
                    loads.add(&worker);
                    self.begin_try(place, &worker, gpus, true);
                }
            }
            Choice::Nobody => {
                if let Some(part) = self.part_mut(place) {
                    part.nobody_since.get_or_insert(now);
                }
            }
        }
    }

    pub(super) fn give(&mut self, place: Place, worker: WorkerId, loads: &mut Loads) {
        if let Some(kind) = self.posts.get(&place.0).map(|job| job.kind.task()) {
            self.count_try(&worker, kind, loads);
        }
        self.start_try(place, &worker);
    }

    /// Rehearsals are for idle time. Reading faulty sectors has time; what is to be proven has not. True: some of it was
    /// stopped.
    fn make_room_for(&mut self, (id, _): Place) -> bool {
        let before = self.posts.len();
        if !id.is_rehearsal() {
            self.stop_rehearsals(|_| true, "its worker is needed");
        }
        self.stop_recovery_for(id);
        self.posts.len() < before
    }

    fn stop_recovery_for(&mut self, id: PostId) {
        if matches!(id, PostId::Recovery(_)) || !self.posts.get(&id).is_some_and(PostJob::is_urgent) {
            return;
        }
        let checks = self.posts.keys().filter(|id| matches!(id, PostId::Recovery(_)));
        for id in checks.copied().collect::<Vec<_>>() {
            self.drop_post(id, "its worker has something to prove");
            if let PostId::Recovery(open) = id {
                self.check_lost_again(open);
            }
        }
    }

    /// Those who are asked first for a partition, busy or not.
    pub(super) fn able_provers(&self, place: Place) -> Vec<&Worker> {
        let Some((job, part)) = self.part(place) else { return Vec::new() };
        let kind = job.kind.task();
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        let there = self.workers.values().filter(|w| w.accepts(kind) && w.available(now, lease_ms));
        let refused = |w: &Worker| part.refused.contains(&w.reg.worker);
        let there: Vec<&Worker> = there.filter(|w| place.0.is_for_the_chain() || !refused(w)).collect();
        // The built-in worker proves only while nobody else can, a cordoned one only while not even that is there, and
        // whoever has failed twice only rather than nobody: a missed proof costs more than an operator's wish. What was
        // wrong with a proof that was refused may be over, so for the chain even its worker tries again.
        let reluctance = |w: &Worker| (refused(w), !part.trusts(&w.reg.worker), w.row.cordoned, w.reg.builtin);
        let least = there.iter().map(|w| reluctance(w)).min();
        there.into_iter().filter(|w| Some(reluctance(w)) == least).collect()
    }

    fn choose_prover(&self, place: Place, loads: &mut Loads) -> Choice {
        let Some((job, part)) = self.part(place) else { return Choice::Nobody };
        let kind = job.kind.task();
        let like_any = part.failed_on.is_empty() && part.refused.is_empty();
        if like_any && loads.busy.contains(&kind) {
            return Choice::AllBusy;
        }
        let mut candidates = self.able_provers(place);
        let nobody = candidates.is_empty();
        candidates.retain(|w| self.has_room(w, kind, loads));
        let rank = |w: &&Worker| (part.failures_on(&w.reg.worker), loads.of(&w.reg.worker));
        match candidates.into_iter().min_by(|a, b| (rank(a), &a.reg.worker).cmp(&(rank(b), &b.reg.worker))) {
            Some(worker) => Choice::Give(worker.reg.worker.clone()),
            None if nobody => Choice::Nobody,
            None => {
                // Nobody gets more room by what is given away.
                loads.busy.extend(like_any.then_some(kind));
                Choice::AllBusy
            }
        }
    }

    /// A second worker for what could be late: on another host if there is one. The built-in worker proves only while no
    /// other can, so it is none.
    fn race_part(&mut self, place: Place, loads: &mut Loads) {
        let Some((job, part)) = self.part(place) else { return };
        let [first] = &part.tries[..] else { return };
        if first.verifying.is_some() || self.raced_from(job, first).is_none_or(|from| from > self.now) {
            return;
        }
        let (kind, now, lease_ms) = (job.kind.task(), self.now, self.config.lease_ms);
        let able = |w: &&Worker| w.accepts(kind) && w.available(now, lease_ms) && !w.reg.builtin && !w.row.cordoned;
        let free = |w: &&Worker| w.reg.worker != first.worker && loads.of(&w.reg.worker) == 0;
        let has_failed = |w: &Worker| part.failures_on(&w.reg.worker) > 0 || !part.trusts(&w.reg.worker);
        // For the chain whoever has failed is asked once more rather than nobody, though not at once.
        let again = place.0.is_for_the_chain() && part.again_at <= now;
        let fit = |w: &&Worker| again || !has_failed(w);
        let second = self.workers.values().filter(able).filter(free).filter(fit);
        let second = second.min_by_key(|w| (has_failed(w), w.reg.host == first.host, w.reg.worker.clone()));
        match second.map(|w| w.reg.worker.clone()) {
            Some(worker) => self.give(place, worker, loads),
            None => self.stop_rehearsals(|_| true, "its worker is needed"),
        }
    }

    /// From when on a second worker is tried: at once for a winning PoSt, for a window PoSt once it has taken longer than
    /// ever there, or once what is left is less than twice what it takes at the worst. None: never.
    pub(crate) fn raced_from(&self, job: &PostJob, first: &Try) -> Option<UnixMs> {
        let (kind, host) = (job.kind.task(), &first.host);
        let worst_ms = self.post_ms(kind, host);
        match job.kind {
            PostKind::Winning => Some(first.since),
            PostKind::Window(_) => {
                let little_left = UnixMs(Self::due_at(job).0.saturating_sub(worst_ms.saturating_mul(2)));
                let measured = self.learned.duration(kind, self.config.sector_size, host).is_some();
                let outlasted =
                    Some(first).filter(|first| measured && !first.ahead).map(|first| first.since.plus(worst_ms));
                Some(outlasted.map_or(little_left, |at| at.min(little_left)))
            }
            PostKind::Check(_) | PostKind::Rehearsal(_) => None,
        }
    }

    pub(crate) fn post_load(&self, worker: &WorkerId) -> usize {
        self.posts.values().flat_map(PostJob::given).filter(|(_, run)| run.worker == *worker).count()
    }

    pub(super) fn start_try(&mut self, place: Place, worker: &WorkerId) {
        let Some(host) = self.workers.get(worker).map(|w| w.reg.host.clone()) else { return };
        let Some((job, _)) = self.part(place) else { return };
        let kind = job.kind.task();
        let Some(row) = self.workers.get(worker).map(|w| w.rows.row(kind, self.config.sector_size)) else {
            return;
        };
        let gpus = self.give_gpus_to_post(worker, &row);
        if let Some(entry) = self.hosts.get_mut(&host) {
            // The next partition of this step looks at it before the host is summed up.
            entry.gpus.add(Use::Proving, &gpus);
        }
        self.begin_try(place, worker, gpus, false);
    }

    fn begin_try(&mut self, place: Place, worker: &WorkerId, gpus: Vec<GpuShare>, ahead: bool) {
        let now = self.now;
        let Some(host) = self.workers.get(worker).map(|w| w.reg.host.clone()) else { return };
        let Some((job, part)) = self.part(place) else { return };
        let (kind, ready) = (job.kind.task(), part.again_at.max(job.started));
        self.observed.push(Observation::Waited { kind, ms: now.since(ready) });
        let Some(part) = self.part_mut(place) else { return };
        part.last_number += 1;
        part.nobody_since = None;
        let attempt = AttemptId { task: part.task, number: part.last_number };
        let worker_id = worker.clone();
        let on = host.clone();
        let index = part.index;
        part.tries.push(Try {
            attempt,
            worker: worker_id,
            host,
            gpus: gpus.clone(),
            since: now,
            ahead,
            progress: None,
            verifying: None,
        });
        self.note_part(place.0, index);
        self.touch_host(&on);
        if let Some(assignment) = self.post_assignment(place, attempt, worker, gpus) {
            self.out.push(Effect::Assign { worker: worker.clone(), assignment: Box::new(assignment) });
        }
    }

    pub(super) fn post_assignment(
        &self,
        place: Place,
        attempt: AttemptId,
        worker: &WorkerId,
        gpus: Vec<GpuShare>,
    ) -> Option<Assignment> {
        let (job, part) = self.part(place)?;
        let (randomness, sectors, first) = (job.randomness, part.sectors.clone(), *part.sectors.first()?);
        let (one_ms, at_once) = (self.config.read_timeout_ms, self.config.parallel_reads);
        let reads = ReadLimits { one_ms, all_ms: self.reads_ms(job, self.now), at_once };
        let params = match job.kind {
            PostKind::Window(deadline) | PostKind::Rehearsal(deadline) => {
                TaskParams::WindowPost { randomness, deadline: deadline.0, partition: part.index, sectors, reads }
            }
            PostKind::Winning => TaskParams::WinningPost { randomness, sector: first, read_timeout_ms: one_ms },
            PostKind::Check(_) => TaskParams::Check { randomness, sectors, reads },
        };
        Some(Assignment {
            attempt,
            task: job.kind.task(),
            sector: first.0,
            origin: None,
            seal_proof: first.2,
            inputs: part
                .sectors
                .iter()
                .flat_map(|(number, comm_r, _)| self.post_inputs(*number, *comm_r, worker))
                .collect(),
            outputs: Vec::new(),
            params,
            time_limit_ms: self.try_limit_ms(job, part.find(attempt)?),
            hold: false,
            group: Vec::new(),
            gpus,
        })
    }

    fn post_inputs(&self, number: u64, comm_r: sp_types::Commitment, worker: &WorkerId) -> Vec<InputFile> {
        let proven = self.sectors.get(&number).into_iter().flat_map(|s| s.proving_files(comm_r));
        let input = |f: &crate::model::SectorFile| {
            let sources = self.sources_or_everyone(number, f, Some(worker));
            InputFile { sector: number, kind: f.kind, root: f.root, size_bytes: f.size_bytes, sources }
        };
        proven.map(input).collect()
    }
}

enum Choice {
    Give(WorkerId),
    AllBusy,
    Nobody,
}
