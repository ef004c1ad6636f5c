//! The same files as upstream's own calls, made in another directory.

use std::fs::{self, File};

use filecoin_proofs::{
    PieceInfo, PoRepConfig, SectorShape2KiB, UnpaddedBytesAmount, add_piece, seal_pre_commit_phase1,
    seal_pre_commit_phase2,
};
use proofs_core::stages;
use sp_types::SealFeature;
use storage_proofs_core::api_version::ApiVersion;

use super::support::{MINER, Sector, TICKET, context, data, names};

#[test]
fn files_are_those_of_upstreams_own_calls() {
    let ctx = context(SealFeature::V1_1, 6);
    let data = data(2032);
    let ours = Sector::add_piece(ctx, &data);
    let phase1 = ours.pc1();

    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let mut porep_id = [0; 32];
    porep_id[0] = 5;
    let config = PoRepConfig::new_groth16(2048, porep_id, ApiVersion::V1_1_0);
    let mut target = File::create(file("unsealed")).unwrap();
    let (piece, _) = add_piece(data.as_slice(), &mut target, UnpaddedBytesAmount(2032), &[]).unwrap();
    let pieces: Vec<PieceInfo> = vec![piece];
    fs::create_dir(file("cache")).unwrap();
    File::create(file("sealed")).unwrap();
    let mut prover_id = [0; 32];
    prover_id[..2].copy_from_slice(&[0xe8, 0x07]);
    assert_eq!(MINER, 1000);
    let (cache, unsealed, sealed) = (file("cache"), file("unsealed"), file("sealed"));
    let out = seal_pre_commit_phase1::<_, _, _, SectorShape2KiB>(
        &config,
        &cache,
        &unsealed,
        &sealed,
        prover_id,
        6.into(),
        TICKET,
        &pieces,
    )
    .unwrap();

    assert_eq!(pieces[0].commitment, ours.pieces[0].commitment.0);
    assert!(fs::read(&unsealed).unwrap() == fs::read(ours.file("unsealed")).unwrap());
    same_files(&ours, &cache, &["sc-02-data-layer-1.dat", "sc-02-data-layer-2.dat", "sc-02-data-tree-d.dat"]);

    let comms = stages::pc2(&ctx, &phase1, &ours.cache(), &ours.file("sealed")).unwrap();
    let sealing = seal_pre_commit_phase2(&config, out, &cache, &sealed).unwrap();
    assert_eq!((comms.comm_r.0, comms.comm_d.0), (sealing.comm_r, sealing.comm_d));
    assert!(fs::read(&sealed).unwrap() == fs::read(ours.file("sealed")).unwrap());
    same_files(&ours, &cache, &["p_aux", "sc-02-data-tree-c.dat", "sc-02-data-tree-r-last.dat"]);
    assert_eq!(names(&cache), ours.cache_names());
}

fn same_files(ours: &Sector, theirs: &std::path::Path, files: &[&str]) {
    for name in files {
        assert!(fs::read(theirs.join(name)).unwrap() == fs::read(ours.cache().join(name)).unwrap(), "{name}");
    }
}
