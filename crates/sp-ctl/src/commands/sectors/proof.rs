//! `sectors proof N`: the accepted seal proof and everything that a verifier needs besides.

use serde::Serialize;
use sp_proto::v1::{SectorProofReply, SectorProofRequest};

use crate::context::{Context, request};
use crate::error::CommandError;

/// Show the accepted seal proof and everything needed to verify it.
///
/// `sp-ctl sectors proof N --json | sp-ctl verify -` checks it with the upstream verifier.
#[derive(Debug, clap::Args)]
pub(crate) struct Proof {
    /// Sector number.
    number: u64,
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

impl Proof {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
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
}
