//! A task as the scheduler gives it, checked: ids parsed, kinds known, sources typed.

use std::time::Duration;

use sp_proto::convert::{self, WireError, bytes32, required};
use sp_proto::v1;
use sp_types::{AttemptId, FileKind, GpuShare, Origin, RegisteredSealProof, SectorId, StoreId, TaskKind};

use crate::options::TIME_LIMIT_LONGEST;

/// A checked `Assign`.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) attempt: AttemptId,
    pub(crate) task: TaskKind,
    pub(crate) sector: SectorId,
    pub(crate) seal_proof: RegisteredSealProof,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) params: v1::assign::Params,
    pub(crate) time_limit: Duration,
    /// Bring the inputs, then wait for the scheduler's word.
    pub(crate) hold: bool,
    /// GPUs that it computes on; while it holds, those come with that word.
    pub(crate) gpus: Vec<GpuShare>,
    /// Whose the outputs are, among the sectors that have had this number.
    pub(crate) origin: Option<Origin>,
}

/// A file that the task reads.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) sector: SectorId,
    pub(crate) kind: FileKind,
    /// All zero for a foreign file that nobody has read whole yet.
    pub(crate) root: [u8; 32],
    pub(crate) sources: Vec<Source>,
}

/// Who has a file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) store: StoreId,
    pub(crate) data_url: String,
}

/// Where an output goes.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) kind: FileKind,
    pub(crate) store: StoreId,
}

impl Assignment {
    pub(crate) fn from_wire(wire: v1::Assign) -> Result<Self, WireError> {
        // A group is only started where streams were offered, and this build offers none.
        let v1::Assign {
            attempt,
            task,
            miner,
            sector,
            seal_proof,
            inputs,
            outputs,
            time_limit_ms,
            params,
            hold,
            gpus,
            group: _,
            origin,
        } = wire;
        let time_limit = match time_limit_ms {
            0 => TIME_LIMIT_LONGEST,
            ms => Duration::from_millis(ms).min(TIME_LIMIT_LONGEST),
        };
        Ok(Self {
            attempt: required("attempt", attempt)?.into(),
            task: convert::task_kind(task)?,
            sector: SectorId { miner, number: sector },
            seal_proof: convert::seal_proof(seal_proof)?,
            inputs: inputs.into_iter().map(|input| Input::from_wire(miner, input)).collect::<Result<_, _>>()?,
            outputs: outputs.into_iter().map(Output::from_wire).collect::<Result<_, _>>()?,
            params: required("params", params)?,
            time_limit,
            hold,
            gpus: gpu_shares(gpus)?,
            origin: Origin::new(origin),
        })
    }

    /// The piece that must be uploaded before it can run: ticket, length, digest. None for everything else.
    pub(crate) fn upload(&self) -> Result<Option<(String, u64, [u8; 32])>, WireError> {
        match &self.params {
            v1::assign::Params::AddPiece(piece) if piece.data_bytes > 0 => {
                let digest = bytes32("data_digest", &piece.data_digest)?;
                Ok(Some((piece.ticket.clone(), piece.data_bytes, digest)))
            }
            v1::assign::Params::DataCid(v1::DataCidParams { data_bytes, data_digest, ticket, padded_bytes: _ }) => {
                Ok(Some((ticket.clone(), *data_bytes, bytes32("data_digest", data_digest)?)))
            }
            _ => Ok(None),
        }
    }
}

/// GPUs as the scheduler gives them.
pub(crate) fn gpu_shares(gpus: Vec<v1::GpuShare>) -> Result<Vec<GpuShare>, WireError> {
    gpus.into_iter().map(TryInto::try_into).collect()
}

impl Input {
    fn from_wire(miner: u64, wire: v1::Input) -> Result<Self, WireError> {
        let v1::Input { kind, root, size_bytes: _, sources, sector } = wire;
        let source = |v1::Source { store, data_url }| Ok(Source { store: convert::store_id(&store)?, data_url });
        Ok(Self {
            sector: SectorId { miner, number: sector },
            kind: convert::file_kind(kind)?,
            root: if root.is_empty() { [0; 32] } else { bytes32("root", &root)? },
            sources: sources.into_iter().map(source).collect::<Result<_, WireError>>()?,
        })
    }
}

impl Output {
    fn from_wire(wire: v1::Output) -> Result<Self, WireError> {
        // The reservation is the index's affair.
        let v1::Output { kind, store, reserved_bytes: _ } = wire;
        Ok(Self { kind: convert::file_kind(kind)?, store: convert::store_id(&store)? })
    }
}
