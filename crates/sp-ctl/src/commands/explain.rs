//! `explain TASK`: where a task is and why, and for every worker why it is not there.

use serde::Serialize;
use sp_proto::v1::{ExplainTaskReply, ExplainTaskRequest, WorkerVerdict};
use sp_types::ByteSize;

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{self, task_code};

/// Say where a task is and why, and for every worker why it is not there.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Id of the task, as `sealing jobs` prints it; of TASK.ATTEMPT the part before the dot counts.
    #[arg(value_name = "TASK", value_parser = task_id)]
    task: u64,
}

fn task_id(text: &str) -> Result<u64, String> {
    let task = text.split_once('.').map_or(text, |(task, _)| task);
    task.parse().map_err(|_| format!("`{text}` is no task id; `sp-ctl sealing jobs` prints them"))
}

/// The explanation, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Explained {
    task_id: u64,
    task: String,
    /// None for DC.
    sector: Option<u64>,
    priority: i64,
    waited_ms: u64,
    place: String,
    worker: String,
    attempt: u32,
    window: u32,
    reason: String,
    general: String,
    workers: Vec<Verdict>,
    failures: u32,
    last_error: String,
}

#[derive(Debug, Serialize)]
struct Verdict {
    worker_id: String,
    name: String,
    code: String,
    reason: String,
    needed: Option<f64>,
    free: Option<f64>,
    used_by: Vec<u64>,
    score: u64,
    utilisation: f64,
    expected_ms: u64,
    samples: u32,
    missing_bytes: u64,
    fetch_ms: u64,
    failures: u32,
}

impl Explain {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = ExplainTaskRequest { task_id: self.task };
        let reply = context.scheduler().await?.explain_task(request(ask)).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let fresh = reply.stale_ms == 0;
        let explained = Explained::from(reply);
        context.show(&explained, |_| text(&explained, fresh))
    }
}

impl From<ExplainTaskReply> for Explained {
    fn from(reply: ExplainTaskReply) -> Self {
        Self {
            task_id: reply.task_id,
            task: task_code(reply.task),
            sector: layout::sector_of(reply.task, reply.sector),
            priority: reply.priority,
            waited_ms: reply.waited_ms,
            place: reply.place,
            worker: reply.worker,
            attempt: reply.attempt,
            window: reply.window,
            reason: reply.reason,
            general: reply.general,
            workers: reply.verdicts.into_iter().map(Verdict::from).collect(),
            failures: reply.failures,
            last_error: reply.last_error,
        }
    }
}

impl From<WorkerVerdict> for Verdict {
    fn from(verdict: WorkerVerdict) -> Self {
        Self {
            worker_id: verdict.worker_id,
            name: verdict.name,
            code: verdict.code,
            reason: verdict.reason,
            needed: verdict.needed,
            free: verdict.free,
            used_by: verdict.users,
            score: verdict.score,
            utilisation: verdict.utilisation,
            expected_ms: verdict.expected_ms,
            samples: verdict.samples,
            missing_bytes: verdict.missing_bytes,
            fetch_ms: verdict.fetch_ms,
            failures: verdict.failures,
        }
    }
}

/// Without the figures of the workers where they are not known.
fn text(explained: &Explained, fresh: bool) -> String {
    let Explained { task_id, task, sector, priority, waited_ms, .. } = explained;
    let of = sector.map(|number| format!(" of sector {number}")).unwrap_or_default();
    let mut text = format!("Task {task_id}: {task}{of}, priority {priority}\n");
    text += &format!("Queued for {}, {}\n", layout::go_duration(*waited_ms), place(explained));
    if !explained.general.is_empty() {
        text += &format!("Everywhere: {}\n", explained.general);
    }
    if explained.failures > 0 {
        text += &format!("Failed {} times, last: {}\n", explained.failures, explained.last_error);
    } else if !explained.last_error.is_empty() {
        // Not a failure: it made way for a proof.
        text += &format!("Before: {}\n", explained.last_error);
    }
    if !fresh {
        let rows: Vec<_> = explained.workers.iter().map(|w| vec![w.name.clone(), w.reason.clone()]).collect();
        return text + &layout::table(&["Worker", "Why not"], &rows);
    }
    let head = ["Worker", "Score", "Util", "Expected", "Samples", "Fetch", "Why not"];
    let rows: Vec<Vec<String>> = explained.workers.iter().map(Verdict::cells).collect();
    text + &layout::table(&head, &rows)
}

fn place(explained: &Explained) -> String {
    let Explained { place, worker, attempt, window, reason, .. } = explained;
    match place.as_str() {
        "queue" => "in the queue".to_owned(),
        "window" => format!("in window {window} of {worker}: {reason}"),
        state => format!("attempt {attempt} {state} on {worker} {reason}"),
    }
}

impl Verdict {
    fn cells(&self) -> Vec<String> {
        let mut why = self.reason.clone();
        if !self.used_by.is_empty() {
            let users: Vec<String> = self.used_by.iter().map(ToString::to_string).collect();
            why += &format!(" (in use by {})", users.join(" "));
        }
        let fetch = match self.missing_bytes {
            0 => "-".to_owned(),
            bytes => format!("{} in {}", ByteSize(bytes), layout::go_duration(self.fetch_ms)),
        };
        vec![
            self.name.clone(),
            self.score.to_string(),
            format!("{:.2}", self.utilisation),
            layout::go_duration(self.expected_ms),
            self.samples.to_string(),
            fetch,
            why,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_attempts_are_those_of_their_tasks() {
        assert_eq!((task_id("12"), task_id("12.3")), (Ok(12), Ok(12)));
        assert!(task_id("x.1").is_err());
    }

    #[test]
    fn every_worker_is_named_with_its_reason() {
        let verdict = WorkerVerdict {
            name: "seal-a".into(),
            reason: "needs 29 cores, 28 of 32 free".into(),
            users: vec![7, 8],
            expected_ms: 90_000,
            samples: 5,
            ..WorkerVerdict::default()
        };
        let reply = ExplainTaskReply {
            task_id: 9,
            task: sp_proto::v1::TaskKind::PreCommit2 as i32,
            sector: 3,
            place: "queue".into(),
            verdicts: vec![verdict],
            ..ExplainTaskReply::default()
        };
        let explained = Explained::from(reply);
        let text = text(&explained, true);
        assert!(text.starts_with("Task 9: PC2 of sector 3, priority 0\n"), "{text}");
        assert!(text.contains("needs 29 cores, 28 of 32 free (in use by 7 8)"), "{text}");
        let stale = super::text(&explained, false);
        assert!(stale.ends_with("Worker  Why not\nseal-a  needs 29 cores, 28 of 32 free\n"), "{stale}");
    }
}
