//! Requests of a scrub: is what an unsealed file or a replica comes to what was committed to?

use std::path::Path;

use proofs_core::stages;
use sp_proto::convert::{WireError, bytes32};
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecCheckData, ExecCheckReplica, NoOutput};
use sp_types::Commitment;

use crate::Refused;

pub(crate) fn data(op: &ExecCheckData) -> Result<Outcome, Refused> {
    let ExecCheckData { unsealed, comm_d, data_bytes } = op;
    let data_bytes = Some(*data_bytes).filter(|bytes| *bytes > 0);
    stages::check_data(Path::new(unsealed), data_bytes, &commitments("comm_d", comm_d)?)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn replica(op: &ExecCheckReplica) -> Result<Outcome, Refused> {
    let ExecCheckReplica { sealed, cache, comm_r } = op;
    stages::check_replica(Path::new(sealed), Path::new(cache), &commitments("comm_r", comm_r)?)?;
    Ok(Outcome::None(NoOutput {}))
}

fn commitments(field: &'static str, wire: &[Vec<u8>]) -> Result<Vec<Commitment>, WireError> {
    wire.iter().map(|bytes| Ok(Commitment(bytes32(field, bytes)?))).collect()
}
