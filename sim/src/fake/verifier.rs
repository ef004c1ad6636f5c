//! The fake verifier: says yes to the proofs that fit replicas which a fake executor has made, and to no other.

use std::time::Duration;

use scheduler::{Question, Verifier};
use sp_env::BoxFuture;
use sp_net::Env;
use sp_proto::v1::{VerifySeal, VerifyUpdate};

use super::made::Made;
use super::post::Statement;
use super::seal::Seal;
use crate::stage::Mood;

/// The verifier of one run of the scheduler.
#[derive(Clone)]
pub struct FakeVerifier {
    /// The machine.
    pub env: Env,
    /// What was made.
    pub made: Made,
    /// How it behaves.
    pub mood: Mood,
}

/// How long it thinks.
const THINKS_MS: u64 = 50;

impl Verifier for FakeVerifier {
    fn verify(&self, question: Question) -> BoxFuture<Result<bool, String>> {
        let thinking = self.env.clock.sleep(Duration::from_millis(THINKS_MS + self.mood.verifier_ms()));
        let verdict = match question {
            Question::Seal(_) | Question::Update(_) | Question::Post(_) if self.mood.verifier_down() => {
                Err("the fake verifier is down".to_owned())
            }
            Question::Seal(seal) => Ok(is_valid(&self.made, seal)),
            Question::Update(update) => Ok(is_valid_update(&self.made, &update)),
            Question::Warm(_) => Ok(true),
            Question::Post(post) => Ok(Statement::of(&post).is_proven_by(&self.made, &post.proof)),
        };
        Box::pin(async move {
            thinking.await;
            verdict
        })
    }
}

/// The same rule for the checks at the end of a run.
pub(crate) fn is_valid(made: &Made, statement: VerifySeal) -> bool {
    let VerifySeal { seal_proof: _, miner, sector, ticket, seed, comm_d, comm_r, proof } = statement;
    let claimed = Seal { miner, sector, ticket, comm_d };
    made.find(&comm_r).is_some_and(|seal| seal == claimed && proof == seal.proof(&seed))
}

/// The same for an update: neither sector nor miner enter its proof, but the replica that it was made from does.
pub(crate) fn is_valid_update(made: &Made, statement: &VerifyUpdate) -> bool {
    let VerifyUpdate { seal_proof: _, comm_r_old, comm_r_new, comm_d_new, proof } = statement;
    made.update(comm_r_new).is_some_and(|update| {
        update.before.comm_r() == *comm_r_old && update.comm_d == *comm_d_new && update.proof() == *proof
    })
}
