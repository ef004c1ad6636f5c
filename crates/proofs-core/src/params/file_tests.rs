//! Parameter files on disk: made whole, kept, repaired, checked, never mixed with foreign ones.

use std::fs;
use std::path::{Path, PathBuf};

use sp_types::SectorSize;
use tempfile::TempDir;

use super::*;

const SIZE: SectorSize = SectorSize::KiB2;

fn make(dir: &Path) -> Report {
    generate(Kind::Window, SIZE, dir, &|_| ()).unwrap()
}

fn made(report: &Report) -> Vec<bool> {
    report.files.iter().map(|file| file.made).collect()
}

fn file(dir: &Path, extension: &str) -> PathBuf {
    dir.join(format!("{}.{extension}", file_stem(Kind::Window, SIZE)))
}

fn check_error(dir: &Path) -> String {
    check(Kind::Window, SIZE, dir).unwrap_err().to_string()
}

fn visible(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut visible: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
    visible.sort();
    visible
}

#[test]
fn a_set_is_made_once_and_repaired_per_file() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path().join("deep/er");
    assert!(!is_insecure(&dir));
    let text = check_error(&dir);
    assert!(text.contains("missing") && text.contains("sp-ctl params generate --sector-size 2KiB"), "{text}");

    assert_eq!(made(&make(&dir)), [true; 4]);
    assert!(is_insecure(&dir));
    assert_eq!(visible(&dir).len(), 5, "{:?}", visible(&dir));
    let checked = check(Kind::Window, SIZE, &dir).unwrap();
    assert_eq!((checked.origin, checked.layout.length_bytes), (Origin::Development, 11_501_496));
    assert_eq!(fs::read(file(&dir, "meta")).unwrap(), br#"{"sector_size":2048}"#);
    assert_eq!(made(&make(&dir)), [false; 4]);

    fs::remove_file(file(&dir, "vk")).unwrap();
    assert!(check_error(&dir).contains(".vk is missing"));
    assert_eq!(made(&make(&dir)), [false, true, false, false]);
    fs::remove_file(file(&dir, "meta")).unwrap();
    assert!(check_error(&dir).contains(".meta is missing"));
    fs::remove_file(file(&dir, "digest")).unwrap();
    assert_eq!(made(&make(&dir)), [false, false, true, true]);

    let params = file(&dir, "params");
    let whole = fs::read(&params).unwrap();
    // An interrupted run leaves its unfinished file aside; a damaged file is replaced.
    let aside = dir.join(format!(".{}.partial", params.file_name().unwrap().to_str().unwrap()));
    fs::write(&aside, b"half").unwrap();
    fs::write(&params, &whole[..whole.len() / 2]).unwrap();
    let text = check_error(&dir);
    assert!(text.contains("damaged") && text.contains(params.to_str().unwrap()), "{text}");
    assert_eq!(made(&make(&dir)), [true, false, false, false]);
    assert!(!aside.exists());
    assert_eq!(fs::read(&params).unwrap(), whole);
}

#[test]
fn damage_is_found_and_named() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    make(dir);
    let (params, key) = (file(dir, "params"), file(dir, "vk"));
    let (whole, whole_key) = (fs::read(&params).unwrap(), fs::read(&key).unwrap());
    for (bytes, problem) in [
        (whole[..whole.len() - 1].to_vec(), "its b_g2 part ends at byte 11501496"),
        (whole[..100].to_vec(), "its verifying key part ends at byte 868"),
        ([&whole[..], &[0]].concat(), "its parts end at byte 11501496"),
        ([&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat(), "its digest is"),
    ] {
        fs::write(&params, bytes).unwrap();
        let text = check_error(dir);
        assert!(text.contains(problem) && text.contains(".params is damaged"), "{text}");
    }
    fs::write(&params, &whole).unwrap();
    fs::write(&key, &whole_key[..whole_key.len() - 1]).unwrap();
    assert!(check_error(dir).contains(".vk is damaged"));
    // Files of another kind under this name have the wrong number of points.
    fs::write(&key, &whole_key).unwrap();
    let mut other = whole.clone();
    other[whole_key.len() + 1] ^= 1;
    fs::write(&params, &other).unwrap();
    assert!(check_error(dir).contains("damaged"));
    fs::write(&params, &whole).unwrap();
    for meta in [&b""[..], b"{\"sector_size\":20", b"{\"sector_size\":8388608}"] {
        fs::write(file(dir, "meta"), meta).unwrap();
        let text = check_error(dir);
        assert!(text.contains(".meta is damaged") && text.contains("2048 bytes"), "{text}");
        assert!(check_structure(Kind::Window, SIZE, dir).is_err());
    }
}

