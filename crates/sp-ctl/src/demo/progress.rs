//! What the cluster does while a command of the demo runs: a bar on a terminal, else a line per change.

use std::convert::Infallible;
use std::time::Duration;

use sp_proto::convert;
use sp_proto::v1::{Job, ListJobsRequest};
use sp_types::TaskKind;

use super::commands::Commands;
use super::stage::Track;
use crate::context::{request, scheduler_at};
use crate::layout::task_code;

const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// What to show while a command runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follow {
    /// Nothing: it is quick.
    Nothing,
    /// That the verifier works; it does not say how far it is.
    Verifier,
    /// Who works on tasks of this kind.
    Jobs(TaskKind),
}

impl Follow {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Verifier => "verifier",
            Self::Jobs(TaskKind::GenerateWindowPost) => "window PoSt",
            Self::Jobs(TaskKind::GenerateWinningPost) => "winning PoSt",
            Self::Jobs(_) => "unsealing",
        }
    }
}

impl Commands<'_> {
    /// Does `work`, and shows meanwhile what there is to see.
    pub(super) async fn followed<T>(&self, follow: Follow, work: impl Future<Output = T>) -> T {
        if matches!(follow, Follow::Nothing) {
            return work.await;
        }
        let track = self.stage.track(follow.name(), 0);
        tokio::select! {
            biased;
            done = work => done,
            never = self.watch(follow, &track) => match never {},
        }
    }

    async fn watch(&self, follow: Follow, track: &Track<'_>) -> Infallible {
        loop {
            match follow {
                Follow::Nothing | Follow::Verifier => track.at(0, "upstream's verifier is at work"),
                Follow::Jobs(kind) => {
                    // A scheduler that does not answer for a moment is no news: the command waits for it as well.
                    if let Some(jobs) = self.jobs().await {
                        track.at(0, &text(&jobs, kind));
                    }
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn jobs(&self) -> Option<Vec<Job>> {
        let mut scheduler = scheduler_at(&self.scheduler_url).await.ok()?;
        let reply = scheduler.list_jobs(request(ListJobsRequest {})).await.ok()?;
        Some(reply.into_inner().jobs)
    }
}

/// Everything that is done about tasks of this kind, without figures that change all the time: each change is a line
/// where there is no terminal.
fn text(jobs: &[Job], kind: TaskKind) -> String {
    let ours = jobs.iter().filter(|job| convert::task_kind(job.task) == Ok(kind));
    let works: Vec<String> = ours.map(work).collect();
    if works.is_empty() { "the scheduler takes the request".to_owned() } else { works.join("; ") }
}

/// What is done for a job now: `C2 running on seal-b`.
pub(super) fn work(job: &Job) -> String {
    let host = if job.host_name.is_empty() { String::new() } else { format!(" on {}", job.host_name) };
    format!("{} {}{host}", task_code(job.task), job.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1;

    #[test]
    fn only_jobs_of_the_kind_are_shown() {
        let job = |task: v1::TaskKind, state: &str, host_name: &str| Job {
            task: task as i32,
            state: state.into(),
            host_name: host_name.into(),
            ..Job::default()
        };
        let jobs = [
            job(v1::TaskKind::WindowPost, "running", "post-a"),
            job(v1::TaskKind::Unseal, "preparing", "seal-b"),
            job(v1::TaskKind::WindowPost, "queued", ""),
        ];
        assert_eq!(text(&jobs, TaskKind::GenerateWindowPost), "WDP running on post-a; WDP queued");
        assert_eq!(text(&jobs, TaskKind::Unseal), "UNS preparing on seal-b");
        assert_eq!(text(&jobs, TaskKind::GenerateWinningPost), "the scheduler takes the request");
    }
}
