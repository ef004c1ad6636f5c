//! Two `sp-verify serve` children, one for PoSt alone, spoken to over their pipes.

use std::path::PathBuf;
use std::process::Stdio;

use sp_env::{BoxFuture, StopOnDrop};
use sp_net::{Env, frame};
use sp_proto::v1;
use sp_types::SectorSize;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use super::lane::{Job, Lane};
use super::{Question, Verifier};
use crate::wire;

/// Questions that may wait for one child; more are refused, and the core asks again later.
const QUESTIONS_MAX: usize = 1024;

/// What the children are started with.
#[derive(Debug, Clone)]
pub struct VerifierOptions {
    /// The `sp-verify` binary.
    pub program: PathBuf,
    /// Directory of the parameters.
    pub parameters: PathBuf,
    /// Network that the proofs are for: any but `dev` refuses development parameters.
    pub network: String,
    /// Size whose PoSt keys are loaded at the start.
    pub sector_size: SectorSize,
}

/// The verifier in processes of its own.
pub struct VerifierProcesses {
    seal: mpsc::Sender<Job>,
    post: mpsc::Sender<Job>,
    _lanes: [StopOnDrop; 2],
}

/// How to start a child.
#[derive(Debug, Clone)]
pub(super) struct ChildCommand {
    program: PathBuf,
    parameters: PathBuf,
    network: String,
}

/// A running child; dropping it kills it.
pub(super) struct Child {
    // Killed on drop.
    _process: tokio::process::Child,
    questions: ChildStdin,
    answers: ChildStdout,
}

impl VerifierProcesses {
    /// Starts both lanes; the children follow on their own.
    pub fn start(env: &Env, options: VerifierOptions) -> Self {
        let VerifierOptions { program, parameters, network, sector_size } = options;
        let command = ChildCommand { program, parameters, network };
        let lane = |name, warm| {
            let (sender, jobs) = mpsc::channel(QUESTIONS_MAX);
            let lane = Lane { env: env.clone(), name, command: command.clone(), warm, jobs };
            (sender, StopOnDrop(env.tasks.spawn(name, Box::pin(lane.run()))))
        };
        let (seal, seal_lane) = lane("verify seals", None);
        let (post, post_lane) = lane("verify posts", Some(wire::verify_warm(sector_size)));
        Self { seal, post, _lanes: [seal_lane, post_lane] }
    }
}

impl Verifier for VerifierProcesses {
    fn verify(&self, question: Question) -> BoxFuture<Result<bool, String>> {
        let lane = match &question {
            Question::Seal(_) | Question::Update(_) => &self.seal,
            Question::Post(_) | Question::Warm(_) => &self.post,
        };
        let (answer, waiting) = oneshot::channel();
        let queued = lane.try_send(Job { question, answer });
        Box::pin(async move {
            queued.map_err(|_| format!("{QUESTIONS_MAX} proofs wait for the verifier already"))?;
            waiting.await.map_err(|_| "the scheduler is stopping".to_owned())?
        })
    }
}

impl Child {
    /// Starts the program. It ends with its standard input, so it cannot outlive this process.
    pub(super) fn start(command: &ChildCommand) -> Result<Self, String> {
        let ChildCommand { program, parameters, network } = command;
        let mut process = Command::new(program)
            .args(["serve", "--parent", &std::process::id().to_string(), "--network", network])
            .env("FIL_PROOFS_PARAMETER_CACHE", parameters)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}; name it with --verify-bin", program.display()))?;
        let questions = process.stdin.take().expect("asked for above");
        let answers = process.stdout.take().expect("asked for above");
        Ok(Self { _process: process, questions, answers })
    }

    /// One question, one answer.
    pub(super) async fn ask(&mut self, question: &v1::VerifyRequest) -> Result<v1::VerifyResponse, String> {
        frame::write(&mut self.questions, question).await.map_err(|e| e.to_string())?;
        match frame::read(&mut self.answers).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("it ended without an answer".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use sp_types::RegisteredSealProof;

    use super::*;

    async fn ask(program: &str) -> Result<bool, String> {
        let env = Env::real();
        let options = VerifierOptions {
            program: program.into(),
            parameters: "/nonexistent".into(),
            network: "dev".into(),
            sector_size: SectorSize::KiB2,
        };
        let verifier = VerifierProcesses::start(&env, options);
        let seal_proof = RegisteredSealProof::v1_1(SectorSize::KiB2).id();
        let question = Question::Seal(v1::VerifySeal { seal_proof, ..v1::VerifySeal::default() });
        env.timeout(std::time::Duration::from_secs(20), verifier.verify(question)).await.expect("bounded")
    }

    #[tokio::test]
    async fn a_verifier_that_cannot_answer_is_no_verdict() {
        let error = ask("/nonexistent/sp-verify").await.expect_err("not there");
        assert!(error.contains("--verify-bin") && error.contains("3 times"), "{error}");
        let error = ask("/bin/false").await.expect_err("ends at once");
        assert!(error.contains("3 times"), "{error}");
    }
}
