//! `sectors pin`, `unpin`, `pins`: sectors whose files are kept from being removed.

use serde::Serialize;
use sp_proto::v1::{ListPinsRequest, PinSectorRequest, UnpinSectorRequest};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout;

/// Keep the files of sectors: as long as a sector is pinned, `remove`, `release-unsealed`, `storage cleanup` and a forced
/// state Removing are refused. Files that belong to no known sector can be pinned too.
#[derive(Debug, clap::Args)]
pub(crate) struct Pin {
    /// Sector numbers.
    #[arg(required = true)]
    numbers: Vec<u64>,
    /// Why, for whoever wants to remove them.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Take pins off.
#[derive(Debug, clap::Args)]
pub(crate) struct Unpin {
    /// Sector numbers.
    #[arg(required = true)]
    numbers: Vec<u64>,
}

/// List pinned sectors.
#[derive(Debug, clap::Args)]
pub(crate) struct Pins {}

/// A sector, as `--json` prints it.
#[derive(Serialize)]
struct Changed {
    sector: u64,
    pinned: bool,
}

/// A pin, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    sector: u64,
    reason: String,
    since_unix_ms: u64,
}

impl Pin {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        for sector in &self.numbers {
            let ask = PinSectorRequest { sector: *sector, reason: self.reason.clone() };
            scheduler.pin_sector(request(ask)).await?;
        }
        show(context, &self.numbers, true)
    }
}

impl Unpin {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        for sector in &self.numbers {
            scheduler.unpin_sector(request(UnpinSectorRequest { sector: *sector })).await?;
        }
        show(context, &self.numbers, false)
    }
}

fn show(context: &Context, numbers: &[u64], pinned: bool) -> Result<(), CommandError> {
    let rows: Vec<Changed> = numbers.iter().map(|sector| Changed { sector: *sector, pinned }).collect();
    let line = |row: &Changed| format!("Sector {} is {}pinned\n", row.sector, if row.pinned { "" } else { "not " });
    context.show(&rows, |_| rows.iter().map(line).collect())
}

impl Pins {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let pins = context.scheduler().await?.list_pins(request(ListPinsRequest {})).await?.into_inner().pins;
        let row = |pin: sp_proto::v1::Pin| {
            let sp_proto::v1::Pin { sector, reason, since_unix_ms } = pin;
            Row { sector, reason, since_unix_ms }
        };
        let rows: Vec<Row> = pins.into_iter().map(row).collect();
        context.show(&rows, |_| text(&rows))
    }
}

fn text(rows: &[Row]) -> String {
    let line = |row: &Row| vec![row.sector.to_string(), layout::local_time(row.since_unix_ms), row.reason.clone()];
    layout::table(&["Sector", "Since", "Reason"], &rows.iter().map(line).collect::<Vec<_>>())
}
