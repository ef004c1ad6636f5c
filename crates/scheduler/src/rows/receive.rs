//! Where a sector is downloaded from, in its row.

use sp_proto::convert::{WireError, file_kind};
use sp_proto::v1;
use sp_sched_core::model::Receive;
use sp_types::{DeadlineIndex, PartitionIndex};

pub(super) fn encode(receive: &Receive) -> v1::StoredReceive {
    let Receive { url, headers, kinds, place } = receive;
    v1::StoredReceive {
        url: url.clone(),
        headers: headers.iter().cloned().map(Into::into).collect(),
        kinds: kinds.iter().map(|kind| v1::FileKind::from(kind) as i32).collect(),
        deadline: place.0.0,
        partition: place.1.0,
    }
}

pub(super) fn decode(stored: v1::StoredReceive) -> Result<Receive, WireError> {
    let v1::StoredReceive { url, headers, kinds, deadline, partition } = stored;
    Ok(Receive {
        url,
        headers: headers.into_iter().map(Into::into).collect(),
        kinds: kinds.into_iter().map(file_kind).collect::<Result<_, _>>()?,
        place: (DeadlineIndex(deadline), PartitionIndex(partition)),
    })
}
