//! An explanation without the core: from the task's durable row, and from what was published last.

use sp_sched_core::model::{Attempt, AttemptState, Task, UnixMs};
use sp_sched_core::view::{Explanation, JobView, Verdict, Where, WorkerView};
use sp_types::WorkerId;

use crate::board::Board;

/// Where the task is and why, as far as that is known. Of workers there is only the reason in words.
pub(crate) fn explain(board: &Board, task: &Task, now: UnixMs) -> Explanation {
    let mut jobs = board.jobs.iter().flatten().filter(|job| job.task_id == task.id);
    // What waits, rather than an attempt of the same task.
    let job = jobs.clone().find(|job| job.attempt.is_none()).or_else(|| jobs.next());
    let (general, verdicts) = match job {
        Some(job) if !job.reasons.is_empty() || job.attempt.is_some() => reasons(board, job),
        _ => ("the scheduling loop does not answer, and has not published why".to_owned(), Vec::new()),
    };
    Explanation {
        task: task.id,
        kind: task.kind,
        sector: task.sector,
        priority: task.priority,
        waited_ms: now.since(task.queued),
        place: place(board, task, job, now),
        general,
        verdicts,
        failures: task.failures,
        last_error: task.last_error.clone(),
    }
}

fn place(board: &Board, task: &Task, job: Option<&JobView>, now: UnixMs) -> Where {
    if let Some(attempt) = task.attempts.last() {
        return Where::Attempt {
            attempt: attempt.id,
            worker: name(board, &attempt.worker),
            state: state(attempt),
            since_ms: now.since(attempt.created),
        };
    }
    let window = |worker: &WorkerView| worker.windows.iter().position(|window| window.contains(&task.id));
    match board.workers.iter().find_map(|worker| Some((worker, window(worker)?))) {
        Some((worker, at)) => Where::Window {
            worker: worker.name.clone(),
            window: at + 1,
            reason: job.map(|job| job.detail.clone()).unwrap_or_default(),
        },
        None => Where::Queue,
    }
}

fn state(attempt: &Attempt) -> &'static str {
    match (attempt.state, attempt.held) {
        (AttemptState::Reserving, _) => "reserving",
        (AttemptState::Granted, true) => "held",
        (AttemptState::Granted, false) => "granted",
    }
}

fn name(board: &Board, id: &WorkerId) -> String {
    let worker = board.workers.iter().find(|worker| worker.worker == *id);
    worker.map_or_else(|| id.to_string(), |worker| worker.name.clone())
}

/// What keeps it from every worker, and what from each one: a job says the latter as `name: reason`.
fn reasons(board: &Board, job: &JobView) -> (String, Vec<Verdict>) {
    let (mut general, mut verdicts) = (Vec::new(), Vec::new());
    for text in &job.reasons {
        let of = |worker: &WorkerView| Some(text.strip_prefix(&worker.name)?.strip_prefix(": ")?.to_owned());
        match board.workers.iter().find_map(|worker| Some((worker, of(worker)?))) {
            Some((worker, reason)) => verdicts.push(verdict(worker, reason)),
            None => general.push(text.as_str()),
        }
    }
    (general.join("; "), verdicts)
}

fn verdict(worker: &WorkerView, reason: String) -> Verdict {
    Verdict {
        worker: worker.worker.clone(),
        name: worker.name.clone(),
        reason,
        code: "",
        amounts: None,
        users: Vec::new(),
        score: 0,
        utilisation: 0.0,
        expected_ms: 0,
        samples: 0,
        missing_bytes: 0,
        fetch_ms: 0,
        failures: 0,
    }
}
