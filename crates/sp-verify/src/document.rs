//! Proof documents: the JSON of `sp-ctl sectors proof --json` and `sp-ctl proving compute ... --json`.
//!
//! Bytes are hex, proof types upstream's names. Fields that say nothing about the proof (`worker`, `took_ms`) are
//! ignored.

use std::collections::BTreeSet;
use std::str::FromStr;

use proofs_core::stages::{PostSector, SectorContext};
use serde::Deserialize;
use serde_json::Value;
use sp_types::{Commitment, PostProof, ProverId, Randomness, RegisteredSealProof};

use crate::judge::{Post, Seal, Statement};

/// Why a text is no proof document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("{0}; expected is the output of `sp-ctl sectors proof N --json` or of `sp-ctl proving compute ... --json`")]
    Json(#[from] serde_json::Error),
    #[error("`{field}` is not {expected}")]
    Field { field: &'static str, expected: String },
    #[error("`miner` says {miner}, but `prover_id` is another's; one of them is wrong")]
    OtherMiner { miner: u64 },
    #[error("`partitions` is empty; there is nothing to verify")]
    NoPartitions,
    #[error("partition {0} is there twice")]
    PartitionTwice(u32),
}

#[derive(Deserialize)]
struct SealDocument {
    miner: Option<Miner>,
    sector: u64,
    proof_type: String,
    prover_id: String,
    ticket: String,
    seed: String,
    comm_d: String,
    comm_r: String,
    proof: String,
}

#[derive(Deserialize)]
struct PostDocument {
    miner: Option<Miner>,
    proof_type: String,
    prover_id: String,
    randomness: String,
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
struct Partition {
    #[serde(default)]
    index: u32,
    sectors: Vec<Sector>,
    /// Sectors that were left out, as numbers or with a reason each.
    #[serde(default)]
    skipped: Vec<Value>,
    proof: String,
}

/// What a document says.
pub(crate) struct Claims {
    /// What it claims to prove.
    pub(crate) statements: Vec<Statement>,
    /// Partitions that claim nothing: every sector was skipped.
    pub(crate) nothing: Vec<Nothing>,
}

/// A partition without a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nothing {
    pub(crate) partition: u32,
    /// How many sectors it has skipped.
    pub(crate) skipped: usize,
}

impl Partition {
    /// It proves no sector, and says so itself.
    fn claims_nothing(&self) -> bool {
        self.sectors.is_empty() && self.proof.is_empty() && !self.skipped.is_empty()
    }
}

#[derive(Deserialize)]
struct Sector {
    number: u64,
    comm_r: String,
}

/// An actor id, or the id address that is made of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Miner {
    Id(u64),
    Address(String),
}

/// The claims of a document. There may be none left when every sector was skipped.
pub(crate) fn parse(text: &str) -> Result<Claims, DocumentError> {
    let value: Value = serde_json::from_str(text)?;
    if value.get("partitions").is_some() {
        post(value)
    } else {
        Ok(Claims { statements: vec![seal(value)?], nothing: Vec::new() })
    }
}

fn seal(value: Value) -> Result<Statement, DocumentError> {
    let document: SealDocument = serde_json::from_value(value)?;
    let proof: RegisteredSealProof = name("proof_type", "a registered seal proof", &document.proof_type)?;
    let prover_id = prover_id(&document.prover_id, document.miner)?;
    Ok(Statement::Seal(Box::new(Seal {
        ctx: SectorContext { proof, prover_id, number: document.sector },
        ticket: bytes32("ticket", &document.ticket)?,
        seed: bytes32("seed", &document.seed)?,
        comm_d: Commitment(bytes32("comm_d", &document.comm_d)?),
        comm_r: Commitment(bytes32("comm_r", &document.comm_r)?),
        proof: bytes("proof", &document.proof)?,
    })))
}

fn post(value: Value) -> Result<Claims, DocumentError> {
    let document: PostDocument = serde_json::from_value(value)?;
    let proof_type: PostProof = name("proof_type", "a registered PoSt proof", &document.proof_type)?;
    let prover_id = prover_id(&document.prover_id, document.miner)?;
    let randomness = Randomness::new(bytes32("randomness", &document.randomness)?);
    if document.partitions.is_empty() {
        return Err(DocumentError::NoPartitions);
    }
    let mut seen = BTreeSet::new();
    let mut claims = Claims { statements: Vec::new(), nothing: Vec::new() };
    for partition in document.partitions {
        if !seen.insert(partition.index) {
            return Err(DocumentError::PartitionTwice(partition.index));
        }
        if partition.claims_nothing() {
            claims.nothing.push(Nothing { partition: partition.index, skipped: partition.skipped.len() });
            continue;
        }
        let sectors = partition.sectors.iter().map(sector).collect::<Result<_, _>>()?;
        let (partition, proof) = (partition.index, bytes("proof", &partition.proof)?);
        claims.statements.push(Statement::Post(Post { proof_type, prover_id, randomness, partition, sectors, proof }));
    }
    Ok(claims)
}

fn sector(sector: &Sector) -> Result<PostSector, DocumentError> {
    Ok(PostSector { number: sector.number, comm_r: Commitment(bytes32("comm_r", &sector.comm_r)?) })
}

