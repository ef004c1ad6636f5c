//! Faulty sectors that an operator has mended: read first, and declared to recover if that works.

use std::collections::{BTreeMap, BTreeSet};

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::proving::call::{ProvingCall, ProvingReply};
use sp_types::{DeadlineIndex, ErrorCode, Randomness};
use tonic::Status;

use super::{Api, unexpected};
use crate::chain::Opening;

impl Api {
    pub(super) async fn on_recover_faults(
        &self,
        request: v1::RecoverFaultsRequest,
    ) -> Result<v1::RecoverFaultsReply, Status> {
        let v1::RecoverFaultsRequest { sectors: asked } = request;
        let (deadlines, _) = self.deadlines().await?;
        let faults = self.faults(deadlines.keys()).await?;
        if let Some(number) = asked.iter().find(|asked| !faults.iter().any(|fault| fault.number == **asked)) {
            let text = format!("sector {number} is not faulty; `sp-ctl proving faults` lists those that are");
            return Err(to_status(ErrorCode::BadRequest, text));
        }
        let mut by_deadline: BTreeMap<u32, Vec<v1::FaultySector>> = BTreeMap::new();
        for fault in faults.into_iter().filter(|fault| asked.is_empty() || asked.contains(&fault.number)) {
            by_deadline.entry(fault.deadline).or_default().push(fault);
        }
        let mut sectors = Vec::new();
        for (index, faults) in by_deadline {
            sectors.extend(self.recover(DeadlineIndex(index), faults).await?);
        }
        Ok(v1::RecoverFaultsReply { sectors })
    }

    async fn recover(
        &self,
        deadline: DeadlineIndex,
        faults: Vec<v1::FaultySector>,
    ) -> Result<Vec<v1::RecoveredSector>, Status> {
        let opening = Opening::next(self.chain.head(), deadline);
        let numbers: BTreeSet<u64> = faults.iter().map(|fault| fault.number).collect();
        let mut problems: BTreeMap<u64, String> =
            numbers.iter().map(|number| (*number, "the scheduler does not have it proven".to_owned())).collect();
        let mut bytes = [0; 32];
        self.env.entropy.fill(&mut bytes);
        let sectors = numbers.into_iter().collect();
        let check = Request::CheckSectors { deadline, sectors, randomness: Randomness::new(bytes) };
        match self.ask(check, self.limits.window).await? {
            Reply::Checked(checked) => {
                problems.extend(checked.into_iter().map(|(_, number, problem)| (number, problem)))
            }
            other => return Err(unexpected(&other)),
        }
        let good: Vec<u64> = problems.iter().filter(|(_, why)| why.is_empty()).map(|(number, _)| *number).collect();
        if !good.is_empty() {
            let declare = ProvingCall::Recover { opening, sectors: good.clone() };
            let refused = match self.chain.prove(declare).await {
                ProvingReply::Accepted => String::new(),
                ProvingReply::Refused { reason } | ProvingReply::Failed { reason } => reason,
                ProvingReply::State(_) | ProvingReply::Election(_) => {
                    "the chain has answered something else".to_owned()
                }
            };
            problems.extend(good.into_iter().map(|number| (number, refused.clone())));
        }
        let sector = |fault: v1::FaultySector| {
            let v1::FaultySector { deadline, partition, number, recovering: _ } = fault;
            let problem = problems.get(&number).cloned().unwrap_or_default();
            v1::RecoveredSector { deadline, partition, number, problem, open_epoch: opening.open.0 }
        };
        Ok(faults.into_iter().map(sector).collect())
    }
}
