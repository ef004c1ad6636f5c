//! PoSt tasks: read every challenge in parallel, leave out what cannot be read, prove the rest.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use sp_env::Monotonic;
use sp_net::retry::Backoff;
use sp_proto::convert::required;
use sp_proto::v1::assign::Params;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{self, AttemptPhase, ExecRequest, ExecWindowPost, ExecWinningPost, PostOutput, SkippedSector};
use sp_types::{ErrorCode, PostProof, PostType, SectorId};
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignment;
use crate::attempt::{Attempt, Spent};
use crate::challenge::{self, Question};
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;
use crate::planes::Planes;

/// Challenge reads at once when the setting says no limit.
const READS_MAX: usize = 1024;

/// A holder that cannot be reached is asked again for so long: whoever is started again is back by then, and a sector that
/// is left out costs more.
const HOLDER_BACK: Duration = Duration::from_secs(10);

/// What is to be proven.
struct Statement<'a> {
    proof: PostProof,
    randomness: &'a [u8],
    partition: u32,
    sectors: &'a [v1::PostSector],
    read_timeout: Duration,
    /// For all reads together; zero: no limit.
    partition_timeout: Duration,
    /// At once.
    parallel_reads: usize,
    /// Reads only.
    check: bool,
}

/// Carries out a PoSt task. `spent` gets what that took.
pub(crate) async fn prove(node: &Node, attempt: &Attempt, spent: &mut Spent) -> Result<PostOutput, Failure> {
    let statement = Statement::of(node, &attempt.assignment)?;
    let started = node.env.clock.monotonic();
    attempt.set_phase(AttemptPhase::Preparing, format!("reads {} challenges", statement.sectors.len()));
    let (proven, vanilla, skipped) = attempt.unless_stopped(read_all(node, attempt, &statement)).await?;
    let read = node.env.clock.monotonic();
    spent.fetch_ms = read.since_ms(started);
    if statement.check || proven.is_empty() {
        return Ok(PostOutput { proof: vec![], skipped, self_verified: false });
    }
    attempt.set_phase(AttemptPhase::Running, format!("proves {} sectors", proven.len()));
    let job = Job {
        role: Role::Prover,
        request: request(&attempt.assignment, &statement, proven, vanilla),
        limit: attempt.assignment.time_limit,
        cancel: attempt.cancel.clone(),
        gpus: attempt.gpus(),
    };
    let answer = node.executor.run(job).await?;
    // Whoever waited for another partition to be proven did not take longer for it.
    let waited_ms = answer.waited.as_millis() as u64;
    spent.compute_ms = node.env.clock.monotonic().since_ms(read).saturating_sub(waited_ms);
    spent.peak_memory_bytes = answer.peak_memory_bytes;
    match answer.outcome {
        Outcome::Proof(v1::ProofOutput { proof, self_verified: true }) => {
            Ok(PostOutput { proof, skipped, self_verified: true })
        }
        Outcome::Proof(_) => {
            let message = "the proof that was just made does not verify; check the parameters and this host's memory";
            Err(Failure::new(ErrorCode::InvalidProof, message))
        }
        _ => Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no proof")),
    }
}

