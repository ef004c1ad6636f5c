//! `sectors export N..`: what sectors need to be taken elsewhere: what their files do not tell and, with `--out`, their files.

mod bring;
mod manifest;
mod place;
mod plan;
mod report;
mod take;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

use sp_proto::v1::ExportSectorRequest;

use super::record::Record;
use crate::context::{Context, Scheduler, request};
use crate::error::CommandError;
use crate::output;

/// Print what of sectors their files do not tell, or write all that they need elsewhere.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Sector numbers.
    #[arg(required = true)]
    numbers: Vec<u64>,
    /// Make this directory a storage path that holds all that finished sectors need: their files, read from the workers
    /// that have them and compared with their digests on the way, and a record of each. A directory that an earlier export
    /// made is added to, and what is there already is not read again; any other one has to be empty.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the unsealed file along, too, where there is one.
    #[arg(long, requires = "out")]
    unsealed: bool,
}

impl Export {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        if let Some(dir) = &self.out {
            return take::all(context, &mut scheduler, &self.numbers, dir, self.unsealed).await;
        }
        let mut records = Vec::new();
        for number in self.numbers {
            records.push(record_of(&mut scheduler, number).await?);
        }
        output::print_json(&records)
    }
}

async fn record_of(scheduler: &mut Scheduler, number: u64) -> Result<Record, CommandError> {
    let reply = scheduler.export_sector(request(ExportSectorRequest { number })).await?;
    Ok(Record::from(reply.into_inner()))
}