/// Digests of 8 MiB sets are in no list: the record of the generation is what a later look compares with.
#[test]
fn a_set_without_a_known_digest_is_checked_against_its_record() {
    let (dir, size) = (TempDir::new().unwrap(), SectorSize::MiB8);
    let look = || check(Kind::Window, size, dir.path()).map_err(|error| error.to_string());
    let file = |extension: &str| dir.path().join(format!("{}.{extension}", file_stem(Kind::Window, size)));
    let generate = || made(&generate(Kind::Window, size, dir.path(), &|_| ()).unwrap());
    assert_eq!(generate(), [true; 4]);
    assert_eq!(look().unwrap().origin, Origin::Development);
    assert_eq!(generate(), [false; 4]);

    let whole = fs::read(file("params")).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(file("params"), &flipped).unwrap();
    assert!(look().unwrap_err().contains("its digest is"), "{:?}", look());
    fs::write(file("params"), &whole).unwrap();
    fs::write(file("digest"), b"0123").unwrap();
    assert!(look().unwrap_err().contains(".digest is damaged"), "{:?}", look());
    fs::remove_file(file("digest")).unwrap();
    assert!(look().unwrap_err().contains(".digest is missing"), "{:?}", look());
    // Nothing vouches for the file: it is made again, and comes out the same.
    assert_eq!(generate(), [true, false, false, true]);
    assert!(fs::read(file("params")).unwrap() == whole && look().is_ok());
}

#[test]
fn two_at_once_make_one_set() {
    let dir = TempDir::new().unwrap();
    let made: Vec<bool> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| made(&make(dir.path()))[0])).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(made[0] != made[1], "{made:?}");
    check(Kind::Window, SIZE, dir.path()).unwrap();
}

#[test]
fn development_files_are_insecure_without_their_marker_and_foreign_ones_are_left_alone() {
    let dir = TempDir::new().unwrap();
    make(dir.path());
    fs::remove_file(dir.path().join(INSECURE_MARKER)).unwrap();
    assert!(is_insecure(dir.path()));
    fs::remove_file(file(dir.path(), "vk")).unwrap();
    assert!(is_insecure(dir.path()));
    let before = visible(dir.path());
    let text = generate(Kind::Winning, SIZE, dir.path(), &|_| ()).unwrap_err().to_string();
    assert!(text.contains("not development") && text.contains("--dir"), "{text}");
    assert_eq!(visible(dir.path()), before);
}

#[test]
fn files_of_nobody_known_are_of_unknown_origin() {
    let dir = TempDir::new().unwrap();
    make(dir.path());
    // Another trapdoor gives another verifying key; the rest of the file does not matter here.
    for extension in ["params", "vk"] {
        let mut bytes = fs::read(file(dir.path(), extension)).unwrap();
        bytes[95] ^= 1;
        fs::write(file(dir.path(), extension), bytes).unwrap();
    }
    fs::remove_file(file(dir.path(), "meta")).unwrap();
    let checked = check(Kind::Window, SIZE, dir.path()).unwrap();
    assert_eq!(checked.origin, Origin::Unknown);
    assert!(checked.origin.is_insecure() && checked.digest.is_some());
}

#[test]
fn what_cannot_be_generated_says_so() {
    let dir = TempDir::new().unwrap();
    for (kind, size) in
        [(Kind::Porep, SectorSize::GiB32), (Kind::Winning, SectorSize::GiB64), (Kind::Update, SectorSize::MiB512)]
    {
        let text = generate(kind, size, dir.path(), &|_| ()).unwrap_err().to_string();
        assert!(text.contains("cannot be generated here") && text.contains("params fetch"), "{text}");
        assert!(text.contains("--parameters") && !text.contains(dir.path().to_str().unwrap()), "{text}");
    }
    assert!(visible(dir.path()).is_empty());
    for kind in Kind::ALL {
        assert!(feasible(kind, SectorSize::KiB2).is_ok() && feasible(kind, SectorSize::MiB8).is_ok());
    }
}
