//! What the stages refuse: leftovers, damaged files, files of something else.

use std::fs;

use proofs_core::stages::{self, SectorContext, StageError};
use sp_types::{Commitment, ErrorCode, PostProof, PostType, Randomness, SealFeature, SectorSize};

use super::support::{SEED, Sector, TICKET, context, data, without_parameters};

#[test]
fn pc1_starts_only_in_an_empty_directory_on_the_right_data() {
    let ctx = context(SealFeature::V1_1, 7);
    let sector = Sector::add_piece(ctx, &data(200));
    let pc1 = |pieces: &[_]| {
        stages::pc1(&ctx, TICKET, pieces, &sector.file("unsealed"), &sector.file("sealed"), &sector.cache())
    };
    // A layer of the right length and the wrong content: upstream alone would believe it.
    fs::create_dir(sector.cache()).unwrap();
    fs::write(sector.cache().join("sc-02-data-layer-1.dat"), [0; 2048]).unwrap();
    assert_eq!(pc1(&sector.pieces).unwrap_err().code(), ErrorCode::BadRequest);
    fs::remove_dir_all(sector.cache()).unwrap();
    assert_eq!(pc1(&sector.pieces[..1]).unwrap_err().code(), ErrorCode::BadRequest, "the sector is not full");
    let mut other = sector.pieces.clone();
    other[0].commitment.0[0] ^= 1;
    let error = pc1(&other).unwrap_err();
    assert!(error.to_string().contains("pieces and comm_d do not match"), "{error}");
    assert_eq!(fs::read(sector.file("unsealed")).unwrap().len(), 2048);
}

#[test]
fn pc1_never_overwrites_a_replica() {
    let sector = Sector::add_piece(context(SealFeature::V1_1, 7), &[]);
    fs::write(sector.file("sealed"), b"replica").unwrap();
    let (unsealed, sealed) = (sector.file("unsealed"), sector.file("sealed"));
    assert!(stages::pc1(&sector.ctx, TICKET, &sector.pieces, &unsealed, &sealed, &sector.cache()).is_err());
    assert_eq!(fs::read(sealed).unwrap(), b"replica");
}

#[test]
fn pc2_refuses_a_file_that_is_encoded_already_and_the_output_of_another_proof() {
    let sector = Sector::add_piece(context(SealFeature::V1_1, 8), &data(200));
    let phase1 = sector.pc1();
    let pc2 = |ctx: &SectorContext, phase1: &[u8]| stages::pc2(ctx, phase1, &sector.cache(), &sector.file("sealed"));
    assert_eq!(pc2(&context(SealFeature::Synthetic, 8), &phase1).unwrap_err().code(), ErrorCode::BadRequest);
    assert_eq!(pc2(&sector.ctx, b"{}").unwrap_err().code(), ErrorCode::BadRequest);
    pc2(&sector.ctx, &phase1).unwrap();
    assert_eq!(pc2(&sector.ctx, &phase1).unwrap_err().code(), ErrorCode::DigestMismatch);
}

#[test]
fn pc2_and_c1_fail_without_a_layer_or_with_a_damaged_one() {
    let sector = Sector::add_piece(context(SealFeature::V1_1, 9), &data(200));
    let phase1 = sector.pc1();
    let layer = sector.cache().join("sc-02-data-layer-2.dat");
    fs::rename(&layer, sector.file("aside")).unwrap();
    assert!(stages::pc2(&sector.ctx, &phase1, &sector.cache(), &sector.file("sealed")).is_err());
    fs::rename(sector.file("aside"), &layer).unwrap();
    let comms = stages::pc2(&sector.ctx, &phase1, &sector.cache(), &sector.file("sealed")).unwrap();
    let c1 = |seed| {
        let (cache, sealed) = (sector.cache(), sector.file("sealed"));
        stages::c1(&sector.ctx, TICKET, seed, &comms, &sector.pieces, &cache, &sealed)
    };
    assert_eq!(c1([0; 32]).unwrap_err().code(), ErrorCode::BadRequest);
    fs::write(&layer, [0; 2048]).unwrap();
    assert_eq!(c1(SEED).unwrap_err().code(), ErrorCode::ExecutorFailed);
    fs::remove_file(&layer).unwrap();
    assert!(c1(SEED).is_err());
}

