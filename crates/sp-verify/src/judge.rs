//! What a proof claims, and upstream's verdict on it.

use std::fmt;

use blstrs::{G1Affine, G2Affine};
use group::prime::PrimeCurveAffine;
use proofs_core::stages::{
    PostSector, SectorContext, StageError, UpdateCommitments, verify_seal, verify_update, verify_window_post,
    verify_winning_post,
};
use sp_types::{
    Commitment, ErrorCode, PostProof, PostType, ProverId, Randomness, RegisteredSealProof, RegisteredUpdateProof,
    SealFeature, SectorSize,
};

/// A claim with its proof.
pub(crate) enum Statement {
    /// This replica of this data is sealed for this prover.
    Seal(Box<Seal>),
    /// These sectors are stored: one window PoSt partition, or one winning PoSt.
    Post(Post),
    /// This replica became that one by this data.
    Update(Box<Update>),
}

/// A claim about a seal.
pub(crate) struct Seal {
    pub(crate) ctx: SectorContext,
    pub(crate) ticket: [u8; 32],
    pub(crate) seed: [u8; 32],
    pub(crate) comm_d: Commitment,
    pub(crate) comm_r: Commitment,
    pub(crate) proof: Vec<u8>,
}

/// A claim about stored sectors.
pub(crate) struct Post {
    pub(crate) proof_type: PostProof,
    pub(crate) prover_id: ProverId,
    pub(crate) randomness: Randomness,
    /// Of a window PoSt; 0 for winning.
    pub(crate) partition: u32,
    pub(crate) sectors: Vec<PostSector>,
    pub(crate) proof: Vec<u8>,
}

/// A claim about a snap update.
pub(crate) struct Update {
    pub(crate) proof_type: RegisteredUpdateProof,
    /// Whose it is, where that is known: it does not enter the proof.
    pub(crate) sector: Option<u64>,
    pub(crate) comms: UpdateCommitments,
    pub(crate) proof: Vec<u8>,
}

impl Statement {
    /// Upstream's verdict; an error when it could not be reached.
    pub(crate) fn judge(&self) -> Result<bool, StageError> {
        match self {
            Self::Seal(seal) => verify_seal(&seal.ctx, &seal.comm_r, &seal.comm_d, seal.ticket, seal.seed, &seal.proof),
            Self::Post(post) => post.judge(),
            Self::Update(update) => verify_update(update.proof_type, &update.comms, &update.proof),
        }
    }
}

impl Post {
    fn judge(&self) -> Result<bool, StageError> {
        let Self { proof_type, prover_id, randomness, partition, sectors, proof } = self;
        match (proof_type.post_type, sectors.as_slice()) {
            (PostType::Window, sectors) => {
                verify_window_post(*proof_type, *prover_id, randomness, *partition, sectors, proof)
            }
            (PostType::Winning, [sector]) => verify_winning_post(*proof_type, *prover_id, randomness, sector, proof),
            // A winning PoSt is of one sector: for any other number nothing is proven.
            (PostType::Winning, _) => Ok(false),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(seal) => write!(f, "seal of sector {} ({})", seal.ctx.number, seal.ctx.proof),
            Self::Post(post) => {
                let sectors: Vec<_> = post.sectors.iter().map(|sector| sector.number.to_string()).collect();
                match post.proof_type.post_type {
                    PostType::Window => write!(f, "partition {} (", post.partition)?,
                    PostType::Winning => write!(f, "winning PoSt (")?,
                }
                write!(f, "{}) of sectors {}", post.proof_type, sectors.join(", "))
            }
            Self::Update(update) => match update.sector {
                Some(number) => write!(f, "update of sector {number} ({})", update.proof_type),
                None => write!(f, "update ({})", update.proof_type),
            },
        }
    }
}

/// Has upstream load the verifying key of a seal proof, by verifying a proof that is well-formed and wrong.
pub(crate) fn warm_seal(proof: RegisteredSealProof) -> Result<(), StageError> {
    let partitions = match (proof.feature, proof.size) {
        // An aggregate cannot be made up so easily; only the presence of its files is checked.
        (SealFeature::NonInteractive, _) => 0,
        (_, SectorSize::GiB32 | SectorSize::GiB64) => 10,
        _ => 1,
    };
    let seal = Seal {
        ctx: SectorContext { proof, prover_id: ProverId::of_miner(0), number: 0 },
        ticket: [1; 32],
        seed: [1; 32],
        comm_d: Commitment([1; 32]),
        comm_r: Commitment([1; 32]),
        proof: wrong_snark().repeat(partitions),
    };
    Statement::Seal(Box::new(seal)).judge().map(drop)
}

/// The same for the update proof of a size. Not everybody snaps: a key that is not there is not missed until it is needed.
pub(crate) fn warm_update(proof_type: RegisteredUpdateProof) -> Result<(), StageError> {
    let partitions = match proof_type.size {
        SectorSize::KiB2 => 1,
        SectorSize::MiB8 => 4,
        _ => 16,
    };
    let [comm_r_old, comm_r_new, comm_d_new] = [1, 2, 3].map(|byte| Commitment([byte; 32]));
    let comms = UpdateCommitments { comm_r_old, comm_r_new, comm_d_new };
    match verify_update(proof_type, &comms, &wrong_snark().repeat(partitions)) {
        Err(error) if error.code() == ErrorCode::BadParameters => Ok(()),
        judged => judged.map(drop),
    }
}

/// The same for a PoSt proof.
pub(crate) fn warm_post(proof_type: PostProof) -> Result<(), StageError> {
    let post = Post {
        proof_type,
        prover_id: ProverId::of_miner(0),
        randomness: Randomness::new([1; 32]),
        partition: 0,
        sectors: vec![PostSector { number: 0, comm_r: Commitment([1; 32]) }],
        proof: wrong_snark(),
    };
    post.judge().map(drop)
}

/// A Groth16 proof of curve points that proves nothing: the generators.
fn wrong_snark() -> Vec<u8> {
    let (g1, g2) = (G1Affine::generator().to_compressed(), G2Affine::generator().to_compressed());
    [&g1[..], &g2, &g1].concat()
}
