//! Which worker gets a task, and for every other one the reason why not.

use std::collections::BTreeSet;

use sp_types::{ByteSize, ErrorCode, FileKind, RegisteredSealProof, StoreId, TaskId, TaskKind, WorkerId};

use crate::account::Books;
use crate::attempts::LOST_INPUTS;
use crate::core::Core;
use crate::event::StoreFact;
use crate::model::{OutputSlot, Sector, SectorFile, Task};
use crate::pipeline::output_kinds;
use crate::workers::Worker;

/// A worker that could take the task now.
struct Candidate {
    worker: WorkerId,
    outputs: Vec<OutputSlot>,
    /// Failures of the task on this worker.
    failures: u32,
    builtin: bool,
    /// Bytes of inputs that it would have to fetch.
    missing_bytes: u64,
    utilisation: f64,
}

/// What a task needs in files, found out once for all workers.
struct Need {
    sector: u64,
    kind: TaskKind,
    proof: RegisteredSealProof,
    inputs: Vec<(SectorFile, BTreeSet<WorkerId>)>,
}

impl Need {
    /// C1, FIN and FRU never move data: they run where it lies. PR1 runs where the update lies.
    fn stays(&self, kind: FileKind) -> bool {
        match self.kind {
            TaskKind::Commit1 | TaskKind::Finalize | TaskKind::FinalizeReplicaUpdate => true,
            TaskKind::ProveReplicaUpdate1 => matches!(kind, FileKind::Update | FileKind::UpdateCache),
            _ => false,
        }
    }

    fn missing(&self, worker: &WorkerId) -> impl Iterator<Item = &SectorFile> {
        self.inputs.iter().filter(|(_, holders)| !holders.contains(worker)).map(|(file, _)| file)
    }
}

impl Core {
    /// Walks the queue in order and gives away what can be given away.
    pub(crate) fn place_all(&mut self) {
        let queue = self.queue();
        if queue.is_empty() {
            return;
        }
        let mut books = self.books();
        for id in queue {
            self.place(id, &mut books);
        }
    }

    fn place(&mut self, id: TaskId, books: &mut Books) {
        let Some(task) = self.tasks.get(&id) else { return };
        if !self.facts.connected {
            return;
        }
        let need = match self.need(task) {
            Ok(need) => need,
            Err(reason) => return self.wait_for_inputs(id, reason),
        };
        let all = self.workers.values();
        let candidates = all.filter_map(|w| self.judge(task, &need, w, books).ok());
        let best = candidates.min_by(|a, b| {
            let key = |c: &Candidate| (c.failures, c.builtin, c.missing_bytes);
            key(a).cmp(&key(b)).then(a.utilisation.total_cmp(&b.utilisation)).then(a.worker.cmp(&b.worker))
        });
        self.hints.entry(id).or_default().inputs_missing_since = None;
        let Some(best) = best else { return };
        let Some(worker) = self.workers.get(&best.worker) else { return };
        let host = worker.reg.host.clone();
        self.enter(books, worker, need.kind, need.proof);
        best.outputs.iter().for_each(|slot| books.ask(slot));
        let fitted = self.host_fits(&host);
        self.begin_attempt(id, &best.worker, best.outputs);
        let fits = !fitted || self.host_fits(&host);
        sp_invariants::check!(sp_invariants::Law::L4, fits, "task {id} on host {host}");
    }

    /// For a queued task: why it waits. One line for what concerns every worker, else one per worker: `name: reason`.
    pub(crate) fn why_queued(&self, task: &Task, books: &Books) -> Vec<String> {
        if task.not_before > self.now {
            let wait_s = task.not_before.since(self.now).div_ceil(1_000);
            return vec![format!("waits {wait_s} s after: {}", task.last_error)];
        }
        if !self.facts.connected {
            return vec!["index away: new sealing placements wait".to_owned()];
        }
        let need = match self.need(task) {
            Ok(need) => need,
            Err(reason) => return vec![reason],
        };
        let sealing = self.workers.values().filter(|w| w.class() == task.kind.class());
        let reasons: Vec<String> = sealing
            .filter_map(|w| self.judge(task, &need, w, books).err().map(|reason| format!("{}: {reason}", w.reg.name)))
            .collect();
        if self.workers.values().all(|w| w.class() != task.kind.class()) {
            return vec!["no sealing worker has registered; start one with `sp-sealing-worker run`".to_owned()];
        }
        reasons
    }

    /// What the task reads, or why nobody can read it now.
    fn need(&self, task: &Task) -> Result<Need, String> {
        let sector = self.sectors.get(&task.sector).ok_or("its sector is gone")?;
        let files = self.inputs_of(sector, task.kind).map_err(|kind| format!("the sector has no {kind} file"))?;
        if let Some(file) = files.iter().find(|f| !self.reachable(sector.number, f)) {
            return Err(format!("nobody who is connected has its {} file", file.kind));
        }
        let with_holders = |file: SectorFile| {
            let holders = self.holders(sector.number, &file);
            (file, holders)
        };
        let inputs = files.into_iter().map(with_holders).collect();
        Ok(Need { sector: sector.number, kind: task.kind, proof: sector.seal_proof, inputs })
    }

