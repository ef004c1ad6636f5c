//! A trailer worked out by hand, all that can be told and read back, and trailers that somebody has made up.
#![allow(clippy::single_range_in_vec_init, reason = "one range is what is meant")]

use proptest::prelude::*;

use super::*;

/// What a file says of itself; `asked` is told how much of it was read at a time.
fn read(file: &[u8], mut asked: impl FnMut(usize)) -> Result<Filled, TrailerError> {
    let size = file.len() as u64;
    Filled::read(size, |offset, bytes| {
        asked(bytes);
        Ok::<_, ()>(file[offset as usize..offset as usize + bytes].to_vec())
    })
    .unwrap()
}

fn file(data_bytes: usize, trailer: &[u8]) -> Vec<u8> {
    [vec![0; data_bytes], trailer.to_vec()].concat()
}

fn with_bitmap(data_bytes: usize, bitmap: &[u8]) -> Vec<u8> {
    let length = (bitmap.len() as u32).to_le_bytes();
    file(data_bytes, &[bitmap, &length].concat())
}

#[test]
fn a_trailer_worked_out_by_hand() {
    // Version 00, first run unset 0; 1024 unset: 00, varint 0x80 0x08; 128 set: 00, varint 0x80 0x01. Lowest bits first:
    // 00 0 00 000|00001 000|10000 00 0|0000001 1|0000000
    let filled = Filled::of(2048, vec![1024..1152]).unwrap();
    let bitmap = [0b0000_0000, 0b0001_0000, 0b0000_0001, 0b1100_0000];
    assert_eq!(filled.trailer(), [&bitmap[..], &[4, 0, 0, 0]].concat());
    // Older writers add the byte that the last zeros of the last block reach into.
    for bitmap in [&bitmap[..], &[&bitmap[..], &[0]].concat()] {
        assert_eq!(read(&with_bitmap(2048, bitmap), |_| {}), Ok(filled.clone()));
    }
    // Version 00, first run set 1; one set: 1; three unset: 01 1100; one set: 1. So 00 1 1 01 11|00 1.
    let few = Filled::of(128, vec![0..1, 4..5]).unwrap();
    assert_eq!(few.trailer(), [0b1110_1100, 0b0000_0100, 2, 0, 0, 0]);
}

