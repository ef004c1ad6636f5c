//! Checks of a scrub: what is sound, what is damaged, and what is of another sector.

use proofs_core::stages;
use sp_types::{Commitment, ErrorCode, SealFeature};

use super::support::{Sector, context, data};

#[test]
fn commitments_tell_sound_files_from_damaged_ones() {
    let (sector, comms) = Sector::sealed(context(SealFeature::V1_1, 2), &data(900));
    stages::finalize(&sector.cache()).unwrap();
    let other = Commitment([1; 32]);
    let of_data = |known: &[Commitment]| stages::check_data(&sector.file("unsealed"), None, known);
    let of_replica = |known: &[Commitment]| stages::check_replica(&sector.file("sealed"), &sector.cache(), known);
    assert_eq!(of_data(&[other, comms.comm_d]).unwrap(), comms.comm_d);
    assert_eq!(of_replica(&[other, comms.comm_r]).unwrap(), comms.comm_r);
    assert_eq!(of_replica(&[]).unwrap(), comms.comm_r, "the tree alone");
    for refused in [of_data(&[other]), of_replica(&[other])] {
        assert_eq!(refused.unwrap_err().code(), ErrorCode::DigestMismatch);
    }
    let (another, _) = Sector::sealed(context(SealFeature::V1_1, 3), &data(900));
    let mixed = stages::check_replica(&sector.file("sealed"), &another.cache(), &[]).unwrap_err();
    assert!(mixed.code() == ErrorCode::DigestMismatch && mixed.to_string().contains("another replica"), "{mixed}");

    // What follows the data is none of it.
    let longer = sector.file("longer");
    std::fs::write(&longer, [std::fs::read(sector.file("unsealed")).unwrap(), vec![7; 9]].concat()).unwrap();
    assert_eq!(stages::check_data(&longer, Some(2048), &[comms.comm_d]).unwrap(), comms.comm_d);
    let no_sector = stages::check_data(&longer, None, &[comms.comm_d]).unwrap_err();
    assert!(no_sector.to_string().contains("2057 bytes, which no sector has"), "{no_sector}");

    sector.damage("unsealed");
    sector.damage("sealed");
    assert_eq!(of_data(&[comms.comm_d]).unwrap_err().code(), ErrorCode::DigestMismatch);
    let damaged = of_replica(&[comms.comm_r]).unwrap_err();
    assert!(damaged.to_string().contains("comm_r_last"), "{damaged}");
    std::fs::write(sector.file("sealed"), [0; 100]).unwrap();
    let cut = of_replica(&[]).unwrap_err();
    assert!(cut.to_string().contains("100 bytes, which no sector has"), "{cut}");
    std::fs::remove_file(sector.file("sealed")).unwrap();
    assert_eq!(of_replica(&[]).unwrap_err().code(), ErrorCode::FileMissing);
}
