//! Which replica of a sector lies here: its commitment by its cache, and a challenge of it answered.

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecReadCommR, ExecRequest};
use sp_types::{ErrorCode, FileKind};
use tokio_util::sync::CancellationToken;

use crate::attempt::text;
use crate::challenge::{self, Question};
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;

/// The commitment of the sealed file here; its challenge was answered, and the answer checked. The question's own
/// commitment does not count.
pub(crate) async fn examine(node: &Node, question: Question) -> Result<Vec<u8>, Failure> {
    let sector = question.sector;
    let caches = node.stores.find(&node.env, sector, &[FileKind::Cache]).await;
    let missing = || Failure::new(ErrorCode::FileMissing, format!("no cache of {sector} is in a store of this worker"));
    let mut last = Err(missing());
    for (store, _) in caches {
        let cache = text(&store.replica_path(sector, FileKind::Cache))?;
        last = with_cache(node, &question, cache).await;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn with_cache(node: &Node, question: &Question, cache: String) -> Result<Vec<u8>, Failure> {
    let (miner, sector) = (question.sector.miner, question.sector.number);
    let op = Some(Op::ReadCommR(ExecReadCommR { cache }));
    let request = ExecRequest { request: 0, attempt: None, seal_proof: 0, miner, sector, op };
    let (limit, cancel) = (question.limit(node), CancellationToken::new());
    let job = Job { role: Role::Reader, request, limit, cancel: cancel.clone(), gpus: vec![] };
    let comm_r = match node.executor.run(job).await.map(|answer| answer.outcome) {
        Ok(Outcome::Data(comm_r)) => comm_r,
        Ok(_) => return Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no commitment")),
        Err(error) => return Err(error.into()),
    };
    challenge::read_local(node, &Question { comm_r: comm_r.clone(), ..question.clone() }, &cancel).await?;
    Ok(comm_r)
}