fn prover_id(text: &str, miner: Option<Miner>) -> Result<ProverId, DocumentError> {
    let prover_id = ProverId(bytes32("prover_id", text)?);
    let miner = match miner {
        None => return Ok(prover_id),
        Some(Miner::Id(miner)) => miner,
        Some(Miner::Address(text)) => {
            let id = text.strip_prefix("t0").or_else(|| text.strip_prefix("f0")).unwrap_or(&text);
            id.parse().map_err(|_| wrong("miner", "an id address such as t01000, or its number"))?
        }
    };
    if ProverId::of_miner(miner) == prover_id { Ok(prover_id) } else { Err(DocumentError::OtherMiner { miner }) }
}

fn name<T: FromStr>(field: &'static str, expected: &str, text: &str) -> Result<T, DocumentError> {
    text.parse().map_err(|_| wrong(field, expected))
}

fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, DocumentError> {
    hex::decode(text).map_err(|_| wrong(field, "hex"))
}

fn bytes32(field: &'static str, text: &str) -> Result<[u8; 32], DocumentError> {
    bytes(field, text)?.try_into().map_err(|_| wrong(field, "32 bytes in hex"))
}

fn wrong(field: &'static str, expected: &str) -> DocumentError {
    DocumentError::Field { field, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hex32(byte: u8) -> String {
        hex::encode([byte; 32])
    }

    fn seal_document() -> Value {
        json!({
            "miner": 1000, "sector": 7, "proof_type": "StackedDrg2KiBV1_1",
            "prover_id": hex::encode(ProverId::of_miner(1000).0),
            "ticket": hex32(1), "seed": hex32(2), "comm_d": hex32(3), "comm_r": hex32(4), "proof": "00ff",
        })
    }

    fn post_document() -> Value {
        json!({
            "deadline": 3, "proof_type": "StackedDrgWindow2KiBV1_2", "prover_id": hex32(5), "randomness": hex32(0xff),
            "partitions": [
                {"index": 0, "worker": "w", "sectors": [{"number": 1, "comm_r": hex32(6)}], "skipped": [], "proof": "aa"},
                {"index": 1, "worker": "v", "sectors": [], "skipped": [2], "proof": "bb"},
            ],
            "took_ms": 12,
        })
    }

    fn error(document: &Value) -> String {
        parse(&document.to_string()).err().expect("must be refused").to_string()
    }

    #[test]
    fn both_documents_are_read() {
        let statements = parse(&seal_document().to_string()).unwrap().statements;
        let [Statement::Seal(seal)] = statements.as_slice() else { panic!("one seal") };
        assert_eq!((seal.ctx.number, seal.ctx.prover_id, seal.seed), (7, ProverId::of_miner(1000), [2; 32]));
        assert_eq!(seal.proof, [0, 255]);
        let mut by_address = seal_document();
        by_address["miner"] = json!("t01000");
        assert!(parse(&by_address.to_string()).is_ok());

        let statements = parse(&post_document().to_string()).unwrap().statements;
        let [Statement::Post(first), Statement::Post(second)] = statements.as_slice() else { panic!("two") };
        assert_eq!((first.partition, first.sectors[0].number, first.randomness.bytes()[31]), (0, 1, 0x3f));
        assert_eq!((second.partition, second.sectors.len()), (1, 0));
    }

    #[test]
    fn a_partition_that_skipped_everything_claims_nothing() {
        let mut document = post_document();
        document["partitions"][1] = json!({"index": 1, "sectors": [], "proof": "", "skipped": [
            {"number": 2, "reason": "sealed file is cut"}, {"number": 3, "reason": "sealed file is cut"},
        ]});
        let claims = parse(&document.to_string()).unwrap();
        assert_eq!((claims.statements.len(), claims.nothing), (1, vec![Nothing { partition: 1, skipped: 2 }]));
        // Without proof and without skipped sectors it is not a partition that was left out, it is a wrong one.
        document["partitions"][1]["skipped"] = json!([]);
        assert_eq!(parse(&document.to_string()).unwrap().statements.len(), 2);
        document["partitions"] = json!([{"index": 0, "sectors": [], "skipped": [1], "proof": ""}]);
        assert!(parse(&document.to_string()).unwrap().statements.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (field, value, expected) in [
            ("comm_r", json!("abc"), "`comm_r` is not hex"),
            ("ticket", json!("ab"), "`ticket` is not 32 bytes"),
            ("proof_type", json!("StackedDrgWindow2KiBV1_2"), "`proof_type` is not a registered seal proof"),
            ("miner", json!(1001), "one of them is wrong"),
            ("miner", json!("t3abc"), "`miner` is not an id address"),
            ("sector", json!("x"), "sectors proof N --json"),
        ] {
            let mut document = seal_document();
            document[field] = value;
            assert!(error(&document).contains(expected), "{}", error(&document));
        }
        let mut document = post_document();
        document["partitions"][1]["index"] = json!(0);
        assert_eq!(error(&document), "partition 0 is there twice");
        document["partitions"] = json!([]);
        assert!(error(&document).contains("nothing to verify"));
        assert!(parse("nonsense").is_err());
    }
}
