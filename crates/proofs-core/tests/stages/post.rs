//! Window and winning PoSt: per partition, merged, short, with a skipped sector, and over damaged files.

use std::collections::BTreeMap;
use std::fs;

use filecoin_proofs::{PoStConfig, PoStType, PublicReplicaInfo, SectorShape2KiB};
use proofs_core::stages::{self, PostSector, StageError};
use sp_types::{ErrorCode, PostProof, PostType, ProverId, Randomness, SealFeature, SectorSize};
use storage_proofs_core::api_version::ApiVersion;

use super::support::{MINER, Sector, context, data, with_parameters};

const WINDOW: PostProof = PostProof { size: SectorSize::KiB2, post_type: PostType::Window };
const WINNING: PostProof = PostProof { size: SectorSize::KiB2, post_type: PostType::Winning };

fn prover() -> ProverId {
    ProverId::of_miner(MINER)
}

fn randomness() -> Randomness {
    Randomness::new([0xee; 32])
}

/// Sectors as PoSt workers hold them: finalised.
fn sectors(numbers: impl IntoIterator<Item = u64>) -> Vec<(Sector, PostSector)> {
    let seal = |number: u64| {
        let (sector, comms) = Sector::sealed(context(SealFeature::V1_1, number), &data(10 + number as usize));
        stages::finalize(&sector.cache()).unwrap();
        let named = sector.in_post(&comms);
        (sector, named)
    };
    numbers.into_iter().map(seal).collect()
}

fn vanilla(proof: PostProof, (sector, named): &(Sector, PostSector)) -> Result<Vec<u8>, StageError> {
    stages::vanilla_proof(proof, prover(), &randomness(), named, &sector.file("sealed"), &sector.cache())
}

/// Proves a partition and checks that it verifies on its own.
fn prove_partition(index: u32, partition: &[(Sector, PostSector)]) -> Vec<u8> {
    let mut proofs: Vec<_> = partition.iter().map(|sector| vanilla(WINDOW, sector).unwrap()).collect();
    proofs.reverse();
    let snark = stages::window_post_partition(WINDOW, prover(), &randomness(), index, &proofs).unwrap();
    assert_eq!(snark.len(), 192);
    assert!(verify_partition(index, partition, &snark));
    snark
}

fn verify_partition(index: u32, partition: &[(Sector, PostSector)], snark: &[u8]) -> bool {
    let named: Vec<PostSector> = partition.iter().map(|(_, named)| *named).collect();
    stages::verify_window_post(WINDOW, prover(), &randomness(), index, &named, snark).unwrap()
}

/// Upstream's verifier over all partitions in one map, as the network does it.
fn verify_merged(sectors: &[(Sector, PostSector)], proof: &[u8]) -> bool {
    let config = PoStConfig {
        sector_size: 2048u64.into(),
        challenge_count: 10,
        sector_count: 2,
        typ: PoStType::Window,
        priority: false,
        api_version: ApiVersion::V1_2_0,
    };
    let replicas: BTreeMap<_, _> =
        sectors.iter().map(|(_, s)| (s.number.into(), PublicReplicaInfo::new(s.comm_r.0).unwrap())).collect();
    let randomness = randomness().bytes();
    filecoin_proofs::verify_window_post::<SectorShape2KiB>(&config, &randomness, &replicas, prover().0, proof).unwrap()
}

#[test]
fn window_partitions_verify_alone_and_merged() {
    with_parameters("post::window_partitions_verify_alone_and_merged", || {
        let all = sectors(20..24);
        let first = prove_partition(0, &all[..2]);
        let second = prove_partition(1, &all[2..]);
        assert!(verify_merged(&all, &[first.clone(), second.clone()].concat()));
        assert!(!verify_merged(&all, &[second.clone(), first.clone()].concat()));

        // A short last partition: three sectors in two partitions.
        let short = prove_partition(1, &all[2..3]);
        assert!(verify_merged(&all[..3], &[first.clone(), short.clone()].concat()));
        // The second sector of the only partition skipped: not the proof of both.
        assert!(!verify_partition(1, &all[2..], &short));
        assert!(!verify_partition(1, &all[2..3], &second));
        // Wrong sectors, wrong bytes.
        assert!(!verify_partition(0, &all[2..], &first));
        assert!(!verify_partition(0, &all[..2], &first[..191]));
        assert!(!verify_partition(0, &all[..3], &first));
        assert!(!verify_partition(0, &[], &first));
        let mut flipped = first.clone();
        flipped[100] ^= 1;
        assert!(!verify_partition(0, &all[..2], &flipped));
        let other = Randomness::new([0xed; 32]);
        let named = [all[0].1, all[1].1];
        assert!(!stages::verify_window_post(WINDOW, prover(), &other, 0, &named, &first).unwrap());
        assert!(!stages::verify_window_post(WINDOW, prover(), &randomness(), 0, &[named[0]; 2], &first).unwrap());
    });
}

