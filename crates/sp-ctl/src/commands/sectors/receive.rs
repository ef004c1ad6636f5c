//! `sectors import N.. --from URL`: has sectors downloaded that lie elsewhere, and waits until they are proven here.

use std::collections::BTreeMap;
use std::time::Duration;

use sp_proto::v1::{HttpHeader, ImportSectorRequest, SectorSource, SectorSummary};
use sp_types::{SectorState, SourceUrl};
use tokio::signal::ctrl_c;

use super::import::Row;
use super::record::Record;
use super::wait::wait_for;
use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;

/// What goes with `--from`.
#[derive(Debug, clap::Args)]
pub(super) struct From {
    /// Download the sectors from there: a Lotus worker or miner (http://HOST:PORT/remote), or a web server over a storage
    /// path. A worker that was started with --download brings them to a path with --store, has them answer a challenge,
    /// and only then they count.
    #[arg(long, value_name = "URL", conflicts_with_all = ["all", "dry_run"])]
    from: Option<SourceUrl>,
    /// Sent along with every request to that host, as 'Authorization: Bearer TOKEN'. It is shown nowhere.
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "from")]
    headers: Vec<sp_types::HttpHeader>,
    /// They were updated (SnapDeals): download the update and its cache, too. The update is what is proven.
    #[arg(long, requires = "from")]
    updated: bool,
    /// Download the unsealed file, too; its record tells what it has to be.
    #[arg(long, requires_all = ["from", "records"])]
    unsealed: bool,
    /// Return at once; `sp-ctl sectors status N` shows how far it is.
    #[arg(long, requires = "from")]
    no_wait: bool,
    /// Give up waiting when nothing has moved on for this long. The download goes on all the same.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl From {
    /// Where they are downloaded from; none: their files lie on paths.
    pub(super) fn url(&self) -> Option<&SourceUrl> {
        self.from.as_ref()
    }

    /// Asks for every sector, then waits for each. What becomes of one says nothing about the others.
    pub(super) async fn run(
        &self,
        context: &Context,
        scheduler: &mut Scheduler,
        numbers: &[u64],
        records: &BTreeMap<u64, Record>,
    ) -> Result<Vec<Row>, CommandError> {
        let mut rows = Vec::new();
        for sector in numbers {
            let record = records.get(sector);
            let mut row = Row::new(*sector, record.is_some());
            match self.ask(scheduler, *sector, record).await {
                Ok(state) => row.state = state,
                Err(failure) => row.fail(&failure),
            }
            rows.push(row);
        }
        if self.no_wait {
            return Ok(rows);
        }
        tokio::select! {
            () = self.wait(context, scheduler, &mut rows) => Ok(rows),
            _ = ctrl_c() => {
                output::note(&left_alone(numbers));
                Err(CommandError::silent(130))
            }
        }
    }

    async fn ask(
        &self,
        scheduler: &mut Scheduler,
        number: u64,
        record: Option<&Record>,
    ) -> Result<String, CommandError> {
        let url = self.from.as_ref().map(ToString::to_string).unwrap_or_default();
        let headers = self.headers.iter().cloned().map(HttpHeader::from).collect();
        let from = Some(SectorSource { url, headers, unsealed: self.unsealed });
        let record = record.map(Record::to_wire).transpose()?;
        let ask = ImportSectorRequest { number, comm_r: vec![], record, updated: self.updated, from };
        Ok(scheduler.import_sector(request(ask)).await?.into_inner().state)
    }

    async fn wait(&self, context: &Context, scheduler: &mut Scheduler, rows: &mut [Row]) {
        for row in rows.iter_mut().filter(|row| row.is_good()) {
            match wait_for(scheduler, row.sector(), self.timeout, is_over).await.and_then(|s| judged(&s).map(|()| s)) {
                Ok(summary) => {
                    row.proven(&summary);
                    if !context.json() {
                        output::note(&row.line());
                    }
                }
                Err(failure) => row.fail(&failure),
            }
        }
    }
}

fn is_over(summary: &SectorSummary) -> bool {
    let state: Option<SectorState> = summary.state.parse().ok();
    state != Some(SectorState::ReceiveSector)
}

/// Is it here? A download that failed is tried again by itself, or waits for its operator; he is told either way.
fn judged(summary: &SectorSummary) -> Result<(), CommandError> {
    let SectorSummary { number, state, last_error, stopped, .. } = summary;
    if [SectorState::Proving, SectorState::Available].iter().any(|good| *state == good.to_string()) {
        return Ok(());
    }
    if *state != SectorState::ReceiveSectorFailed.to_string() {
        return Err(CommandError::failed(format!("it is {state} now")));
    }
    let next = match stopped {
        true => format!(
            "when that is mended, `sp-ctl sectors retry {number}` goes on, or the same command with another --from or \
             --header; `sp-ctl sectors remove {number} --really-do-it` gives it up"
        ),
        false => format!("it is tried again by itself; `sp-ctl sectors status {number}` shows how far it is"),
    };
    Err(CommandError::new(Exit::Failed, format!("{last_error}; {next}")))
}

fn left_alone(numbers: &[u64]) -> String {
    let first = numbers.first().copied().unwrap_or_default();
    format!(
        "the download goes on without this command: `sp-ctl sectors status {first}` shows how far it is, `sp-ctl sectors \
         remove {first} --really-do-it` gives it up"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(state: SectorState, stopped: bool) -> SectorSummary {
        let last_error = "w: there is no http://h/sealed/s-t01000-7 (404)".to_owned();
        SectorSummary { number: 7, state: state.to_string(), stopped, last_error, ..SectorSummary::default() }
    }

    #[test]
    fn it_waits_until_the_sector_is_here_or_has_failed() {
        assert!(!is_over(&summary(SectorState::ReceiveSector, false)));
        let here = summary(SectorState::Proving, false);
        assert!(is_over(&here) && judged(&here).is_ok());
        let waits = judged(&summary(SectorState::ReceiveSectorFailed, false)).unwrap_err().line();
        assert!(waits.contains("404") && waits.contains("by itself"), "{waits}");
        let stopped = judged(&summary(SectorState::ReceiveSectorFailed, true)).unwrap_err().line();
        assert!(stopped.contains("sectors retry 7") && stopped.contains("sectors remove 7"), "{stopped}");
        assert!(judged(&summary(SectorState::Removing, false)).is_err());
    }
}
