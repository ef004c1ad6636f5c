//! Snap updates: new data into a sealed sector, its proof, the way back, and PoSt over the result.

use std::fs;
use std::path::{Path, PathBuf};

use filecoin_proofs::{
    PoRepConfig, SectorShape2KiB, SectorUpdateConfig, UnpaddedBytesAmount, decode_from, encode_into,
    generate_partition_proofs, remove_encoded_data, verify_empty_sector_update_proof,
};
use proofs_core::stages::{self, PostSector, SealCommitments, StageError, UpdateCommitments};
use sp_types::{
    Commitment, ErrorCode, PieceInfo, PostProof, PostType, Randomness, RegisteredUpdateProof, SealFeature, SectorSize,
};
use storage_proofs_core::api_version::ApiVersion;

use super::support::{Sector, TICKET, context, data, names, with_parameters, without_parameters};

const PROOF: RegisteredUpdateProof = RegisteredUpdateProof { size: SectorSize::KiB2 };

/// What of an update stays.
const TRIMMED: [&str; 3] = ["p_aux", "sc-02-data-tree-r-last.dat", "t_aux"];

/// A sealed and finalised sector, and its update.
struct Snapped {
    sector: Sector,
    /// Data of the update, as AddPiece wrote it.
    new: Sector,
    comms: UpdateCommitments,
}

impl Snapped {
    /// `old` and `new` are the sector's data before and after.
    fn make(feature: SealFeature, number: u64, old: &[u8], new: &[u8]) -> Self {
        let ctx = context(feature, number);
        let (sector, sealing) = Sector::sealed(ctx, old);
        stages::finalize(&sector.cache()).unwrap();
        let new = Sector::add_piece(ctx, new);
        let made = update(&sector, &new, &sector.file("update"), &sector.file("update-cache")).unwrap();
        assert_eq!(made.comm_d, stages::comm_d(ctx.proof, &new.pieces).unwrap());
        let comms = UpdateCommitments { comm_r_old: sealing.comm_r, comm_r_new: made.comm_r, comm_d_new: made.comm_d };
        Self { sector, new, comms }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.sector.file(name)
    }

    fn pr1(&self) -> Result<Vec<u8>, StageError> {
        self.pr1_of(&self.comms)
    }

    fn pr1_of(&self, comms: &UpdateCommitments) -> Result<Vec<u8>, StageError> {
        let [sealed, cache, update, update_cache] = ["sealed", "cache", "update", "update-cache"].map(|n| self.file(n));
        stages::prove_replica_update_1(PROOF, comms, &sealed, &cache, &update, &update_cache)
    }

    fn unseal(&self, out: &str) -> Result<(), StageError> {
        let [sealed, cache, update] = ["sealed", "cache", "update"].map(|n| self.file(n));
        stages::unseal_update(PROOF, &self.comms.comm_d_new, &sealed, &cache, &update, &self.file(out))
    }

    fn regen(&self, sealed: &str, cache: &str) -> Result<Commitment, StageError> {
        let (update, old_cache) = (self.file("update"), self.file("cache"));
        let (sealed, cache) = (self.file(sealed), self.file(cache));
        let unsealed = self.new.file("unsealed");
        stages::regen_sector_key(PROOF, &self.comms.comm_d_new, &unsealed, &update, &old_cache, &sealed, &cache)
    }

    fn vanilla(&self, proof: PostProof, comm_r: Commitment, files: [&str; 2]) -> Result<Vec<u8>, StageError> {
        let ctx = self.sector.ctx;
        let named = PostSector { number: ctx.number, comm_r };
        let [replica, cache] = files.map(|name| self.file(name));
        stages::vanilla_proof(proof, ctx.prover_id, &randomness(), &named, &replica, &cache)
    }
}

fn update(sector: &Sector, new: &Sector, update: &Path, cache: &Path) -> Result<SealCommitments, StageError> {
    update_of(sector, &new.pieces, &new.file("unsealed"), update, cache)
}

fn update_of(
    sector: &Sector,
    pieces: &[PieceInfo],
    unsealed: &Path,
    update: &Path,
    cache: &Path,
) -> Result<SealCommitments, StageError> {
    stages::replica_update(PROOF, pieces, unsealed, &sector.file("sealed"), &sector.cache(), update, cache)
}

fn randomness() -> Randomness {
    Randomness::new([0xab; 32])
}

fn upstream_config() -> PoRepConfig {
    let mut porep_id = [0; 32];
    porep_id[0] = 5;
    PoRepConfig::new_groth16(2048, porep_id, ApiVersion::V1_1_0)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, StageError>) -> ErrorCode {
    result.unwrap_err().code()
}