    /// Inputs that stay away for too long are lost: the phase that makes them has to run again, if there is one.
    fn wait_for_inputs(&mut self, id: TaskId, reason: String) {
        let now = self.now;
        let hints = self.hints.entry(id).or_default();
        let since = *hints.inputs_missing_since.get_or_insert(now);
        if now < since.plus(self.config.input_wait_ms) {
            return;
        }
        hints.inputs_missing_since = None;
        hints.input_failures += LOST_INPUTS;
        let waited_s = now.since(since) / 1_000;
        self.charge(id, format!("{}: {reason} for {waited_s} s", ErrorCode::FileMissing));
    }

    fn judge(&self, task: &Task, need: &Need, worker: &Worker, books: &Books) -> Result<Candidate, String> {
        let reg = &worker.reg;
        if !worker.accepts(task.kind) {
            return Err(format!("does not take {}", task.kind));
        }
        let away = worker.away_reason(self.now, self.config.lease_ms);
        if !away.is_empty() {
            return Err(away);
        }
        if task.attempts.iter().any(|a| a.worker == reg.worker) {
            return Err("had it when its lease was lost".to_owned());
        }
        let missing: Vec<&SectorFile> = need.missing(&reg.worker).collect();
        if missing.iter().any(|f| need.stays(f.kind)) {
            return Err(format!("does not hold {}", names(missing.iter().map(|f| f.kind))));
        }
        let sector = self.sectors.get(&task.sector).ok_or("its sector is gone")?;
        books.has_room(worker, task.kind, sector.seal_proof)?;
        let missing_bytes = missing.iter().map(|f| f.size_bytes).sum();
        Ok(Candidate {
            worker: reg.worker.clone(),
            outputs: self.choose_outputs(sector, need, &reg.worker, missing_bytes, books)?,
            failures: self.hints.get(&task.id).and_then(|h| h.here.get(&reg.worker)).copied().unwrap_or(0),
            builtin: reg.builtin,
            missing_bytes,
            utilisation: books.utilisation(worker),
        })
    }

    // === outputs ===

    /// One store of the worker for everything that the task makes, as Lotus has it.
    fn choose_outputs(
        &self,
        sector: &Sector,
        need: &Need,
        worker: &WorkerId,
        fetched_bytes: u64,
        books: &Books,
    ) -> Result<Vec<OutputSlot>, String> {
        let kinds = output_kinds(need.kind);
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let finalize = matches!(need.kind, TaskKind::Finalize | TaskKind::FinalizeReplicaUpdate);
        let bytes = |kind: FileKind| match finalize {
            true => kind.finalized_bytes(need.proof.size.bytes()),
            false => kind.sealing_bytes(need.proof.size.bytes()),
        };
        // What has to be fetched lies in the work directory of the same store meanwhile.
        let total = kinds.iter().map(|k| bytes(*k)).sum::<u64>() + fetched_bytes;
        let own: Vec<&StoreFact> = self.facts.stores().filter(|s| s.held_by(worker)).collect();
        if own.is_empty() {
            return Err("has no store".to_owned());
        }
        let usable = |s: &&StoreFact| match finalize {
            true => self.holds_all(need, &s.id),
            false => s.can_seal && kinds.iter().all(|k| s.allows(*k)),
        };
        let healthy: Vec<&StoreFact> = own.into_iter().filter(usable).filter(|s| s.healthy).collect();
        if healthy.is_empty() {
            return Err(format!("no healthy store that takes {}", names(kinds.iter().copied())));
        }
        let free = |s: &StoreFact| s.available_bytes.saturating_sub(books.asked_bytes(&s.id));
        let roomy: Vec<&StoreFact> = healthy.into_iter().filter(|s| free(s) >= total).collect();
        if roomy.is_empty() {
            return Err(format!("no store with {} free for {}", ByteSize(total), names(kinds.iter().copied())));
        }
        let clean = roomy.into_iter().filter(|s| !self.has_leftover(sector, kinds, &s.id));
        // Available times weight, as in Lotus; the id makes it a total order.
        let best = clean.max_by_key(|s| (u128::from(free(s)) * u128::from(s.weight), free(s), s.id.clone()));
        let store = best.ok_or_else(|| {
            format!("old {} of the sector is still being deleted there", names(kinds.iter().copied()))
        })?;
        let slots = kinds.iter().enumerate().map(|(at, kind)| OutputSlot {
            kind: *kind,
            store: store.id.clone(),
            reserved_bytes: bytes(*kind) + if at == 0 { fetched_bytes } else { 0 },
        });
        Ok(slots.collect())
    }

    fn holds_all(&self, need: &Need, store: &StoreId) -> bool {
        need.inputs.iter().all(|(file, _)| self.facts.replicas_of(need.sector, file).any(|(id, _)| id.store == *store))
    }

    /// A replica there that does not count would be in the way: a delete that names it may still be under way.
    fn has_leftover(&self, sector: &Sector, kinds: &[FileKind], store: &StoreId) -> bool {
        let here = |id: &sp_types::ReplicaId| id.store == *store && kinds.contains(&id.kind);
        let unknown = |id: &sp_types::ReplicaId| sector.file(id.kind).is_none_or(|f| f.root != id.root);
        self.facts.replicas(sector.number).any(|(id, _)| here(id) && unknown(id))
    }
}

fn names(kinds: impl IntoIterator<Item = FileKind>) -> String {
    kinds.into_iter().map(FileKind::name).collect::<Vec<_>>().join(", ")
}
