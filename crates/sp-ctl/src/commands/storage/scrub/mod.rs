//! `storage scrub`: workers read what lies on their storage paths and compare it with its digests, in the background.

mod report;
mod wait;

use sp_proto::v1::{ScrubAction, ScrubStorageReply, ScrubStorageRequest, ScrubStores};
use sp_types::ByteSize;

use super::PATH_LIMIT;
use crate::context::{Context, Scheduler, within};
use crate::error::{CommandError, Exit};
use crate::output;
use report::Report;

/// Read every file on storage paths and compare it with its digests, in the background. Goes on where the last scrub was
/// stopped, else begins a new one, and waits for its end; interrupting the command does not stop it. Faults are named
/// with the path and the first bad chunk, and the exit code is 1 when there are any.
#[derive(Debug, clap::Args)]
pub(crate) struct Scrub {
    /// Only these paths, by ID, or with --worker by directory. Every path by default.
    #[arg(long = "store", value_name = "ID")]
    stores: Vec<String>,
    /// Id or name of the worker; every worker by default.
    #[arg(long, value_name = "WORKER", default_value = "")]
    worker: String,
    /// Read no more than this per second from each path. As fast as it goes by default; challenge reads go before it all
    /// the same.
    #[arg(long, value_name = "SIZE")]
    rate: Option<ByteSize>,
    /// Also compute commitments: comm_d of unsealed files, the tree over sealed files and updates. Takes all cores for
    /// long, and is not bound by --rate.
    #[arg(long)]
    deep: bool,
    /// Forget how far a stopped scrub was, and begin anew.
    #[arg(long)]
    anew: bool,
    /// Stop; the next scrub goes on from there.
    #[arg(long, conflicts_with_all = ["rate", "deep", "anew", "status", "no_wait"])]
    stop: bool,
    /// Only show how far it is, and what was found.
    #[arg(long, conflicts_with_all = ["rate", "deep", "anew", "no_wait"])]
    status: bool,
    /// Return at once; `storage scrub --status` shows how far it is.
    #[arg(long)]
    no_wait: bool,
    /// List the files that are sound, too.
    #[arg(long)]
    all: bool,
}

impl Scrub {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        let action = match (self.stop, self.status) {
            (true, _) => ScrubAction::Stop,
            (_, true) => ScrubAction::Status,
            _ => ScrubAction::Start,
        };
        let waits = action == ScrubAction::Start && !self.no_wait;
        let mut reply = self.ask(&mut scheduler, action, !waits).await?;
        if waits {
            wait::until_done(&self, &mut scheduler, &reply).await?;
            reply = self.ask(&mut scheduler, ScrubAction::Status, true).await?;
        }
        let report = Report::of(reply);
        if context.json() {
            output::print_json(&report)?;
        } else {
            output::print(&report.text(self.all))?;
        }
        judge(&report)
    }

    async fn ask(
        &self,
        scheduler: &mut Scheduler,
        action: ScrubAction,
        results: bool,
    ) -> Result<ScrubStorageReply, CommandError> {
        let scrub = ScrubStores {
            action: action as i32,
            bytes_per_s: self.rate.map_or(0, |rate| rate.0),
            deep: self.deep,
            anew: self.anew,
            results,
            ..Default::default()
        };
        let ask = ScrubStorageRequest { worker: self.worker.clone(), stores: self.stores.clone(), scrub: Some(scrub) };
        Ok(scheduler.scrub_storage(within(PATH_LIMIT, ask)).await?.into_inner())
    }
}

fn judge(report: &Report) -> Result<(), CommandError> {
    if report.faulty() > 0 {
        let text = format!("{} files are not what they should be", report.faulty());
        return Err(CommandError::new(Exit::Failed, text).hint(
            "`sp-ctl storage find N` shows whether there is another copy; an unsealed file is made again by `sectors \
             unseal`, the sealed file of before an update by `sectors regen-key`",
        ));
    }
    match report.silent.first() {
        None => Ok(()),
        Some(first) => {
            let text = format!("{} workers gave no answer: {first}", report.silent.len());
            Err(CommandError::new(Exit::Unavailable, text).hint("`sp-ctl workers` shows who is connected"))
        }
    }
}