#[test]
fn an_update_is_proven_verified_and_decoded() {
    with_parameters("snap::an_update_is_proven_verified_and_decoded", || {
        let snapped = Snapped::make(SealFeature::V1_1, 60, &[], &data(1700));
        let vanilla = snapped.pr1().unwrap();
        let proof = stages::prove_replica_update_2(PROOF, &snapped.comms, &vanilla).unwrap();
        assert_eq!(proof.len(), 192);
        assert_verified(&snapped.comms, &proof);

        stages::finalize_replica_update(&snapped.file("update-cache")).unwrap();
        stages::finalize_replica_update(&snapped.file("update-cache")).unwrap();
        assert_eq!(names(&snapped.file("update-cache")), TRIMMED);
        snapped.unseal("out").unwrap();
        assert!(read(&snapped.file("out")) == read(&snapped.new.file("unsealed")));
        let mut piece = Vec::new();
        stages::read_piece(&snapped.file("out"), 0, 1700, &mut piece).unwrap();
        assert!(piece == data(1700));

        let foreign = UpdateCommitments { comm_r_new: snapped.comms.comm_r_old, ..snapped.comms };
        assert_eq!(code(stages::prove_replica_update_2(PROOF, &foreign, &vanilla)), ErrorCode::BadRequest);
        let mut flipped = vanilla.clone();
        let last = flipped.len() - 40;
        flipped[last] ^= 1;
        assert!(stages::prove_replica_update_2(PROOF, &snapped.comms, &flipped).is_err());
    });
}

/// By us, by upstream, and nothing but the very proof of the very update.
fn assert_verified(comms: &UpdateCommitments, proof: &[u8]) {
    let verify = |comms: &UpdateCommitments, proof: &[u8]| stages::verify_update(PROOF, comms, proof).unwrap();
    assert!(verify(comms, proof));
    let UpdateCommitments { comm_r_old, comm_r_new, comm_d_new } = *comms;
    let upstream = verify_empty_sector_update_proof::<SectorShape2KiB>(
        &upstream_config(),
        proof,
        comm_r_old.0,
        comm_r_new.0,
        comm_d_new.0,
    );
    assert!(upstream.unwrap());
    for wrong in [
        UpdateCommitments { comm_r_old: comm_r_new, ..*comms },
        UpdateCommitments { comm_r_new: comm_r_old, ..*comms },
        UpdateCommitments { comm_d_new: comm_r_old, ..*comms },
        UpdateCommitments { comm_r_old: Commitment([0; 32]), ..*comms },
        UpdateCommitments { comm_d_new: Commitment([0xff; 32]), ..*comms },
    ] {
        assert!(!verify(&wrong, proof), "{wrong:?}");
    }
    for at in [0, 47, 48, 100, 191] {
        let mut flipped = proof.to_vec();
        flipped[at] ^= 1;
        assert!(!verify(comms, &flipped), "byte {at}");
    }
    for bytes in [&proof[..191], &[proof.to_vec(), vec![0]].concat(), &[]] {
        assert!(!verify(comms, bytes), "{} bytes", bytes.len());
    }
}

