//! Carries out the effects of the core once their rows are durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sp_env::{CrashPoint, StopOnDrop, TaskHandle, crash_point};
use sp_net::Env;
use sp_proto::v1;
use sp_sched_core::effect::{ChainCall, Effect, Reply};
use sp_sched_core::event::{Event, RequestId};
use sp_sched_core::model::UnixMs;
use sp_sched_core::proving::call::{ProvingCall, ProvingId, ProvingMatter, ProvingReply};
use sp_types::{AttemptId, ReplicaId, SessionId, WorkerId};
use tokio::sync::{mpsc, oneshot};

use super::index_port::IndexPort;
use super::input::Input;
use super::registry::{Registry, Undelivered};
use crate::chain::Chain;
use crate::verify::{Question, Verifier};
use crate::wire;

/// An election that is so many epochs back is not waited for: a block for it would come too late.
const ELECTIONS: i64 = 16;

/// What a worker is told about leases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseTimes {
    pub(crate) lease_ms: u64,
    pub(crate) heartbeat_ms: u64,
}

/// Everything that effects reach.
pub(super) struct Outputs {
    pub(super) env: Env,
    pub(super) miner: u64,
    pub(super) session: SessionId,
    pub(super) leases: LeaseTimes,
    pub(super) inputs: mpsc::WeakSender<Input>,
    pub(super) verifier: Arc<dyn Verifier>,
    pub(super) chain: Arc<dyn Chain>,
    pub(super) registry: Registry,
    pub(super) index: IndexPort,
    /// Operators who wait for a reply.
    pub(super) waiting: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// When the core wants to be woken.
    pub(super) wake: Option<UnixMs>,
    /// Events that carrying out an effect has caused: the next things to happen.
    pub(super) caused: Vec<Event>,
    /// Questions that the verifier works on; the core may ask again, the verifier need not.
    pub(super) verifying: HashSet<AttemptId>,
    /// Calls that the chain works on, by sector.
    pub(super) calling: HashMap<u64, Calling>,
    /// Calls about proving that the chain works on.
    pub(super) proving: HashMap<ProvingId, CallingToProve>,
    pub(super) last_call: u64,
    pub(super) last_delete: u64,
    /// Deletes that the index works on, each with the number of its newest order.
    pub(super) deleting: BTreeMap<ReplicaId, u64>,
}

/// A call of the chain in progress.
pub(super) struct Calling {
    number: u64,
    call: ChainCall,
    _task: StopOnDrop,
}

/// A call about proving in progress.
pub(super) struct CallingToProve {
    number: u64,
    call: ProvingCall,
    _task: StopOnDrop,
}