impl<'a> Statement<'a> {
    fn of(node: &Node, assignment: &'a Assignment) -> Result<Self, Failure> {
        if !node.options.tasks.contains(&assignment.task) {
            let message = format!("this worker does not do {}", assignment.task);
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
        let (post_type, randomness, partition, sectors, (one_ms, all_ms, at_once), check) = match &assignment.params {
            Params::WindowPost(p) => {
                let limits = (p.read_timeout_ms, p.partition_timeout_ms, p.parallel_reads);
                (PostType::Window, &p.randomness, p.partition, p.sectors.as_slice(), limits, false)
            }
            Params::WinningPost(p) => {
                let sector = std::slice::from_ref(required("sector", p.sector.as_ref())?);
                (PostType::Winning, &p.randomness, 0, sector, (p.read_timeout_ms, 0, 0), false)
            }
            Params::Check(p) => {
                let limits = (p.read_timeout_ms, p.partition_timeout_ms, p.parallel_reads);
                (PostType::Window, &p.randomness, 0, p.sectors.as_slice(), limits, true)
            }
            _ => {
                let message = format!("{} with the parameters of a sealing task", assignment.task);
                return Err(Failure::new(ErrorCode::BadRequest, message));
            }
        };
        let proof = PostProof { size: assignment.seal_proof.size, post_type };
        let [read_timeout, partition_timeout] = [one_ms, all_ms].map(Duration::from_millis);
        let parallel_reads = reads_at_once(node.options.post_parallel_reads, at_once as usize);
        Ok(Self { proof, randomness, partition, sectors, read_timeout, partition_timeout, parallel_reads, check })
    }
}

/// The lower one of the worker's limit and the scheduler's counts; 0 is none.
fn reads_at_once(ours: usize, theirs: usize) -> usize {
    [ours, theirs].into_iter().filter(|limit| *limit > 0).min().unwrap_or(READS_MAX)
}

/// Sectors that can be proven, their vanilla proofs in the same order, and those that cannot, with the reason.
type Reads = (Vec<v1::PostSector>, Vec<Vec<u8>>, Vec<SkippedSector>);

async fn read_all(node: &Node, attempt: &Attempt, statement: &Statement<'_>) -> Result<Reads, Failure> {
    let waits = statement.proof.post_type == PostType::Window && !statement.check;
    let start = node.env.clock.monotonic();
    let began = waits.then_some(start);
    let planes = &Planes::default();
    // Boxed: the compiler cannot see that such a future is Send for every lifetime.
    let reads: Vec<_> = statement
        .sectors
        .iter()
        .map(|sector| async move { (sector, read(node, attempt, planes, statement, sector, began).await) }.boxed())
        .collect();
    let mut reads = stream::iter(reads).buffer_unordered(statement.parallel_reads);
    let (mut good, mut skipped, mut done) = (Vec::new(), Vec::new(), 0);
    while let Some((sector, answer)) = in_time(node, statement, start, reads.next()).await {
        done += 1;
        attempt.set_fraction(f64::from(done) / statement.sectors.len() as f64);
        match answer {
            Ok(vanilla) => good.push((sector.clone(), vanilla)),
            Err(failure) => {
                tracing::warn!(sector = sector.number, reason = %failure, "a sector is left out of the PoSt");
                skipped.push(SkippedSector { number: sector.number, reason: failure.to_string() });
            }
        }
    }
    // What is being read still is stopped by being dropped.
    drop(reads);
    skipped.extend(unread(statement, &good, &skipped));
    good.sort_by_key(|(sector, _)| sector.number);
    skipped.sort_by_key(|sector: &SkippedSector| sector.number);
    let (proven, vanilla) = good.into_iter().unzip();
    Ok((proven, vanilla, skipped))
}

/// The next read, none once all of them have had their time.
async fn in_time<T>(
    node: &Node,
    statement: &Statement<'_>,
    start: Monotonic,
    next: impl Future<Output = Option<T>>,
) -> Option<T> {
    if statement.partition_timeout.is_zero() {
        return next.await;
    }
    let spent = Duration::from_millis(node.env.clock.monotonic().since_ms(start));
    node.env.timeout(statement.partition_timeout.saturating_sub(spent), next).await.ok().flatten()
}

/// Sectors that nobody has read in the time that all of them have together.
fn unread(
    statement: &Statement<'_>,
    good: &[(v1::PostSector, Vec<u8>)],
    skipped: &[SkippedSector],
) -> Vec<SkippedSector> {
    let read: HashSet<u64> = good.iter().map(|(sector, _)| sector.number).collect();
    let given_up: HashSet<u64> = skipped.iter().map(|sector| sector.number).collect();
    let numbers = statement.sectors.iter().map(|sector| sector.number);
    let left: Vec<u64> = numbers.filter(|number| !read.contains(number) && !given_up.contains(number)).collect();
    let limit_s = statement.partition_timeout.as_secs_f64();
    if !left.is_empty() {
        tracing::warn!(sectors = left.len(), limit_s, "sectors are left out of the PoSt: not read in time");
    }
    let reason = format!("not read within the {limit_s} s that its partition may take");
    left.into_iter().map(|number| SkippedSector { number, reason: reason.clone() }).collect()
}

/// Local files first, then every worker that holds the sector, in the scheduler's order.
async fn read(
    node: &Node,
    attempt: &Attempt,
    planes: &Planes,
    statement: &Statement<'_>,
    sector: &v1::PostSector,
    began: Option<Monotonic>,
) -> Result<Vec<u8>, Failure> {
    let assignment = &attempt.assignment;
    let question = Question {
        sector: SectorId { miner: assignment.sector.miner, number: sector.number },
        post_proof: statement.proof.to_string(),
        randomness: statement.randomness.to_vec(),
        comm_r: sector.comm_r.clone(),
        timeout: statement.read_timeout,
    };
    let limit = question.limit_of_all(node);
    let stop = attempt.cancel.child_token();
    // The executor does not notice by itself that nobody waits.
    let _stopped = stop.clone().drop_guard();
    let (mut reasons, mut asked) = (Vec::new(), String::new());
    let holders = holders(assignment, question.sector);
    let ask = Ask { question: &question, holders: &holders, planes };
    let asking = ask_until_back(node, &ask, began, &stop, &mut reasons, &mut asked);
    match node.env.timeout(limit, asking).await {
        Ok(Some(vanilla)) => return Ok(vanilla),
        Ok(None) => {}
        Err(_) => {
            stop.cancel();
            let message = format!("{asked}: not read within the {} s that one sector may take", limit.as_secs_f64());
            reasons.push(Failure::new(ErrorCode::TimedOut, message));
        }
    }
    // That it is not here says nothing when others were asked.
    if reasons.len() > 1 && reasons[0].code == ErrorCode::FileMissing {
        reasons.remove(0);
    }
    let code = reasons.last().map_or(ErrorCode::Internal, |failure| failure.code);
    let texts: Vec<_> = reasons.into_iter().map(|failure| failure.message).collect();
    Err(Failure::new(code, texts.join("; ")))
}

/// What is asked, and whom beside this worker.
struct Ask<'a> {
    question: &'a Question,
    holders: &'a [String],
    planes: &'a Planes,
}

