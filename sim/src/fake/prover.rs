//! The PoSt half of the fake executor: reads challenges and proves them in drawn times, hangs, dies and lies.

use std::io;
use std::path::Path;
use std::time::Duration;

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecCheckVanilla, ExecRequest, ExecVanilla, Failure, ProofOutput};
use sp_types::ErrorCode;
use sp_worker::executor::{ExecError, Job};

use super::FakeExecutor;
use super::files::read;
use super::post::{Statement, named, vanilla};
use crate::rng::Rng;

/// A read usually takes so long, ms ...
const READ_MS: (u64, u64) = (100, 500);
/// ... and a proof so long: what the scheduler expects of this size before it has measured any.
const PROVE_MS: (u64, u64) = (400, 1_200);
/// One in so many takes longer ...
const SLOW_PERCENT: u64 = 3;
/// ... by up to so many times: reading and proving take at most [`TRY_MOST_MS`].
const SLOWER: u64 = 2;
/// What else is computed on the machine costs a proof so much, in percent.
const CROWDED_PERCENT: u64 = 30;
/// The longest that reading and proving take while nothing is wrong.
pub const TRY_MOST_MS: u64 = READ_MS.1 * SLOWER + PROVE_MS.1 * SLOWER * (100 + CROWDED_PERCENT) / 100;

/// Parts of a hundred proofs over which the executor dies.
const DIES_PERCENT: u64 = 3;
/// How often one that hangs looks whether that is over.
const STUCK: Duration = Duration::from_millis(200);

/// What is asked of a reader or a prover.
pub(super) enum Ask {
    Read(ExecVanilla),
    Check(ExecCheckVanilla),
    Prove(Statement, Vec<Vec<u8>>),
}

impl Ask {
    /// None: it is about sealing.
    pub(super) fn of(request: &ExecRequest) -> Option<Self> {
        let miner = request.miner;
        Some(match request.op.clone()? {
            Op::Vanilla(op) => Self::Read(op),
            Op::CheckVanilla(op) => Self::Check(op),
            Op::WindowPost(op) => {
                let sectors = named(&op.sectors);
                let (post_proof, randomness, partition) = (op.post_proof, op.randomness, op.partition);
                Self::Prove(Statement { post_proof, miner, randomness, partition, sectors }, op.vanilla)
            }
            Op::WinningPost(op) => {
                let sectors = named(op.sector.as_slice());
                let (post_proof, randomness) = (op.post_proof, op.randomness);
                Self::Prove(Statement { post_proof, miner, randomness, partition: 0, sectors }, vec![op.vanilla])
            }
            _ => return None,
        })
    }
}

