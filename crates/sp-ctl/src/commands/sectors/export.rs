//! `sectors export N..`: prints what of sectors their files do not tell.

use sp_proto::v1::ExportSectorRequest;

use super::record::Record;
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::output;

/// Print what of sectors their files do not tell: ticket, seed, pieces, commitments and proof, of an updated one those of
/// its update too, as a JSON array.
///
/// To take a sector elsewhere: `sp-ctl sectors export N > N.json`, `sp-ctl storage move` it to a path of its own, detach
/// that path, attach it there, and `sp-ctl sectors import N --record N.json`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Sector numbers.
    #[arg(required = true)]
    numbers: Vec<u64>,
}

impl Export {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        let mut records = Vec::new();
        for number in self.numbers {
            let reply = scheduler.export_sector(request(ExportSectorRequest { number })).await?;
            records.push(Record::from(reply.into_inner()));
        }
        output::print_json(&records)
    }
}