#[test]
fn files_are_those_of_upstreams_own_calls() {
    for feature in [SealFeature::V1_1, SealFeature::Synthetic, SealFeature::NonInteractive] {
        let ours = Snapped::make(feature, 61, &data(300), &data(2032));
        let theirs = tempfile::tempdir().unwrap();
        let file = |name: &str| theirs.path().join(name);
        let make = |name: &str| {
            fs::write(file(name), vec![0; 2048]).unwrap();
            file(name)
        };
        let config = SectorUpdateConfig::from_porep_config(&upstream_config());
        let (sealed, cache, unsealed) = (ours.file("sealed"), ours.file("cache"), ours.new.file("unsealed"));
        let (update, update_cache) = (make("update"), file("update-cache"));
        fs::create_dir(&update_cache).unwrap();
        let piece = |piece: &PieceInfo| {
            let size = UnpaddedBytesAmount(piece.unpadded_bytes());
            filecoin_proofs::PieceInfo::new(piece.commitment.0, size).unwrap()
        };
        let pieces: Vec<_> = ours.new.pieces.iter().map(piece).collect();
        type Shape = SectorShape2KiB;
        let made = encode_into::<Shape>(&config, &update, &update_cache, &sealed, &cache, &unsealed, &pieces).unwrap();
        let UpdateCommitments { comm_r_old, comm_r_new, comm_d_new } = ours.comms;
        assert_eq!((made.comm_r_new, made.comm_d_new), (comm_r_new.0, comm_d_new.0));
        assert!(read(&update) == read(&ours.file("update")));
        assert_eq!(names(&update_cache), names(&ours.file("update-cache")));
        for name in ["p_aux", "sc-02-data-tree-d.dat", "sc-02-data-tree-r-last.dat", "t_aux"] {
            assert!(read(&update_cache.join(name)) == read(&ours.file("update-cache").join(name)), "{name}");
        }

        let (old, new, comm_d) = (comm_r_old.0, comm_r_new.0, comm_d_new.0);
        let opened =
            generate_partition_proofs::<Shape>(config, old, new, comm_d, &sealed, &cache, &update, &update_cache);
        assert!(ours.pr1().unwrap().ends_with(&bincode::serialize(&opened.unwrap()).unwrap()));

        ours.unseal("out").unwrap();
        let out = make("out");
        decode_from::<Shape>(config, &out, &update, &sealed, &cache, comm_d).unwrap();
        assert!(read(&out) == read(&unsealed) && read(&ours.file("out")) == read(&unsealed));

        ours.regen("key", "key-cache").unwrap();
        let (key, key_cache) = (make("key"), file("key-cache"));
        fs::create_dir(&key_cache).unwrap();
        remove_encoded_data::<Shape>(config, &key, &key_cache, &update, &cache, &unsealed, comm_d).unwrap();
        assert!(read(&key) == read(&sealed) && read(&ours.file("key")) == read(&sealed));
        for name in TRIMMED {
            assert!(read(&key_cache.join(name)) == read(&ours.file("key-cache").join(name)), "{name}");
        }
    }
}

/// The replica before the update is lost; what GSK makes takes its place in everything that reads it.
#[test]
fn a_regenerated_key_is_the_replica_and_serves_as_one() {
    let snapped = Snapped::make(SealFeature::V1_1, 62, &data(1000), &data(2000));
    let before = read(&snapped.file("sealed"));
    fs::rename(snapped.file("sealed"), snapped.file("lost")).unwrap();
    assert_eq!(snapped.regen("sealed", "key-cache").unwrap(), snapped.comms.comm_r_old);
    assert!(read(&snapped.file("sealed")) == before);
    assert_eq!(names(&snapped.file("key-cache")), TRIMMED);
    for name in &TRIMMED[..2] {
        assert!(read(&snapped.file("key-cache").join(name)) == read(&snapped.file("cache").join(name)), "{name}");
    }
    fs::remove_dir_all(snapped.file("cache")).unwrap();
    fs::rename(snapped.file("key-cache"), snapped.file("cache")).unwrap();

    snapped.pr1().unwrap();
    snapped.unseal("out").unwrap();
    assert!(read(&snapped.file("out")) == read(&snapped.new.file("unsealed")));
    for post_type in [PostType::Window, PostType::Winning] {
        let proof = PostProof { size: SectorSize::KiB2, post_type };
        snapped.vanilla(proof, snapped.comms.comm_r_old, ["sealed", "cache"]).unwrap();
    }
    // The first data comes out of it as it did before.
    let (sealed, cache, ctx) = (snapped.file("sealed"), snapped.file("cache"), snapped.sector.ctx);
    let comm_d = stages::comm_d(ctx.proof, &snapped.sector.pieces).unwrap();
    let (scratch, out) = (snapped.file("scratch"), snapped.file("first"));
    stages::unseal(&ctx, &comm_d, TICKET, &sealed, &cache, &scratch, &out).unwrap();
    assert!(read(&out) == read(&snapped.sector.file("unsealed")));
}

