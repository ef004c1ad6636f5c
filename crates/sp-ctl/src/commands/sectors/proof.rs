//! `sectors proof N [--update]`: the accepted proof and everything that a verifier needs besides.

use serde::Serialize;
use sp_proto::v1::{SectorProofReply, SectorProofRequest, UpdateProofReply, UpdateProofRequest};

use crate::context::{Context, request};
use crate::error::CommandError;

/// Show the accepted seal or update proof and everything needed to verify it.
///
/// `sp-ctl sectors proof N --json | sp-ctl verify -` checks it with the upstream verifier.
#[derive(Debug, clap::Args)]
pub(crate) struct Proof {
    /// Sector number.
    number: u64,
    /// The proof of its update (SnapDeals).
    #[arg(long)]
    update: bool,
}

/// The published form; others read it, so names and order stay.
#[derive(Debug, Serialize)]
struct SealProof {
    miner: u64,
    sector: u64,
    proof_type: String,
    prover_id: String,
    ticket: String,
    seed: String,
    comm_d: String,
    comm_r: String,
    proof: String,
}

/// The published form; others read it, so names and order stay.
#[derive(Debug, Serialize)]
struct UpdateProof {
    miner: u64,
    sector: u64,
    update_proof_type: String,
    comm_r_old: String,
    comm_r_new: String,
    comm_d_new: String,
    proof: String,
}

impl Proof {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if self.update {
            let ask = UpdateProofRequest { number: self.number };
            let reply = context.scheduler().await?.update_proof(request(ask)).await?.into_inner();
            let proof = UpdateProof::from(reply);
            return context.show(&proof, |_| update_text(&proof));
        }
        let ask = SectorProofRequest { number: self.number };
        let reply = context.scheduler().await?.sector_proof(request(ask)).await?.into_inner();
        let proof = SealProof::from(reply);
        context.show(&proof, |_| text(&proof))
    }
}

impl From<SectorProofReply> for SealProof {
    fn from(reply: SectorProofReply) -> Self {
        Self {
            miner: reply.miner,
            sector: reply.sector,
            proof_type: reply.proof_type,
            prover_id: hex::encode(reply.prover_id),
            ticket: hex::encode(reply.ticket),
            seed: hex::encode(reply.seed),
            comm_d: hex::encode(reply.comm_d),
            comm_r: hex::encode(reply.comm_r),
            proof: hex::encode(reply.proof),
        }
    }
}

impl From<UpdateProofReply> for UpdateProof {
    fn from(reply: UpdateProofReply) -> Self {
        let UpdateProofReply { miner, sector, update_proof_type, comm_r_old, comm_r_new, comm_d_new, proof } = reply;
        Self {
            miner,
            sector,
            update_proof_type,
            comm_r_old: hex::encode(comm_r_old),
            comm_r_new: hex::encode(comm_r_new),
            comm_d_new: hex::encode(comm_d_new),
            proof: hex::encode(proof),
        }
    }
}

fn update_text(proof: &UpdateProof) -> String {
    let UpdateProof { miner, sector, update_proof_type, comm_r_old, comm_r_new, comm_d_new, proof } = proof;
    format!(
        "Miner:      t0{miner}\nSector:     {sector}\nProof type: {update_proof_type}\nCommR old:  {comm_r_old}\n\
         CommR new:  {comm_r_new}\nCommD new:  {comm_d_new}\nProof:      {proof}\n"
    )
}

fn text(proof: &SealProof) -> String {
    let SealProof { miner, sector, proof_type, prover_id, ticket, seed, comm_d, comm_r, proof } = proof;
    format!(
        "Miner:      t0{miner}\nSector:     {sector}\nProof type: {proof_type}\nProver id:  {prover_id}\n\
         Ticket:     {ticket}\nSeed:       {seed}\nCommD:      {comm_d}\nCommR:      {comm_r}\nProof:      {proof}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_form() {
        let reply = SectorProofReply {
            miner: 1000,
            sector: 7,
            proof_type: "StackedDrg2KiBV1_1".into(),
            prover_id: vec![0xe8, 0x07],
            ticket: vec![1],
            seed: vec![2],
            comm_d: vec![3],
            comm_r: vec![0xAB],
            proof: vec![5],
        };
        let expected = r#"{"miner":1000,"sector":7,"proof_type":"StackedDrg2KiBV1_1","prover_id":"e807","ticket":"01","seed":"02","comm_d":"03","comm_r":"ab","proof":"05"}"#;
        assert_eq!(serde_json::to_string(&SealProof::from(reply)).unwrap(), expected);
    }

    #[test]
    fn the_published_form_of_an_update() {
        let reply = UpdateProofReply {
            miner: 1000,
            sector: 7,
            update_proof_type: "StackedDrg2KiBV1".into(),
            comm_r_old: vec![1],
            comm_r_new: vec![2],
            comm_d_new: vec![3],
            proof: vec![0xFE],
        };
        let expected = r#"{"miner":1000,"sector":7,"update_proof_type":"StackedDrg2KiBV1","comm_r_old":"01","comm_r_new":"02","comm_d_new":"03","proof":"fe"}"#;
        assert_eq!(serde_json::to_string(&UpdateProof::from(reply)).unwrap(), expected);
    }
}