/// Asks all, and again while somebody cannot be reached, but not for long after the reading of the partition began. None: a
/// winning PoSt has no time for that, and a check tells how things are now.
async fn ask_until_back(
    node: &Node,
    ask: &Ask<'_>,
    began: Option<Monotonic>,
    cancel: &CancellationToken,
    reasons: &mut Vec<Failure>,
    asked: &mut String,
) -> Option<Vec<u8>> {
    let mut backoff = Backoff::endless(Duration::from_millis(200), Duration::from_secs(2));
    loop {
        reasons.clear();
        if let Some(vanilla) = ask_all(node, ask, cancel, reasons, asked).await {
            return Some(vanilla);
        }
        let is_away = reasons.iter().any(|failure| failure.code == ErrorCode::Unavailable);
        let waited = began.map(|began| node.env.clock.monotonic().since_ms(began));
        if !is_away || waited.is_none_or(|ms| u128::from(ms) >= HOLDER_BACK.as_millis()) {
            return None;
        }
        backoff.wait(&node.env).await;
    }
}

/// The first good answer. `reasons` gets why others gave none, `asked` who is being asked.
async fn ask_all(
    node: &Node,
    ask: &Ask<'_>,
    cancel: &CancellationToken,
    reasons: &mut Vec<Failure>,
    asked: &mut String,
) -> Option<Vec<u8>> {
    let Ask { question, holders, planes } = *ask;
    "this worker's stores".clone_into(asked);
    match challenge::read_local(node, question, cancel).await {
        Ok(vanilla) => return Some(vanilla),
        Err(failure) => reasons.push(failure),
    }
    for data_url in holders.iter().filter(|url| *url != node.data_url()) {
        asked.clone_from(data_url);
        match challenge::read_remote(node, planes, question, data_url, cancel).await {
            Ok(vanilla) => return Some(vanilla),
            Err(failure) => {
                tracing::warn!(sector = %question.sector, holder = data_url, reason = %failure, "no vanilla proof");
                reasons.push(failure.while_doing(data_url));
            }
        }
    }
    None
}

/// Data planes of those who hold files of a sector, each once, best first.
fn holders(assignment: &Assignment, sector: SectorId) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    let sources = assignment.inputs.iter().filter(|input| input.sector == sector).flat_map(|input| &input.sources);
    for source in sources {
        if !source.data_url.is_empty() && !urls.contains(&source.data_url) {
            urls.push(source.data_url.clone());
        }
    }
    urls
}

fn request(
    assignment: &Assignment,
    statement: &Statement<'_>,
    sectors: Vec<v1::PostSector>,
    vanilla: Vec<Vec<u8>>,
) -> ExecRequest {
    let (post_proof, randomness) = (statement.proof.to_string(), statement.randomness.to_vec());
    let op = match statement.proof.post_type {
        PostType::Window => {
            let partition = statement.partition;
            Op::WindowPost(ExecWindowPost { post_proof, randomness, partition, vanilla, sectors })
        }
        PostType::Winning => {
            let (vanilla, sector) = (vanilla.into_iter().next().unwrap_or_default(), sectors.into_iter().next());
            Op::WinningPost(ExecWinningPost { post_proof, randomness, vanilla, sector })
        }
    };
    ExecRequest {
        request: 0,
        attempt: Some(assignment.attempt.into()),
        seal_proof: assignment.seal_proof.id(),
        miner: assignment.sector.miner,
        sector: assignment.sector.number,
        op: Some(op),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_of_reads_counts_and_zero_is_none() {
        assert_eq!([reads_at_once(32, 0), reads_at_once(32, 8), reads_at_once(0, 8)], [32, 8, 8]);
        assert_eq!([reads_at_once(8, 32), reads_at_once(0, 0)], [8, READS_MAX]);
    }
}