#[test]
fn a_file_of_a_sectors_size_holds_everything() {
    for size in [128, 2048, 1 << 20] {
        let filled = read(&vec![0; size], |_| panic!("nothing is to be read")).unwrap();
        assert!(filled.is_whole());
        assert_eq!((filled.data_bytes(), filled.ranges()), (size as u64, &[0..size as u64][..]));
    }
    let told = Filled::whole(2048);
    assert_eq!(read(&file(2048, &told.trailer()), |_| {}), Ok(told), "one may say so, too");
    for bitmap in [&[][..], &[0]] {
        let empty = read(&with_bitmap(2048, bitmap), |_| {}).unwrap();
        assert_eq!((empty.ranges(), empty.is_whole()), (&[][..], false), "{bitmap:?}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let filled = Filled::of(2048, vec![1024..1152, 0..128, 128..256, 1100..1200]).unwrap();
    assert_eq!(filled.ranges(), [0..256, 1024..1200]);
    let missing = [
        (0..256, None),
        (1024..1025, None),
        (300..300, None),
        (0..257, Some(256..257)),
        (200..1100, Some(256..1024)),
        (300..400, Some(300..400)),
        (1199..2048, Some(1200..2048)),
        (1500..1600, Some(1500..1600)),
        (0..2048, Some(256..1024)),
    ];
    for (wanted, expected) in missing {
        assert_eq!(filled.first_missing(&wanted), expected, "{wanted:?}");
    }
    assert_eq!(Filled::of(2048, vec![2000..2049]), Err(TrailerError::Beyond(2048, 2048)));
}

#[test]
fn made_up_trailers_are_refused() {
    let refused = |bitmap: &[u8]| read(&with_bitmap(2048, bitmap), |_| {}).unwrap_err();
    let rle = TrailerError::Rle;
    assert_eq!(refused(&[0b0000_0001]), rle(RleError::Version(1)));
    assert_eq!(refused(&[0b0000_0110]), rle(RleError::Version(2)));
    assert_eq!(refused(&[0b0000_1100, 0, 0]), rle(RleError::Trailing));
    // Short blocks of 0 and 1, a long one of 15.
    assert_eq!(refused(&[0b0001_0000, 0b0000_0010]), rle(RleError::NotMinimal));
    assert_eq!(refused(&[0b0011_0000]), rle(RleError::NotMinimal));
    assert_eq!(refused(&[0b1110_0100, 0b0000_0001]), rle(RleError::NotMinimal));
    // A varint of 16 with a byte of zeros after it: 00 1 00, 0x90, 0x00, and a bit behind that is read as a run.
    assert_eq!(refused(&[0b0000_0100, 0b0001_0010, 0b0010_0000]), rle(RleError::NotMinimal));
    // Longer than 64 bits.
    let ones = [0b1110_0100, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(refused(&ones), rle(RleError::TooLong));
    // Two runs that are so only together.
    let mut twice = rle::encode(&[0..u64::MAX]);
    // The first block ends with bit 84.
    twice.push(1 << (85 - 80));
    assert_eq!(refused(&twice), rle(RleError::TooLong));
    assert_eq!(refused(&rle::encode(&[0..2049])), TrailerError::Beyond(2048, 2048));
}

#[test]
fn lengths_that_do_not_fit_are_not_believed() {
    for length in [1, 5, 2047, u32::MAX] {
        let file = file(2048 + 4, &length.to_le_bytes());
        let asked = |bytes| assert_eq!(bytes, 4, "nothing is read on the word of {length}");
        assert_eq!(read(&file, asked), Err(TrailerError::NoSector(file.len() as u64)), "{length}");
    }
    for size in [0, 1, 3, 4, 64, 127, 129, 131] {
        assert!(matches!(read(&vec![0; size], |_| {}), Err(TrailerError::NoSector(_))), "{size}");
    }
    let long = with_bitmap(128, &vec![1; BITMAP_BYTES_MAX as usize + 1]);
    assert_eq!(read(&long, |_| {}), Err(TrailerError::TooLarge(BITMAP_BYTES_MAX + 1)));
}

proptest! {
    #[test]
    fn what_is_told_is_read_back(
        power in 7u32..37,
        cuts in prop::collection::btree_set(any::<u64>(), 0..40),
        first in any::<bool>(),
    ) {
        let data_bytes = 1u64 << power;
        let mut bounds: Vec<u64> = cuts.into_iter().map(|cut| cut % (data_bytes + 1)).collect();
        bounds.sort();
        bounds.dedup();
        let skip = usize::from(first);
        let ranges = bounds.get(skip..).unwrap_or_default().chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        let filled = Filled::of(data_bytes, ranges).unwrap();
        prop_assert_eq!(rle::decode(&rle::encode(filled.ranges())), Ok(filled.ranges().to_vec()));
        let trailer = filled.trailer();
        let size = data_bytes + trailer.len() as u64;
        let again = Filled::read(size, |offset, bytes| {
            let at = (offset - data_bytes) as usize;
            Ok::<_, ()>(trailer[at..at + bytes].to_vec())
        });
        prop_assert_eq!(again, Ok(Ok(filled.clone())));
        for range in filled.ranges() {
            prop_assert_eq!(filled.first_missing(range), None);
            prop_assert_eq!(filled.first_missing(&(range.start..range.end + 1)).is_some(), true);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), zeros in 0usize..3) {
        let bytes = [bytes, vec![0; zeros]].concat();
        if let Ok(ranges) = rle::decode(&bytes) {
            let apart = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
            prop_assert!(apart && ranges.iter().all(|range| !range.is_empty()));
            let again = rle::encode(&ranges);
            prop_assert_eq!(rle::decode(&again), Ok(ranges));
        }
        // As what follows the data of a small sector.
        let _ = read(&file(128, &bytes), |_| {});
        let _ = read(&with_bitmap(128, &bytes), |_| {});
    }
}
