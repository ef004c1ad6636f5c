//! Which replica of a sector lies here: its commitment by its cache, and a challenge of it answered.

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecReadCommR, ExecRequest};
use sp_types::{ErrorCode, FileKind};
use tokio_util::sync::CancellationToken;

use crate::attempt::text;
use crate::challenge::{self, PLAIN, Question, Sort, UPDATED};
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;

/// A replica that has answered its challenge.
pub(crate) struct Examined {
    /// Its commitment.
    pub(crate) comm_r: Vec<u8>,
    /// It is an update.
    pub(crate) updated: bool,
}

/// The replica here that the sector is proven by; its challenge was answered, and the answer checked. The question's own
/// commitment does not count. Where there is anything of an update, nothing else counts: what the replica before it would
/// answer is no word about the sector any more.
pub(crate) async fn examine(node: &Node, question: Question) -> Result<Examined, Failure> {
    let sector = question.sector;
    let kinds = |(replica, cache): Sort| [replica, cache];
    let here = node.stores.find(&node.env, sector, &[PLAIN, UPDATED].map(kinds).concat()).await;
    let has = |kind: FileKind| here.iter().any(|(_, info)| info.id.kind == kind);
    let updated = kinds(UPDATED).into_iter().any(has);
    let sort = if updated { UPDATED } else { PLAIN };
    if let Some(missing) = kinds(sort).into_iter().find(|kind| !has(*kind)) {
        let message = match updated {
            true => format!("{sector} was updated, and no {missing} of it is in a store of this worker"),
            false => format!("no {missing} of {sector} is in a store of this worker"),
        };
        return Err(Failure::new(ErrorCode::FileMissing, message));
    }
    let mut last = Err(Failure::new(ErrorCode::FileMissing, format!("no cache of {sector} could be read")));
    for (store, _) in here.iter().filter(|(_, info)| info.id.kind == sort.1) {
        let cache = text(&store.replica_path(sector, sort.1))?;
        last = with_cache(node, &question, cache, sort).await.map(|comm_r| Examined { comm_r, updated });
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn with_cache(node: &Node, question: &Question, cache: String, sort: Sort) -> Result<Vec<u8>, Failure> {
    let cancel = CancellationToken::new();
    let comm_r = comm_r_of(node, question, cache, &cancel).await?;
    let question = Question { comm_r: comm_r.clone(), ..question.clone() };
    challenge::read_sorts(node, &question, &[sort], &cancel).await?;
    Ok(comm_r)
}

/// Commitment of the replica that a cache is of, by its p_aux.
pub(crate) async fn comm_r_of(
    node: &Node,
    question: &Question,
    cache: String,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    let (miner, sector) = (question.sector.miner, question.sector.number);
    let op = Some(Op::ReadCommR(ExecReadCommR { cache }));
    let request = ExecRequest { request: 0, attempt: None, seal_proof: 0, miner, sector, op };
    let job = Job { role: Role::Reader, request, limit: question.limit(node), cancel: cancel.clone(), gpus: vec![] };
    match node.executor.run(job).await.map(|answer| answer.outcome) {
        Ok(Outcome::Data(comm_r)) => Ok(comm_r),
        Ok(_) => Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no commitment")),
        Err(error) => Err(error.into()),
    }
}
