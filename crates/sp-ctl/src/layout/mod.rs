//! How things look: tables, bars, durations, commitments and colours, in the layouts that Lotus users know.

mod bar;
mod cid;
mod clock;
mod hardware;
pub(crate) mod hosts;
mod paint;
mod table;
pub(crate) mod workers;

use sp_proto::convert;
use sp_types::TaskKind;

pub(crate) use bar::{Filling, bar};
pub(crate) use cid::{sealed_cid, unsealed_cid};
pub(crate) use clock::{go_duration, local_date_time, local_time, rough_duration, seconds};
pub(crate) use paint::{Color, Paint};
pub(crate) use table::{table, table_lines};

/// Short code of a task from its wire number; one that this build does not know is named as unknown.
pub(crate) fn task_code(number: i32) -> String {
    match convert::task_kind(number) {
        Ok(kind) => kind.short().to_owned(),
        Err(_) if number == 0 => String::new(),
        Err(_) => format!("task#{number}"),
    }
}

/// The sector of a task from the wire: DC is about none.
pub(crate) fn sector_of(task: i32, sector: u64) -> Option<u64> {
    let has_none = convert::task_kind(task).is_ok_and(|kind| kind == TaskKind::DataCid);
    (!has_none).then_some(sector)
}

/// A sector in a column.
pub(crate) fn sector_text(sector: Option<u64>) -> String {
    sector.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Upstream's name of a registered seal proof.
pub(crate) fn seal_proof_name(number: u64) -> String {
    sp_types::RegisteredSealProof::from_id(number).map_or_else(|_| format!("proof#{number}"), |p| p.to_string())
}
