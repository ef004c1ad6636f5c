//! Sectors whose files are downloaded from elsewhere: what an operator says of the source, checked.

use sp_net::status::to_status;
use sp_proto::convert::bytes32;
use sp_proto::v1;
use sp_sched_core::event::{ReceiveOrder, Request};
use sp_sched_core::model::Receive;
use sp_types::{Commitment, ErrorCode, FileKind, FileKindSet, HttpHeader, SourceUrl};
use tonic::Status;

use super::imports::checked_record;
use super::{Api, REQUEST_LIMIT, moved};

/// Most headers of a source.
const HEADERS_MAX: usize = 16;

impl Api {
    /// Has a sector downloaded and taken over.
    pub(super) async fn receive_sector(
        &self,
        number: u64,
        from: v1::SectorSource,
        record: Option<v1::SectorRecord>,
        updated: bool,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::SectorSource { url, headers, unsealed } = from;
        let url = url.parse::<SourceUrl>().map_err(bad)?.to_string();
        if headers.len() > HEADERS_MAX {
            return Err(bad(format!("{} headers are too many; the limit is {HEADERS_MAX}", headers.len())));
        }
        let checked = |v1::HttpHeader { name, value }| HttpHeader::new(&name, &value).map_err(bad);
        let headers = headers.into_iter().map(checked).collect::<Result<_, _>>()?;
        let record = match record {
            Some(record) => {
                self.is_of_sector(number, &record)?;
                Some((recorded_comm_r(number, updated, &record)?, checked_record(record)?))
            }
            None => None,
        };
        let place = self.place_of(number).await?;
        let receive = Receive { url, headers, kinds: kinds(updated, unsealed), place };
        let order = ReceiveOrder { number, receive, record };
        moved(&self.ask(Request::Receive(Box::new(order)), REQUEST_LIMIT).await?)
    }
}

/// What is downloaded. The data of an updated sector is read with the replica before the update, too.
fn kinds(updated: bool, unsealed: bool) -> FileKindSet {
    let mut kinds = FileKindSet::of(&[FileKind::Sealed, FileKind::Cache]);
    if updated {
        kinds.insert(FileKind::Update);
        kinds.insert(FileKind::UpdateCache);
    }
    if unsealed {
        kinds.insert(FileKind::Unsealed);
    }
    kinds
}

/// Commitment of the replica that the record says is proven.
fn recorded_comm_r(number: u64, updated: bool, record: &v1::SectorRecord) -> Result<Commitment, Status> {
    let comm_r = match (&record.update, updated) {
        (None, false) => &record.comm_r,
        (Some(update), true) => &update.comm_r,
        (Some(_), false) => {
            return Err(bad(format!("the record is of sector {number} with its update (SnapDeals); add --updated")));
        }
        (None, true) => {
            return Err(bad(format!(
                "the record of sector {number} is of before its update (SnapDeals): export it again where it was updated, \
                 or import it without its record, so that it can be proven and not unsealed"
            )));
        }
    };
    bytes32("comm_r", comm_r).map(Commitment).map_err(bad)
}

fn bad(why: impl ToString) -> Status {
    to_status(ErrorCode::BadRequest, why.to_string())
}
