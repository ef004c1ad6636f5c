//! PC1 of groups, after crashes, and by upstream's code.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use proofs_core::stages::{self, Pc1Output, Pc1Sector, StageError};
use sp_types::{ErrorCode, SealFeature};

use super::support::{Sector, TICKET, context, data, names};

fn pc1_group(sectors: &[Sector]) -> Vec<Result<Pc1Output, StageError>> {
    let paths: Vec<_> = sectors.iter().map(|s| (s.file("unsealed"), s.file("sealed"), s.cache())).collect();
    let group: Vec<_> = sectors
        .iter()
        .zip(&paths)
        .map(|(sector, (unsealed, sealed, cache))| {
            let (ctx, pieces) = (sector.ctx, &sector.pieces);
            Pc1Sector { ctx, ticket: TICKET, pieces, unsealed, sealed, cache }
        })
        .collect();
    stages::pc1_group(&group)
}

fn sectors(feature: SealFeature, numbers: impl Iterator<Item = u64>) -> Vec<Sector> {
    numbers.map(|n| Sector::add_piece(context(feature, n), &data(127 * n as usize))).collect()
}

fn assert_same_files(left: &Path, right: &Path) {
    assert_eq!(names(left), names(right));
    for name in names(left) {
        assert!(fs::read(left.join(&name)).unwrap() == fs::read(right.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn a_group_makes_what_its_sectors_make_alone() {
    for feature in [SealFeature::V1_1, SealFeature::Synthetic, SealFeature::NonInteractive] {
        let (group, alone) = (sectors(feature, 1..=4), sectors(feature, 1..=4));
        for ((sector, alone), output) in group.iter().zip(&alone).zip(pc1_group(&group)) {
            assert_eq!(output.unwrap().phase1, alone.pc1());
            assert_same_files(&sector.cache(), &alone.cache());
            assert!(fs::read(sector.file("sealed")).unwrap() == fs::read(alone.file("sealed")).unwrap());
        }
    }
}

#[test]
fn a_sector_that_cannot_begin_does_not_stop_its_group() {
    let group = sectors(SealFeature::V1_1, 1..=3);
    fs::write(group[1].file("sealed"), b"replica").unwrap();
    let results = pc1_group(&group);
    assert_eq!(results[1].as_ref().unwrap_err().code(), ErrorCode::BadRequest);
    assert_eq!(fs::read(group[1].file("sealed")).unwrap(), b"replica");
    let alone = Sector::add_piece(context(SealFeature::V1_1, 3), &data(3 * 127));
    assert_eq!(results[2].as_ref().unwrap().phase1, alone.pc1());
    assert_same_files(&group[2].cache(), &alone.cache());
}

#[test]
fn groups_are_of_one_proof_and_at_most_four() {
    let mut mixed = sectors(SealFeature::V1_1, 1..=1);
    mixed.extend(sectors(SealFeature::Synthetic, 2..=2));
    for group in [mixed, sectors(SealFeature::V1_1, 1..=5)] {
        assert!(pc1_group(&group).iter().all(|r| r.as_ref().unwrap_err().code() == ErrorCode::BadRequest));
        assert!(!group[0].file("sealed").exists());
    }
    assert!(pc1_group(&[]).is_empty());
}

/// Every state that a crash may leave behind: some files are there, some are not, some are wrong.
#[test]
fn pc1_called_again_makes_the_same_files() {
    let (sector, known) = (sectors(SealFeature::V1_1, 7..=7), sectors(SealFeature::V1_1, 7..=7));
    let phase1 = known[0].pc1();
    let cache = sector[0].cache();
    let journal = stages::pc1_journal(&cache);
    let steps: [&dyn Fn(); 7] = [
        &|| (),
        &|| fs::write(cache.join("sc-02-data-layer-2.dat"), [0; 2048]).unwrap(),
        &|| fs::write(cache.join("sc-02-data-tree-d.dat"), [7; 100]).unwrap(),
        &|| fs::remove_file(sector[0].file("sealed")).unwrap(),
        &|| fs::write(&journal, b"").unwrap(),
        &|| fs::remove_dir_all(&cache).and_then(|()| fs::create_dir(&cache)).unwrap(),
        // What a worker leaves that clears the outputs of an attempt before it runs it again.
        &|| fs::remove_dir_all(&cache).and_then(|()| fs::remove_file(sector[0].file("sealed"))).unwrap(),
    ];
    for step in steps {
        step();
        assert_eq!(pc1_group(&sector).pop().unwrap().unwrap().phase1, phase1);
        assert_same_files(&cache, &known[0].cache());
        assert!(fs::read(sector[0].file("sealed")).unwrap() == fs::read(known[0].file("sealed")).unwrap());
    }
    let comms = stages::pc2(&sector[0].ctx, &phase1, &cache, &sector[0].file("sealed")).unwrap();
    let encoded = fs::read(sector[0].file("sealed")).unwrap();
    assert_eq!(pc1_group(&sector).pop().unwrap().unwrap_err().code(), ErrorCode::DigestMismatch, "{comms:?}");
    assert!(fs::read(sector[0].file("sealed")).unwrap() == encoded);
}

/// `SP_PROOFS` is read once: a child has it, and leaves what it made in a directory of ours.
#[test]
fn upstreams_stage_makes_the_same_files_and_output() {
    const DIR: &str = "SP_TEST_PC1_DIR";
    let name = "pc1::upstreams_stage_makes_the_same_files_and_output";
    let sectors = || sectors(SealFeature::V1_1, 1..=2);
    if let Some(dir) = env::var_os(DIR) {
        let group = sectors();
        for (sector, output) in group.iter().zip(pc1_group(&group)) {
            let to = Path::new(&dir).join(sector.ctx.number.to_string());
            fs::rename(sector.cache(), &to).unwrap();
            assert!(!stages::pc1_journal(&sector.cache()).exists(), "upstream keeps no journal");
            fs::write(to.with_extension("phase1"), output.unwrap().phase1).unwrap();
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    let child = child.args([name, "--exact", "--nocapture"]).env(DIR, dir.path()).env("SP_PROOFS", "upstream");
    assert!(child.env("TMPDIR", dir.path()).status().unwrap().success());
    let group = sectors();
    for (sector, output) in group.iter().zip(pc1_group(&group)) {
        let theirs = dir.path().join(sector.ctx.number.to_string());
        assert_same_files(&sector.cache(), &theirs);
        assert_eq!(output.unwrap().phase1, fs::read(theirs.with_extension("phase1")).unwrap());
    }
}