#[test]
fn a_winning_post_is_of_the_chosen_sector() {
    with_parameters("post::a_winning_post_is_of_the_chosen_sector", || {
        let all = sectors(30..32);
        let index = stages::winning_post_sector(WINNING, prover(), &randomness(), 2).unwrap() as usize;
        let proof =
            stages::winning_post(WINNING, prover(), &randomness(), &[vanilla(WINNING, &all[index]).unwrap()]).unwrap();
        assert_eq!(proof.len(), 192);
        let verify = |sector: &PostSector, proof: &[u8]| {
            stages::verify_winning_post(WINNING, prover(), &randomness(), sector, proof).unwrap()
        };
        assert!(verify(&all[index].1, &proof));
        assert!(!verify(&all[1 - index].1, &proof));
        assert!(!verify(&all[index].1, &proof[1..]));
        let mut flipped = proof.clone();
        flipped[10] ^= 1;
        assert!(!verify(&all[index].1, &flipped));
    });
}

#[test]
fn the_chosen_sector_lies_in_the_set() {
    for count in [1, 2, 5, u64::MAX] {
        assert!(stages::winning_post_sector(WINNING, prover(), &randomness(), count).unwrap() < count);
    }
    let none = stages::winning_post_sector(WINNING, prover(), &randomness(), 0);
    assert_eq!(none.unwrap_err().code(), ErrorCode::BadRequest);
}

#[test]
fn damaged_missing_and_foreign_files_give_no_vanilla_proof() {
    for proof in [WINDOW, WINNING] {
        let mut all = sectors(40..42);
        assert!(vanilla(proof, &all[0]).is_ok());

        // The replica of another sector under this one's name.
        let (own, foreign) = (all[0].1, all[1].1);
        all[0].1.comm_r = foreign.comm_r;
        assert_eq!(vanilla(proof, &all[0]).unwrap_err().code(), ErrorCode::DigestMismatch);
        all[0].1 = own;

        all[0].0.damage("sealed");
        assert!(vanilla(proof, &all[0]).is_err());
        all[0].0.damage("sealed");
        assert!(vanilla(proof, &all[0]).is_ok());

        for name in ["cache/p_aux", "cache/sc-02-data-tree-r-last.dat"] {
            all[0].0.damage(name);
            assert!(vanilla(proof, &all[0]).is_err(), "{name}");
            all[0].0.damage(name);
        }

        let sealed = all[0].0.file("sealed");
        let bytes = fs::read(&sealed).unwrap();
        fs::write(&sealed, &bytes[..2000]).unwrap();
        assert_eq!(vanilla(proof, &all[0]).unwrap_err().code(), ErrorCode::DigestMismatch);
        fs::remove_file(&sealed).unwrap();
        assert_eq!(vanilla(proof, &all[0]).unwrap_err().code(), ErrorCode::FileMissing);
        fs::write(&sealed, &bytes).unwrap();
        fs::remove_file(all[0].0.cache().join("p_aux")).unwrap();
        assert_eq!(vanilla(proof, &all[0]).unwrap_err().code(), ErrorCode::FileMissing);
    }
}

#[test]
fn a_vanilla_proof_from_elsewhere_is_judged_alone() {
    let all = sectors(50..52);
    for proof in [WINDOW, WINNING] {
        let good = vanilla(proof, &all[0]).unwrap();
        let verify = |sector: &PostSector, bytes: &[u8]| {
            stages::verify_vanilla_proof(proof, prover(), &randomness(), sector, bytes).unwrap()
        };
        assert!(verify(&all[0].1, &good));
        assert!(!verify(&all[1].1, &good));
        assert!(!verify(&PostSector { comm_r: all[1].1.comm_r, ..all[0].1 }, &good));
        let other = Randomness::new([1; 32]);
        assert!(!stages::verify_vanilla_proof(proof, prover(), &other, &all[0].1, &good).unwrap());
        for at in (0..good.len()).step_by(97) {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert!(!verify(&all[0].1, &flipped), "byte {at}");
        }
        assert!(!verify(&all[0].1, &good[..good.len() - 1]));
        assert!(!verify(&all[0].1, &[]));
    }
}

#[test]
fn partitions_of_wrong_size_or_kind_are_refused() {
    let window = |proofs: &[Vec<u8>]| stages::window_post_partition(WINDOW, prover(), &randomness(), 0, proofs);
    for proofs in [vec![], vec![vec![]; 3]] {
        assert_eq!(window(&proofs).unwrap_err().code(), ErrorCode::BadRequest);
    }
    assert!(stages::window_post_partition(WINNING, prover(), &randomness(), 0, &[vec![]]).is_err());
    assert!(stages::winning_post(WINNING, prover(), &randomness(), &[]).is_err());
    assert!(stages::winning_post(WINDOW, prover(), &randomness(), &[vec![]]).is_err());
}
