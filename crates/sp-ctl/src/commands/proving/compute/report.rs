//! A computed proof of spacetime in its published form, which `sp-ctl verify` and others read.

use serde::Serialize;
use sp_proto::v1::{ComputePostReply, ProvenPartition};

use crate::context::Context;
use crate::error::CommandError;
use crate::layout::go_duration;
use crate::output;

/// The published form; others read it, so names and order stay.
#[derive(Debug, Serialize)]
struct Proof {
    deadline: u32,
    proof_type: String,
    prover_id: String,
    randomness: String,
    partitions: Vec<PartitionProof>,
    took_ms: u64,
}

#[derive(Debug, Serialize)]
struct PartitionProof {
    index: u32,
    worker: String,
    sectors: Vec<Sector>,
    skipped: Vec<Skipped>,
    proof: String,
}

#[derive(Debug, Serialize)]
struct Sector {
    number: u64,
    comm_r: String,
}

#[derive(Debug, Serialize)]
struct Skipped {
    number: u64,
    reason: String,
}

/// Prints the proof: with `--json` alone, else after `Took ...` as Lotus does. Who proved, and what failed before,
/// goes to standard error.
pub(super) fn show(context: &Context, reply: ComputePostReply) -> Result<(), CommandError> {
    if !context.json() {
        reply.partitions.iter().flat_map(notes).for_each(|note| output::note(&note));
    }
    let proof = Proof::from(reply);
    let body = output::json_text(&proof)?;
    if context.json() {
        output::print(&body)
    } else {
        output::print(&format!("Took {}\n{body}", go_duration(proof.took_ms)))
    }
}

fn notes(partition: &ProvenPartition) -> Vec<String> {
    let ProvenPartition { index, worker, builtin, sectors, skipped, took_ms, retries, .. } = partition;
    let mut notes: Vec<String> = retries.iter().map(|retry| format!("partition {index}: tried {retry}")).collect();
    let builtin = if *builtin { " (built-in)" } else { "" };
    let count = sectors.len();
    notes.push(match (count, worker.as_str()) {
        (0, _) | (_, "") => format!("partition {index}: nothing could be proven"),
        _ => format!("partition {index}: {count} sectors proven by {worker}{builtin} in {}", go_duration(*took_ms)),
    });
    notes.extend(skipped.iter().map(|s| format!("partition {index}: sector {} skipped: {}", s.number, s.reason)));
    notes
}

impl From<ComputePostReply> for Proof {
    fn from(reply: ComputePostReply) -> Self {
        Self {
            deadline: reply.deadline,
            proof_type: reply.proof_type,
            prover_id: hex::encode(reply.prover_id),
            randomness: hex::encode(reply.randomness),
            partitions: reply.partitions.into_iter().map(PartitionProof::from).collect(),
            took_ms: reply.took_ms,
        }
    }
}

impl From<ProvenPartition> for PartitionProof {
    fn from(partition: ProvenPartition) -> Self {
        let sector = |s: sp_proto::v1::PostSector| Sector { number: s.number, comm_r: hex::encode(s.comm_r) };
        let skipped = |s: sp_proto::v1::SkippedSector| Skipped { number: s.number, reason: s.reason };
        Self {
            index: partition.index,
            worker: partition.worker,
            sectors: partition.sectors.into_iter().map(sector).collect(),
            skipped: partition.skipped.into_iter().map(skipped).collect(),
            proof: hex::encode(partition.proof),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::{PostSector, SkippedSector};

    fn partition() -> ProvenPartition {
        ProvenPartition {
            index: 1,
            worker: "post-b".into(),
            sectors: vec![PostSector { number: 2, comm_r: vec![0xCD], seal_proof: 5 }],
            proof: vec![0xEF],
            ..ProvenPartition::default()
        }
    }

    #[test]
    fn the_published_form() {
        let reply = ComputePostReply {
            deadline: 3,
            proof_type: "StackedDrgWindow2KiBV1_2".into(),
            prover_id: vec![0xe8, 0x07],
            randomness: vec![1],
            partitions: vec![partition()],
            took_ms: 1200,
        };
        let expected = r#"{"deadline":3,"proof_type":"StackedDrgWindow2KiBV1_2","prover_id":"e807","randomness":"01","partitions":[{"index":1,"worker":"post-b","sectors":[{"number":2,"comm_r":"cd"}],"skipped":[],"proof":"ef"}],"took_ms":1200}"#;
        assert_eq!(serde_json::to_string(&Proof::from(reply)).unwrap(), expected);
    }

    #[test]
    fn notes_name_the_prover_and_what_went_wrong() {
        let reply = ProvenPartition {
            builtin: true,
            took_ms: 900,
            retries: vec!["post-a: connection lost".into()],
            skipped: vec![SkippedSector { number: 4, reason: "sealed file is cut".into() }],
            ..partition()
        };
        let expected = [
            "partition 1: tried post-a: connection lost",
            "partition 1: 1 sectors proven by post-b (built-in) in 900ms",
            "partition 1: sector 4 skipped: sealed file is cut",
        ];
        assert_eq!(notes(&reply), expected);
    }
}