#[test]
fn unsealing_damaged_or_foreign_files_leaves_nothing() {
    let (sector, comms) = Sector::sealed(context(SealFeature::V1_1, 10), &data(1000));
    let (out, mut tries) = (sector.file("out"), 0);
    let mut unseal = |ctx: &SectorContext, comm_d: &Commitment, ticket| {
        tries += 1;
        let scratch = sector.file(&format!("scratch{tries}"));
        stages::unseal(ctx, comm_d, ticket, &sector.file("sealed"), &sector.cache(), &scratch, &out)
    };
    assert_eq!(unseal(&sector.ctx, &comms.comm_d, [1; 32]).unwrap_err().code(), ErrorCode::DigestMismatch);
    assert_eq!(unseal(&sector.ctx, &Commitment([0; 32]), TICKET).unwrap_err().code(), ErrorCode::BadRequest);
    let other = context(SealFeature::V1_1, 11);
    assert_eq!(unseal(&other, &comms.comm_d, TICKET).unwrap_err().code(), ErrorCode::DigestMismatch);
    sector.damage("sealed");
    assert_eq!(unseal(&sector.ctx, &comms.comm_d, TICKET).unwrap_err().code(), ErrorCode::DigestMismatch);
    fs::write(sector.file("sealed"), [0; 2047]).unwrap();
    assert_eq!(unseal(&sector.ctx, &comms.comm_d, TICKET).unwrap_err().code(), ErrorCode::DigestMismatch);
    fs::remove_file(sector.file("sealed")).unwrap();
    assert_eq!(unseal(&sector.ctx, &comms.comm_d, TICKET).unwrap_err().code(), ErrorCode::FileMissing);
    assert!(!out.exists());
    let (sealed, cache) = (sector.file("out"), sector.cache());
    let in_cache = stages::unseal(&sector.ctx, &comms.comm_d, TICKET, &sealed, &cache, &cache, &out);
    assert!(in_cache.is_err());
}

#[test]
fn c2_reads_only_what_c1_wrote() {
    let ctx = context(SealFeature::V1_1, 12);
    for bytes in [&b""[..], b"SPVANIL1", b"SPVANIL1\x00\x00\x00\x00\x00\x00\x00\x00rest", &[7; 100]] {
        assert!(matches!(stages::c2(&ctx, bytes), Err(StageError::BadInput { .. })));
    }
    let foreign = b"SPVANIL1\x0a\x00\x00\x00\x00\x00\x00\x00rest";
    let error = stages::c2(&ctx, foreign).unwrap_err().to_string();
    assert!(error.contains("StackedDrg2KiBV1_1_Feat_SyntheticPoRep, not of StackedDrg2KiBV1_1"), "{error}");
}

#[test]
fn missing_parameters_are_named_before_anything_is_proven_or_judged() {
    without_parameters("bad_input::missing_parameters_are_named_before_anything_is_proven_or_judged", || {
        let (sector, comms) = Sector::sealed(context(SealFeature::V1_1, 13), &[]);
        let (ctx, named, randomness) = (sector.ctx, sector.in_post(&comms), Randomness::new([5; 32]));
        let window = PostProof { size: SectorSize::KiB2, post_type: PostType::Window };
        let winning = PostProof { size: SectorSize::KiB2, post_type: PostType::Winning };
        let vanilla = |proof| {
            let (sealed, cache) = (sector.file("sealed"), sector.cache());
            stages::vanilla_proof(proof, ctx.prover_id, &randomness, &named, &sealed, &cache).unwrap()
        };
        let errors = [
            stages::c2(&ctx, &sector.c1(&comms)).unwrap_err(),
            stages::window_post_partition(window, ctx.prover_id, &randomness, 0, &[vanilla(window)]).unwrap_err(),
            stages::winning_post(winning, ctx.prover_id, &randomness, &[vanilla(winning)]).unwrap_err(),
            stages::verify_seal(&ctx, &comms.comm_r, &comms.comm_d, TICKET, SEED, &[0; 192]).unwrap_err(),
            stages::verify_window_post(window, ctx.prover_id, &randomness, 0, &[named], &[0; 192]).unwrap_err(),
            stages::verify_winning_post(winning, ctx.prover_id, &randomness, &named, &[0; 192]).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), ErrorCode::BadParameters);
            let text = error.to_string();
            assert!(text.contains(".vk is missing; run `sp-ctl params generate --sector-size 2KiB`"), "{text}");
        }
    });
}
