//! `workers wait W`: returns when nothing is on the worker any more.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::find_now;
use crate::context::Context;
use crate::error::{CommandError, Exit};

/// How often the scheduler is asked.
const EVERY: Duration = Duration::from_millis(500);

/// Wait until a worker is empty.
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Id, the start of it, or name.
    worker: String,
    /// Give up after this long.
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Empty {
    worker_id: String,
    empty: bool,
}

impl Wait {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let until = Instant::now() + self.timeout;
        loop {
            let worker = find_now(context, &self.worker).await?;
            if let Some(worker) = worker.as_ref().filter(|worker| worker.empty) {
                let empty = Empty { worker_id: worker.worker_id.clone(), empty: true };
                return context.show(&empty, |_| format!("{}: empty\n", empty.worker_id));
            }
            if Instant::now() >= until {
                let message = match worker {
                    Some(worker) => {
                        let tasks: u32 = worker.counts.iter().map(|count| count.count).sum();
                        format!("{} is not empty: {tasks} tasks are on it", worker.name)
                    }
                    None => "the scheduler's loop does not answer: nobody knows whether it is empty".to_owned(),
                };
                return Err(CommandError::new(Exit::Failed, message).hint("see `sp-ctl sealing jobs`"));
            }
            sleep(EVERY).await;
        }
    }
}
