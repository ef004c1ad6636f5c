//! Where a sector is downloaded from, in its row.

use sp_proto::convert::{WireError, file_kind};
use sp_proto::v1;
use sp_sched_core::model::Receive;
use sp_types::DeadlineIndex;

pub(super) fn encode(receive: &Receive) -> v1::StoredReceive {
    let Receive { url, headers, kinds, deadline } = receive;
    v1::StoredReceive {
        url: url.clone(),
        headers: headers.iter().cloned().map(Into::into).collect(),
        kinds: kinds.iter().map(|kind| v1::FileKind::from(kind) as i32).collect(),
        deadline: deadline.0,
    }
}

pub(super) fn decode(stored: v1::StoredReceive) -> Result<Receive, WireError> {
    let v1::StoredReceive { url, headers, kinds, deadline } = stored;
    Ok(Receive {
        url,
        headers: headers.into_iter().map(Into::into).collect(),
        kinds: kinds.into_iter().map(file_kind).collect::<Result<_, _>>()?,
        deadline: DeadlineIndex(deadline),
    })
}
