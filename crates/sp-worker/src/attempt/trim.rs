//! FUS: an unsealed file of which only some ranges are kept. It is made aside, like everything that is published.

use std::ops::Range;

use sp_proto::v1::{ByteRange, FinalizeUnsealedParams};
use sp_types::{ErrorCode, FileKind};

use super::Attempt;
use super::prepare::{local, replica_id};
use crate::failure::Failure;
use crate::node::Node;

/// Makes it in the work directory of the output, from the copy that lies here.
pub(super) async fn trim(node: &Node, attempt: &Attempt, params: &FinalizeUnsealedParams) -> Result<(), Failure> {
    let assignment = &attempt.assignment;
    let refuse = |what: &str| Failure::new(ErrorCode::BadRequest, format!("the assignment names no unsealed {what}"));
    let input =
        assignment.inputs.iter().find(|input| input.kind == FileKind::Unsealed).ok_or_else(|| refuse("input"))?;
    let output = assignment.outputs.iter().find(|o| o.kind == FileKind::Unsealed).ok_or_else(|| refuse("output"))?;
    let here = local(node, input).await;
    let from = here.into_iter().next().ok_or_else(|| {
        let message = format!("the unsealed copy of {} does not lie here any more", assignment.sector);
        Failure::new(ErrorCode::FileMissing, message)
    })?;
    attempt.works_on(from.id());
    let (id, store) = (assignment.attempt, node.stores.get(&output.store)?);
    let replica = replica_id(assignment.sector, input, &from);
    let keep: Vec<Range<u64>> = params.keep.iter().map(|ByteRange { start, end }| *start..*end).collect();
    let (reading, read) = (from.clone(), replica.clone());
    let mut cut = node.env.blocking(move || reading.cut(&read, keep, &store.work(id)?)).await?;
    node.tell_read(&from, &replica).await;
    loop {
        if attempt.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let (back, done) = node
            .env
            .blocking(move || {
                let done = cut.step();
                (cut, done)
            })
            .await;
        cut = back;
        attempt.set_fraction(cut.fraction());
        if done? {
            return Ok(());
        }
    }
}