#[test]
fn a_window_post_over_an_updated_sector_verifies() {
    with_parameters("snap::a_window_post_over_an_updated_sector_verifies", || {
        let snapped = Snapped::make(SealFeature::V1_1, 63, &[], &data(700));
        stages::finalize_replica_update(&snapped.file("update-cache")).unwrap();
        let (plain, sealing) = Sector::sealed(context(SealFeature::V1_1, 64), &[]);
        let (prover, new) = (plain.ctx.prover_id, snapped.comms.comm_r_new);
        let window = PostProof { size: SectorSize::KiB2, post_type: PostType::Window };
        let named = [PostSector { number: 63, comm_r: new }, plain.in_post(&sealing)];
        let (sealed, cache) = (plain.file("sealed"), plain.cache());
        let vanilla = [
            snapped.vanilla(window, new, ["update", "update-cache"]).unwrap(),
            stages::vanilla_proof(window, prover, &randomness(), &named[1], &sealed, &cache).unwrap(),
        ];
        assert!(stages::verify_vanilla_proof(window, prover, &randomness(), &named[0], &vanilla[0]).unwrap());
        let snark = stages::window_post_partition(window, prover, &randomness(), 0, &vanilla).unwrap();
        assert!(stages::verify_window_post(window, prover, &randomness(), 0, &named, &snark).unwrap());
        let old = [PostSector { number: 63, comm_r: snapped.comms.comm_r_old }, named[1]];
        assert!(!stages::verify_window_post(window, prover, &randomness(), 0, &old, &snark).unwrap());

        // Each commitment has its files, and no others answer for it.
        let winning = PostProof { size: SectorSize::KiB2, post_type: PostType::Winning };
        let vanilla = snapped.vanilla(winning, new, ["update", "update-cache"]).unwrap();
        assert!(stages::verify_vanilla_proof(winning, prover, &randomness(), &named[0], &vanilla).unwrap());
        for (comm_r, files) in [
            (new, ["sealed", "cache"]),
            (snapped.comms.comm_r_old, ["update", "update-cache"]),
            (new, ["sealed", "update-cache"]),
            (snapped.comms.comm_r_old, ["update", "cache"]),
        ] {
            assert!(snapped.vanilla(window, comm_r, files).is_err(), "{files:?}");
        }
    });
}

#[test]
fn an_update_starts_only_on_whole_inputs_and_no_leftovers() {
    let snapped = Snapped::make(SealFeature::V1_1, 65, &[], &data(500));
    let (sector, new) = (&snapped.sector, &snapped.new);
    let (out, cache) = (sector.file("again"), sector.file("again-cache"));
    let again = |pieces: &[PieceInfo]| update_of(sector, pieces, &new.file("unsealed"), &out, &cache);
    assert_eq!(code(again(&new.pieces[..1])), ErrorCode::BadRequest, "the sector is not full");
    assert!(!out.exists());
    let mut other = new.pieces.clone();
    other[0].commitment.0[0] ^= 1;
    let error = again(&other).unwrap_err().to_string();
    assert!(error.starts_with("RU: ") && error.contains("pieces and comm_d do not match"), "{error}");
    // What that try left is not built upon, and a replica is never overwritten.
    assert_eq!(code(again(&new.pieces)), ErrorCode::BadRequest);
    fs::remove_dir_all(&cache).unwrap();
    let before = read(&out);
    assert!(again(&new.pieces).is_err());
    assert!(read(&out) == before);
    fs::remove_file(&out).unwrap();
    again(&new.pieces).unwrap();
    assert!(read(&out) == read(&snapped.file("update")));

    let fresh = || update(sector, new, &sector.file("third"), &sector.file("third-cache"));
    for (name, expected) in [("sealed", ErrorCode::DigestMismatch), ("cache/p_aux", ErrorCode::DigestMismatch)] {
        let bytes = read(&sector.file(name));
        fs::write(sector.file(name), &bytes[1..]).unwrap();
        assert_eq!(code(fresh()), expected, "{name}");
        fs::remove_file(sector.file(name)).unwrap();
        assert_eq!(code(fresh()), ErrorCode::FileMissing, "{name}");
        fs::write(sector.file(name), bytes).unwrap();
    }
    assert!(!sector.file("third").exists());
    assert!(fresh().is_ok());
}

#[test]
fn damaged_and_foreign_files_prove_nothing() {
    let snapped = Snapped::make(SealFeature::V1_1, 66, &data(100), &data(1500));
    let UpdateCommitments { comm_r_old, comm_r_new, comm_d_new } = snapped.comms;
    for (comms, expected) in [
        (UpdateCommitments { comm_r_old: comm_r_new, ..snapped.comms }, ErrorCode::DigestMismatch),
        (UpdateCommitments { comm_r_new: comm_r_old, ..snapped.comms }, ErrorCode::DigestMismatch),
        (UpdateCommitments { comm_d_new: comm_r_old, ..snapped.comms }, ErrorCode::DigestMismatch),
        (UpdateCommitments { comm_d_new: Commitment([0; 32]), ..snapped.comms }, ErrorCode::BadRequest),
    ] {
        assert_eq!(code(snapped.pr1_of(&comms)), expected, "{comms:?} for {comm_d_new}");
    }
    let trees = ["cache/sc-02-data-tree-r-last.dat", "update-cache/sc-02-data-tree-r-last.dat"];
    for name in ["sealed", "update", "cache/p_aux", "update-cache/p_aux", trees[0], trees[1]] {
        snapped.sector.damage(name);
        assert!(snapped.pr1().is_err(), "{name}");
        snapped.sector.damage(name);
    }
    assert!(snapped.pr1().is_ok());
    // Without tree-d there is nothing to open.
    stages::finalize_replica_update(&snapped.file("update-cache")).unwrap();
    assert!(snapped.pr1().unwrap_err().to_string().starts_with("PR1: "));
    assert_eq!(code(stages::finalize_replica_update(&snapped.file("nowhere"))), ErrorCode::FileMissing);
}