impl Outputs {
    /// Carries one effect out. Nothing here waits.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            // Durable already.
            Effect::Persist(_) => {}
            Effect::Reply(id, reply) => {
                crash_point(CrashPoint::SchedulerBeforeReply);
                if let Some(answer) = self.waiting.remove(&id) {
                    // The operator may have hung up.
                    let _ = answer.send(reply);
                }
            }
            Effect::Registered { worker, session, keep } => {
                crash_point(CrashPoint::SchedulerBeforeRegistered);
                let LeaseTimes { lease_ms, heartbeat_ms } = self.leases;
                if self.registry.is_session(&worker, &session) {
                    self.tell(worker, wire::registered(&keep, lease_ms, heartbeat_ms, &self.session));
                }
            }
            Effect::Assign { worker, assignment } => {
                crash_point(CrashPoint::SchedulerBeforeAssign);
                self.tell(worker, wire::assign(self.miner, *assignment));
            }
            Effect::Start { worker, attempt, gpus, group } => {
                crash_point(CrashPoint::SchedulerBeforeStart);
                self.tell(worker, wire::start(attempt, gpus, group));
            }
            Effect::Stop { worker } => self.tell(worker, wire::stop()),
            Effect::Cancel { worker, attempt, reason } => self.tell(worker, wire::cancel(attempt, reason)),
            Effect::Yield { worker, attempt, reason } => {
                tracing::warn!(%worker, %attempt, reason, "sealing makes way for a PoSt");
                self.tell(worker, wire::yield_attempt(attempt, reason));
            }
            Effect::AckResult { worker, attempt, refused, counting } => {
                crash_point(CrashPoint::SchedulerBeforeAck);
                self.tell(worker, wire::result_ack(attempt, refused, counting));
            }
            Effect::Reserve { attempt, sector, outputs, lock, presented } => {
                crash_point(CrashPoint::SchedulerBeforeReserve);
                self.tell_index(wire::reserve(self.miner, attempt, sector, outputs, lock, presented));
            }
            Effect::Presented => self.tell_index(wire::presented()),
            Effect::Fence(row) => {
                crash_point(CrashPoint::SchedulerBeforeFence);
                self.tell_index(wire::fence(row));
            }
            Effect::Release(attempt) => self.tell_index(wire::release(attempt)),
            Effect::DeleteReplica { replica, reason } => {
                crash_point(CrashPoint::SchedulerBeforeDelete);
                self.last_delete += 1;
                self.deleting.insert(replica.clone(), self.last_delete);
                self.tell_index(wire::delete_replica(self.last_delete, replica, reason));
            }
            Effect::SweepWork { worker, attempts } => self.tell(worker, wire::sweep_work(&attempts)),
            Effect::VerifySeal(seal) => {
                crash_point(CrashPoint::SchedulerBeforeVerify);
                self.verify(wire::verify_seal(self.miner, *seal));
            }
            Effect::VerifyUpdate(update) => self.verify(wire::verify_update(*update)),
            Effect::VerifyPost(post) => self.verify(wire::verify_post(self.miner, *post)),
            Effect::Chain { sector, call } => self.call_chain(sector, call),
            Effect::Proving(call) => {
                if matches!(call, ProvingCall::Submit(_)) {
                    crash_point(CrashPoint::SchedulerBeforeSubmit);
                }
                self.call_to_prove(call);
            }
            Effect::Alert { message } => tracing::error!(message, "alert"),
            Effect::WakeAt(at) => self.wake = Some(at),
        }
    }

    /// Hands a command to a worker; a stream that is lost by that is an event.
    pub(super) fn tell(&mut self, worker: WorkerId, command: v1::WorkerCommand) {
        if let Err(undelivered) = self.registry.send(&worker, command) {
            self.note_undelivered(worker, undelivered);
        }
    }

    pub(super) fn note_undelivered(&mut self, worker: WorkerId, undelivered: Undelivered) {
        match undelivered {
            Undelivered::NotConnected => tracing::debug!(%worker, "a command waits until the worker is back"),
            Undelivered::Dropped { session, reason } => {
                tracing::warn!(%worker, reason, "worker disconnected");
                self.caused.push(Event::WorkerDisconnected { worker, session, reason });
            }
        }
    }

    fn tell_index(&mut self, command: v1::IndexSchedulerMessage) {
        if !self.index.send(command) {
            self.caused.push(Event::IndexLost);
        }
    }

    fn verify(&mut self, (attempt, question): (AttemptId, Question)) {
        if !self.verifying.insert(attempt) {
            return;
        }
        let answer = self.verifier.verify(question);
        // Nobody stops it: the verifier bounds its own time.
        drop(self.later("verify", async move { Input::Verified { attempt, verdict: answer.await } }));
    }

    fn call_chain(&mut self, sector: u64, call: ChainCall) {
        if self.calling.get(&sector).is_some_and(|calling| calling.call == call) {
            return;
        }
        self.last_call += 1;
        let number = self.last_call;
        let reply = self.chain.call(sector, call.clone());
        let task = StopOnDrop(
            self.later("chain call", async move { Input::ChainAnswered { sector, call: number, reply: reply.await } }),
        );
        // A newer call of a sector makes the older one pointless: dropping it stops it.
        self.calling.insert(sector, Calling { number, call, _task: task });
    }

    fn call_to_prove(&mut self, call: ProvingCall) {
        let id = call.id();
        if let ProvingCall::Elect(epoch) = call {
            // A chain that never answers must not leave a call behind for every epoch.
            let stale = |id: &ProvingId| id.about == ProvingMatter::Election && id.open.0 < epoch.0 - ELECTIONS;
            self.proving.retain(|id, _| !stale(id));
        }
        if self.proving.get(&id).is_some_and(|calling| calling.call == call) {
            return;
        }
        self.last_call += 1;
        let number = self.last_call;
        let reply = self.chain.prove(call.clone());
        let answer = async move { Input::ProvingAnswered { id, call: number, reply: reply.await } };
        let task = StopOnDrop(self.later("proving call", answer));
        self.proving.insert(id, CallingToProve { number, call, _task: task });
    }

    /// True for the newest call of its kind.
    pub(super) fn proving_answered(&mut self, id: ProvingId, call: u64, reply: &ProvingReply) -> bool {
        let Some(calling) = self.proving.get(&id).filter(|calling| calling.number == call) else { return false };
        if let ProvingCall::Submit(submission) = &calling.call {
            let (deadline, partition) = (submission.opening.index, submission.partition);
            let skipped = &submission.skipped;
            match reply {
                ProvingReply::Accepted => tracing::info!(%deadline, partition, ?skipped, "the chain has the proof"),
                other => tracing::warn!(%deadline, partition, ?other, "the chain has not taken the proof"),
            }
        }
        self.proving.remove(&id);
        true
    }

    /// What an answered delete was about; none when another index was asked, or a newer order has replaced it.
    pub(super) fn delete_answered(&mut self, request: u64) -> Option<ReplicaId> {
        let id = self.deleting.iter().find(|(_, number)| **number == request).map(|(id, _)| id.clone())?;
        self.deleting.remove(&id);
        Some(id)
    }

    /// The event of a chain answer; none when a newer call has replaced its own.
    pub(super) fn chain_answered(&mut self, sector: u64, call: u64) -> bool {
        let current = self.calling.get(&sector).is_some_and(|calling| calling.number == call);
        if current {
            self.calling.remove(&sector);
        }
        current
    }

    /// Runs something that takes time beside the driver; its outcome comes back as an input.
    fn later(&self, name: &'static str, work: impl Future<Output = Input> + Send + 'static) -> Box<dyn TaskHandle> {
        let inputs = self.inputs.clone();
        let run = async move {
            let input = work.await;
            if let Some(inputs) = inputs.upgrade() {
                // Fails only when the driver has ended.
                let _ = inputs.send(input).await;
            }
        };
        self.env.tasks.spawn(name, Box::pin(run))
    }
}
