//! Scrubs: the order goes to the workers that have the stores, and what they say comes back. Nothing of it is kept here.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sp_net::status::{message_of, to_status};
use sp_proto::v1::{self, ScrubAction};
use sp_sched_core::Core;
use sp_sched_core::model::Sector;
use sp_types::ErrorCode;
use tonic::Status;

use super::Api;
use crate::driver::{StoreAnswer, StoreOrder};

/// Results in one reply, of all workers together: with the longest reasons below the limit on messages.
const RESULTS_MAX: usize = 5000;

/// Sectors whose commitments are told to one worker: far below the limit on messages. Of others only the trees are
/// compared.
const COMMITMENTS_MAX: usize = 15_000;

impl Api {
    pub(super) async fn on_scrub_storage(
        &self,
        request: v1::ScrubStorageRequest,
    ) -> Result<v1::ScrubStorageReply, Status> {
        let v1::ScrubStorageRequest { worker, stores, scrub } = request;
        let scrub = scrub.ok_or_else(|| to_status(ErrorCode::BadRequest, "field `scrub` is missing"))?;
        let one = !worker.is_empty() || !stores.is_empty();
        let asked = together(self.who_has(worker, stores).await?);
        let results_max = RESULTS_MAX / asked.len().max(1);
        // All at once: a worker that is slow to answer holds up none of the others.
        let answers = join_all(asked.into_iter().map(|(worker, stores)| self.scrub_on(worker, stores, &scrub))).await;
        let mut reply = v1::ScrubStorageReply::default();
        for (worker, answer) in answers {
            match answer {
                Ok(scrubs) => reply.scrubs.extend(
                    clipped(scrubs, results_max)
                        .into_iter()
                        .map(|scrub| v1::WorkerScrub { worker: worker.clone(), scrub: Some(scrub) }),
                ),
                Err(status) if one => return Err(status),
                Err(status) => reply.silent.push(format!("{worker}: {}", message_of(&status))),
            }
        }
        Ok(reply)
    }

    async fn scrub_on(
        &self,
        worker: String,
        stores: Vec<String>,
        scrub: &v1::ScrubStores,
    ) -> (String, Result<Vec<v1::StoreScrub>, Status>) {
        let answer = async {
            let commitments = match scrub.deep && scrub.action() == ScrubAction::Start {
                true => self.commitments(&worker).await?,
                false => vec![],
            };
            let order = v1::ScrubStores { stores, commitments, ..scrub.clone() };
            match self.order(worker.clone(), StoreOrder::Scrub(order)).await? {
                StoreAnswer::Scrubs(scrubs) => Ok(scrubs),
                StoreAnswer::Changes(_) => Err(to_status(ErrorCode::Internal, "the worker answered beside the order")),
            }
        };
        let answer = answer.await;
        (worker, answer)
    }

    /// What the files of sectors on the stores of a worker must come to. Of a worker that is named by its name, or has no
    /// stores yet, it is that of all sectors.
    async fn commitments(&self, worker: &str) -> Result<Vec<v1::SectorCommitments>, Status> {
        let of_worker = |fact: &v1::StoreFact| fact.holders.iter().any(|holder| holder.worker_id == worker);
        let held = self.index.stores.list().into_iter().filter(of_worker);
        let stores: BTreeSet<String> = held.filter_map(|fact| Some(fact.store?.store)).collect();
        let miner = self.about.miner;
        let look = move |core: &Core, _| {
            let here = |sector: &&Sector| {
                let mut replicas = core.replicas_of(sector.number).into_iter();
                stores.is_empty() || replicas.any(|replica| stores.contains(replica.id.store.as_str()))
            };
            let known = core.sectors().filter(|sector| sector.comm_d.is_some() || sector.comm_r.is_some());
            known.filter(here).take(COMMITMENTS_MAX).map(|sector| commitments_of(miner, sector)).collect()
        };
        self.look(look).await
    }
}

fn commitments_of(miner: u64, sector: &Sector) -> v1::SectorCommitments {
    let update = sector.update.as_ref();
    let comm_d = [sector.comm_d, update.and_then(|update| update.comm_d)];
    let comm_r = [sector.comm_r, update.and_then(|update| update.comm_r)];
    let wire = |known: [Option<sp_types::Commitment>; 2]| known.into_iter().flatten().map(|c| c.0.to_vec()).collect();
    v1::SectorCommitments { miner, sector: sector.number, comm_d: wire(comm_d), comm_r: wire(comm_r) }
}

/// One order for each worker: stores that were named one by one may belong to the same.
fn together(asked: Vec<(String, Vec<String>)>) -> Vec<(String, Vec<String>)> {
    let mut by_worker: Vec<(String, Vec<String>)> = Vec::new();
    for (worker, stores) in asked {
        match by_worker.iter_mut().find(|(known, _)| *known == worker) {
            Some((_, known)) => known.extend(stores),
            None => by_worker.push((worker, stores)),
        }
    }
    by_worker
}

/// With so many results at most; faults come first in each.
fn clipped(mut scrubs: Vec<v1::StoreScrub>, results_max: usize) -> Vec<v1::StoreScrub> {
    let mut left = results_max;
    for scrub in &mut scrubs {
        scrub.results.truncate(left);
        left -= scrub.results.len();
    }
    scrubs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_of_one_worker_are_one_order_and_a_reply_has_a_bound() {
        let asked = [("a", "1"), ("b", "2"), ("a", "3")].map(|(worker, store)| (worker.into(), vec![store.into()]));
        let expected = vec![("a".to_owned(), vec!["1".to_owned(), "3".into()]), ("b".into(), vec!["2".into()])];
        assert_eq!(together(asked.to_vec()), expected);
        let scrub = v1::StoreScrub { results: vec![v1::ScrubResult::default(); 3], ..Default::default() };
        let left = clipped(vec![scrub.clone(), scrub], 4);
        assert_eq!((left[0].results.len(), left[1].results.len()), (3, 1));
    }
}
