//! Sealing from AP to FIN, verification, unsealing.

use std::fs;

use filecoin_proofs::parameters::public_params;
use filecoin_proofs::{DefaultPieceHasher, PoRepConfig, SectorShape2KiB};
use proofs_core::stages::{self, SectorContext};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sp_types::{Commitment, SealFeature};
use storage_proofs_core::api_version::{ApiFeature, ApiVersion};
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_porep::stacked::StackedCompound;

use super::support::{SEED, Sector, TICKET, context, data, with_own_parameters, with_parameters};

/// What PoSt needs and Lotus keeps.
const TRIMMED: [&str; 3] = ["p_aux", "sc-02-data-tree-r-last.dat", "t_aux"];

#[test]
fn a_sector_with_data_is_sealed_and_verified() {
    with_parameters("seal::a_sector_with_data_is_sealed_and_verified", || {
        seal_and_verify(context(SealFeature::V1_1, 2), &data(900));
    });
}

#[test]
#[ignore = "make test-long runs it: the circuit is the one of the sector above"]
fn an_empty_synthetic_sector_is_sealed_and_verified() {
    with_parameters("seal::an_empty_synthetic_sector_is_sealed_and_verified", || {
        seal_and_verify(context(SealFeature::Synthetic, 3), &[]);
    });
}

fn seal_and_verify(ctx: SectorContext, data: &[u8]) {
    let (sector, comms) = Sector::sealed(ctx, data);
    let vanilla = sector.c1(&comms);
    let proof = stages::c2(&ctx, &vanilla).unwrap();
    assert_eq!(proof.len(), 192);
    stages::finalize(&sector.cache()).unwrap();
    assert_eq!(sector.cache_names(), TRIMMED);

    let verify = |ctx: &SectorContext, comm_r: &Commitment, ticket, seed, proof: &[u8]| {
        stages::verify_seal(ctx, comm_r, &comms.comm_d, ticket, seed, proof).unwrap()
    };
    assert!(verify(&ctx, &comms.comm_r, TICKET, SEED, &proof));
    let mut other_r = comms.comm_r;
    other_r.0[0] ^= 1;
    assert!(!verify(&ctx, &other_r, TICKET, SEED, &proof));
    assert!(!verify(&ctx, &Commitment([0xff; 32]), TICKET, SEED, &proof));
    assert!(!verify(&ctx, &comms.comm_r, [0x12; 32], SEED, &proof));
    assert!(!verify(&ctx, &comms.comm_r, TICKET, [0x23; 32], &proof));
    assert!(!verify(&SectorContext { number: 99, ..ctx }, &comms.comm_r, TICKET, SEED, &proof));
    for at in [0, 47, 48, 100, 191] {
        let mut flipped = proof.clone();
        flipped[at] ^= 1;
        assert!(!verify(&ctx, &comms.comm_r, TICKET, SEED, &flipped), "byte {at}");
    }
    for bytes in [&proof[..191], &[proof.clone(), vec![0]].concat(), &[]] {
        assert!(!verify(&ctx, &comms.comm_r, TICKET, SEED, bytes), "{} bytes", bytes.len());
    }
}

/// Thirteen proofs, aggregated under a key made for this test, because the network's is not to be had here.
#[test]
#[ignore = "make test-long runs it: a quarter of an hour of two cores"]
fn a_non_interactive_sector_is_sealed_and_verified() {
    with_own_parameters("seal::a_non_interactive_sector_is_sealed_and_verified", || {
        let ctx = context(SealFeature::NonInteractive, 14);
        let (sector, comms) = Sector::sealed(ctx, &data(500));
        let vanilla = sector.c1(&comms);
        let missing = stages::c2(&ctx, &vanilla).unwrap_err().to_string();
        assert!(missing.contains(".srs is missing"), "{missing}");

        let config = PoRepConfig::new_groth16_with_features(
            2048,
            ctx.proof.porep_id(),
            ApiVersion::V1_2_0,
            vec![ApiFeature::NonInteractivePoRep],
        )
        .unwrap();
        let params = public_params::<SectorShape2KiB>(&config).unwrap();
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        StackedCompound::<SectorShape2KiB, DefaultPieceHasher>::srs_key(Some(&mut rng), &params, 16).unwrap();

        let proof = stages::c2(&ctx, &vanilla).unwrap();
        assert_eq!(proof.len(), 14_164);
        let verify = |comm_r: &Commitment, proof: &[u8]| {
            stages::verify_seal(&ctx, comm_r, &comms.comm_d, TICKET, SEED, proof).unwrap()
        };
        assert!(verify(&comms.comm_r, &proof));
        let mut other_r = comms.comm_r;
        other_r.0[0] ^= 1;
        assert!(!verify(&other_r, &proof));
        for at in (0..proof.len()).step_by(1000) {
            let mut flipped = proof.clone();
            flipped[at] ^= 1;
            assert!(!verify(&comms.comm_r, &flipped), "byte {at}");
        }
        assert!(!verify(&comms.comm_r, &proof[..proof.len() - 1]));
        assert!(!verify(&comms.comm_r, &[proof.clone(), vec![0]].concat()));
        assert!(!verify(&comms.comm_r, &[]));
    });
}

#[test]
fn every_variant_reaches_c1_and_unseals_to_its_data() {
    for feature in [SealFeature::V1_1, SealFeature::Synthetic, SealFeature::NonInteractive] {
        let ctx = context(feature, 4);
        let data = data(700);
        let (sector, comms) = Sector::sealed(ctx, &data);
        assert!(sector.c1(&comms).len() > 10_000, "{feature:?}");
        stages::finalize(&sector.cache()).unwrap();
        stages::finalize(&sector.cache()).unwrap();
        assert_eq!(sector.cache_names(), TRIMMED);

        let (sealed, out) = (sector.file("sealed"), sector.file("out"));
        let before = fs::read(sector.cache().join("p_aux")).unwrap();
        stages::unseal(&ctx, &comms.comm_d, TICKET, &sealed, &sector.cache(), &sector.file("scratch"), &out).unwrap();
        assert!(fs::read(&out).unwrap() == fs::read(sector.file("unsealed")).unwrap());
        assert_eq!(sector.cache_names(), TRIMMED);
        assert_eq!(fs::read(sector.cache().join("p_aux")).unwrap(), before);
        let mut read = Vec::new();
        assert_eq!(stages::read_piece(&out, 0, 700, &mut read).unwrap(), 700);
        assert!(read == data);
    }
}

/// Between stages the files may move to another worker, under other paths.
#[test]
fn files_may_move_between_the_stages() {
    let ctx = context(SealFeature::V1_1, 5);
    let mut sector = Sector::add_piece(ctx, &data(300));
    let phase1 = sector.pc1();
    move_files(&mut sector);
    let comms = stages::pc2(&ctx, &phase1, &sector.cache(), &sector.file("sealed")).unwrap();
    move_files(&mut sector);
    assert!(!sector.c1(&comms).is_empty());
}

fn move_files(sector: &mut Sector) {
    let new = tempfile::tempdir().unwrap();
    for name in ["unsealed", "sealed", "cache"] {
        fs::rename(sector.file(name), new.path().join(name)).unwrap();
    }
    sector.dir = new;
}