impl FakeExecutor {
    /// The answer, unless it is asked to stop or takes too long.
    pub(super) async fn answer(&self, ask: Ask, job: Job) -> Result<Outcome, ExecError> {
        let Job { limit, cancel, .. } = job;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ExecError::Cancelled),
            answer = self.env.timeout(limit, self.find_out(ask)) => {
                answer.unwrap_or(Err(ExecError::TimedOut(limit)))
            }
        }
    }

    async fn find_out(&self, ask: Ask) -> Result<Outcome, ExecError> {
        let mut rng = self.chance();
        self.unless_stuck().await;
        match ask {
            Ask::Read(op) => self.read(op, &mut rng).await,
            Ask::Check(op) => {
                let seal = self.stage.made.find(&op.comm_r);
                let right = seal.is_some_and(|seal| vanilla(&seal, &op.post_proof, &op.randomness) == op.vanilla);
                Ok(Outcome::Valid(right))
            }
            Ask::Prove(statement, answers) => self.prove(statement, answers, &mut rng).await,
        }
    }

    async fn read(&self, op: ExecVanilla, rng: &mut Rng) -> Result<Outcome, ExecError> {
        self.takes(READ_MS, 0, rng).await;
        let ExecVanilla { post_proof, randomness, comm_r, sealed, cache } = op;
        let (disk, made) = (self.disk.clone(), self.stage.made.clone());
        let answer = move || {
            let found = read(&*disk, Path::new(&sealed))?;
            disk.metadata(Path::new(&cache))?;
            let seal = made.find(&comm_r).filter(|seal| seal.sealed() == found);
            Ok(seal.map(|seal| vanilla(&seal, &post_proof, &randomness)))
        };
        let answer: io::Result<Option<Vec<u8>>> = self.env.blocking(answer).await;
        self.unless_stuck().await;
        match answer {
            Ok(Some(answer)) if self.lies() => Ok(Outcome::Data(spoilt(answer))),
            Ok(Some(answer)) => Ok(Outcome::Data(answer)),
            Ok(None) => Err(refused(ErrorCode::DigestMismatch, "that is another replica")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(refused(ErrorCode::FileMissing, &error.to_string()))
            }
            Err(error) => Err(refused(ErrorCode::ExecutorFailed, &error.to_string())),
        }
    }

    async fn prove(&self, about: Statement, answers: Vec<Vec<u8>>, rng: &mut Rng) -> Result<Outcome, ExecError> {
        let (name, watch) = (self.part.name, &self.stage.watch);
        let numbers: Vec<u64> = about.sectors.iter().map(|(number, _)| *number).collect();
        watch.note(format!("{name} proves sectors {numbers:?} as partition {}", about.partition));
        let crowded = if watch.is_crowded(self.machine) { CROWDED_PERCENT } else { 0 };
        self.takes(PROVE_MS, crowded, rng).await;
        if self.stage.mood.executors() && rng.percent(DIES_PERCENT) {
            watch.injected("prover dies");
            watch.stumbled(name);
            return Err(ExecError::Crashed("on purpose".into()));
        }
        self.unless_stuck().await;
        if about.answers(&self.stage.made).as_ref() != Some(&answers) {
            return Err(refused(ErrorCode::InvalidProof, "an answer is wrong"));
        }
        let mut nonce = [0; 16];
        rng.fill(&mut nonce);
        let proof = match self.lies() {
            true => self.lie(&about, &answers, nonce, rng),
            false => self.stage.made.note_proof(about.prove(&answers, nonce)),
        };
        watch.note(format!("{name} has proven sectors {numbers:?}"));
        Ok(Outcome::Proof(ProofOutput { proof, self_verified: true }))
    }

    /// A proof that looks well: garbage, one of long ago, or a right one of something else.
    fn lie(&self, about: &Statement, answers: &[Vec<u8>], nonce: [u8; 16], rng: &mut Rng) -> Vec<u8> {
        self.stage.watch.injected("forged PoSt");
        let other = |statement: Statement| statement.prove(answers, nonce);
        match rng.range(0, 4) {
            0 => spoilt(other(about.clone())),
            1 => self.stage.made.an_old_proof().unwrap_or_else(|| spoilt(other(about.clone()))),
            2 => other(Statement { partition: about.partition + 1, ..about.clone() }),
            _ => other(Statement { miner: about.miner + 1, ..about.clone() }),
        }
    }

    async fn takes(&self, (least, most): (u64, u64), more_percent: u64, rng: &mut Rng) {
        let usual = rng.range(least, most);
        let slow = if rng.percent(SLOW_PERCENT) { usual * rng.range(100, 100 * SLOWER) / 100 } else { usual };
        self.env.clock.sleep(Duration::from_millis(slow * (100 + more_percent) / 100)).await;
    }

    fn lies(&self) -> bool {
        self.stage.mood.lies(self.part.name)
    }

    /// Goes on once nothing here hangs.
    async fn unless_stuck(&self) {
        while self.stage.mood.hangs(self.part.name) {
            self.env.clock.sleep(STUCK).await;
        }
    }
}

fn spoilt(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[0] ^= 0x20;
    bytes
}

fn refused(code: ErrorCode, message: &str) -> ExecError {
    ExecError::Refused(Failure { code: code.as_str().to_owned(), message: message.to_owned() })
}