#[test]
fn decoding_and_regenerating_leave_nothing_that_is_wrong() {
    let snapped = Snapped::make(SealFeature::V1_1, 67, &data(800), &data(1900));
    let both = || (snapped.unseal("out"), snapped.regen("key", "key-cache"));
    let clean = |files: &str| {
        assert!(!snapped.file("out").exists() && !snapped.file("key").exists(), "{files}");
        fs::remove_dir_all(snapped.file("key-cache")).ok();
    };
    snapped.sector.damage("update");
    let (out, key) = both();
    assert_eq!((code(out), code(key)), (ErrorCode::DigestMismatch, ErrorCode::DigestMismatch));
    clean("a damaged update");
    snapped.sector.damage("update");

    // The update's own cache in place of the old one: what upstream would make a key of.
    fs::rename(snapped.file("cache"), snapped.file("aside")).unwrap();
    fs::rename(snapped.file("update-cache"), snapped.file("cache")).unwrap();
    let (out, key) = both();
    assert_eq!((code(out), code(key)), (ErrorCode::DigestMismatch, ErrorCode::DigestMismatch));
    clean("the wrong cache");
    fs::rename(snapped.file("cache"), snapped.file("update-cache")).unwrap();
    fs::rename(snapped.file("aside"), snapped.file("cache")).unwrap();

    fs::rename(snapped.file("cache"), snapped.file("aside")).unwrap();
    let (out, key) = both();
    assert_eq!((code(out), code(key)), (ErrorCode::FileMissing, ErrorCode::FileMissing));
    clean("no cache");
    fs::rename(snapped.file("aside"), snapped.file("cache")).unwrap();

    snapped.new.damage("unsealed");
    assert_eq!(code(snapped.regen("key", "key-cache")), ErrorCode::DigestMismatch);
    clean("damaged data");
    snapped.new.damage("unsealed");
    let (out, key) = both();
    out.unwrap();
    key.unwrap();
    // Neither overwrites what is there.
    let (out, key) = both();
    assert!(out.is_err() && key.is_err());
    assert!(read(&snapped.file("out")) == read(&snapped.new.file("unsealed")));
    assert!(read(&snapped.file("key")) == read(&snapped.file("sealed")));
}

#[test]
fn pr2_reads_only_what_pr1_wrote() {
    let comms = UpdateCommitments {
        comm_r_old: Commitment([1; 32]),
        comm_r_new: Commitment([2; 32]),
        comm_d_new: Commitment([3; 32]),
    };
    let pr2 = |bytes: &[u8]| stages::prove_replica_update_2(PROOF, &comms, bytes);
    for bytes in [&b""[..], b"SPUPDAT1", b"SPVANIL1\x05\x00\x00\x00\x00\x00\x00\x00rest", &[7; 200]] {
        assert_eq!(code(pr2(bytes)), ErrorCode::BadRequest);
    }
    let head = |id: u8| [&b"SPUPDAT1"[..], &[id, 0, 0, 0, 0, 0, 0, 0], &[1; 32], &[2; 32], &[3; 32]].concat();
    let error = pr2(&head(3)).unwrap_err().to_string();
    assert!(error.contains("StackedDrg32GiBV1, not of StackedDrg2KiBV1"), "{error}");
    let zero = UpdateCommitments { comm_r_old: Commitment([0; 32]), ..comms };
    assert_eq!(code(stages::prove_replica_update_2(PROOF, &zero, &head(0))), ErrorCode::BadRequest);
}

#[test]
fn missing_update_parameters_are_named() {
    without_parameters("snap::missing_update_parameters_are_named", || {
        let snapped = Snapped::make(SealFeature::V1_1, 68, &[], &data(10));
        let vanilla = snapped.pr1().unwrap();
        for error in [
            stages::prove_replica_update_2(PROOF, &snapped.comms, &vanilla).unwrap_err(),
            stages::verify_update(PROOF, &snapped.comms, &[0; 192]).unwrap_err(),
            stages::require_update_parameters(PROOF).unwrap_err(),
        ] {
            assert_eq!(error.code(), ErrorCode::BadParameters);
            let text = error.to_string();
            assert!(text.contains("v28-empty-sector-update-") && text.contains(".vk is missing"), "{text}");
        }
    });
}
