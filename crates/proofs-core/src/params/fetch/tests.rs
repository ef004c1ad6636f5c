//! A fetch against a server that cuts, shortens, corrupts, hangs and recovers, and against directories.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sp_types::SectorSize;
use tempfile::TempDir;

use super::super::place::INSECURE_MARKER;
use super::super::{Kind, digest, place};
use super::part::Part;
use super::provide::is_whole;
use super::test_server::{Act, Asked, Server};
use super::*;

const NAME: &str = "v28-test.params";
const KEY: &str = "v28-test.vk";
const CID: &str = "QmTest";

/// Bytes that repeat nowhere, so that a part in the wrong place shows.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn wanted_of(name: &str, bytes: &[u8]) -> Wanted {
    let digest = digest::of_bytes(bytes);
    Wanted { name: name.into(), cid: CID.into(), digest, length_max_bytes: 1 << 30, label: name.into() }
}

/// A file, where it is to go, and everything that is borne on the way there.
struct Case {
    dir: TempDir,
    bytes: Vec<u8>,
    wanted: Wanted,
}

impl Case {
    fn new(length: usize) -> Self {
        let bytes = content(length);
        Self { dir: TempDir::new().unwrap(), wanted: wanted_of(NAME, &bytes), bytes }
    }

    fn server(&self, script: &[Act]) -> Server {
        Server::start([(NAME.to_owned(), self.bytes.clone())], script)
    }

    fn fetch(&self, server: &Server) -> Result<Vec<Fetched>, FetchError> {
        self.fetch_from(server.url.parse().unwrap())
    }

    fn fetch_from(&self, source: Source) -> Result<Vec<Fetched>, FetchError> {
        fetch(std::slice::from_ref(&self.wanted), self.dir.path(), &quick(source), &|_| ())
    }

    fn part(&self) -> PathBuf {
        self.dir.path().join(format!(".{NAME}.part"))
    }

    /// The file is there whole, and nothing else to be seen.
    #[track_caller]
    fn is_there(&self) {
        assert!(fs::read(self.dir.path().join(NAME)).unwrap() == self.bytes);
        assert_eq!(visible(self.dir.path()), [NAME]);
        assert!(!self.part().exists());
    }
}

fn quick(source: Source) -> FetchOptions {
    let patience = Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(300),
        tries: 4,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
    };
    FetchOptions { source, patience, proxy_from_env: false, report_every: Duration::ZERO }
}

fn visible(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_once_and_is_then_known() {
    let case = Case::new(3 << 20);
    let server = case.server(&[]);
    let fetched = case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!((fetched[0].length_bytes, fetched[0].fetched, &fetched[0].digest), (3 << 20, true, &case.wanted.digest));
    assert!(!case.fetch(&server).unwrap()[0].fetched);
    assert_eq!(server.asked(), [Asked { path: format!("/{NAME}"), from: None }]);

    // A gateway is asked for the content id, and may send us elsewhere.
    let other = Case::new(10);
    let gateway = Server::start([(CID.to_owned(), other.bytes.clone())], &[Act::Redirect]);
    other.fetch_from(Source::gateway(Some(&format!("{}/ipfs/", gateway.url))).unwrap()).unwrap();
    other.is_there();
    let paths: Vec<_> = gateway.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, [format!("/ipfs/{CID}"), format!("/moved/ipfs/{CID}")]);
}

#[test]
fn after_a_break_it_goes_on_where_it_was() {
    let case = Case::new(1 << 20);
    // The second answer begins at byte 1000, so its 2000 bytes end at 3000.
    let server = case.server(&[Act::Cut(1000), Act::Cut(2000), Act::Hang(500)]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!(server.offsets(), [None, Some(1000), Some(3000), Some(3500)]);
}

#[test]
fn the_next_run_goes_on_where_the_last_was() {
    let case = Case::new(1 << 20);
    let refusing = case.server(&[Act::Cut(70_000), Act::Status(500), Act::Status(500), Act::Status(500)]);
    let error = case.fetch(&refusing).unwrap_err().to_string();
    assert!(error.contains("status 500") && error.contains(".part") && error.contains("--from"), "{error}");
    assert_eq!(fs::metadata(case.part()).unwrap().len(), 70_000);
    assert!(visible(case.dir.path()).is_empty());

    let server = case.server(&[]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!(server.offsets(), [Some(70_000)]);

    // A run that was ended between the last byte and the name needs no server.
    let case = Case::new(1000);
    fs::write(case.part(), &case.bytes).unwrap();
    let server = case.server(&[Act::Status(500)]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert!(server.asked().is_empty());
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let case = Case::new(1 << 20);
    let server = case.server(&[Act::Cut(1000), Act::IgnoreRange]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!(server.offsets(), [None, Some(1000)]);
}

#[test]
fn what_is_wrong_is_fetched_once_more_and_never_seen() {
    let case = Case::new(100_000);
    for act in [Act::Corrupt(99_999), Act::Shorten(5000)] {
        let _ = fs::remove_file(case.dir.path().join(NAME));
        let server = case.server(&[act]);
        case.fetch(&server).unwrap();
        case.is_there();
        assert_eq!(server.offsets(), [None, None], "{act:?}");
    }
    fs::remove_file(case.dir.path().join(NAME)).unwrap();
    let server = case.server(&[Act::Corrupt(0), Act::Corrupt(1)]);
    let error = case.fetch(&server).unwrap_err();
    assert!(matches!(error, FetchError::Wrong { .. }), "{error}");
    assert!(error.to_string().contains(&case.wanted.digest) && error.to_string().contains("--from"), "{error}");
    assert!(visible(case.dir.path()).is_empty() && !case.part().exists());
}

#[test]
fn a_wrong_beginning_is_not_built_on() {
    let case = Case::new(100_000);
    for part in [content(500).iter().map(|byte| byte ^ 1).collect(), vec![0; 100_000], vec![0; 200_000]] {
        let _ = fs::remove_file(case.dir.path().join(NAME));
        fs::write(case.part(), &part).unwrap();
        let server = case.server(&[]);
        case.fetch(&server).unwrap();
        case.is_there();
        assert_eq!(server.offsets(), [Some(part.len()), None]);
    }
}

#[test]
fn ranges_that_were_not_asked_for_are_not_written() {
    let case = Case::new(100_000);
    let server = case.server(&[Act::Cut(1000), Act::OtherRange]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!(server.offsets(), [None, Some(1000), None]);
}

#[test]
fn a_server_that_does_not_stop_is_cut_off() {
    let mut case = Case::new(1 << 20);
    case.wanted.length_max_bytes = 1 << 20;
    let server = case.server(&[Act::Overflow, Act::Overflow]);
    let error = case.fetch(&server).unwrap_err().to_string();
    assert!(error.contains("goes on after byte 1048576"), "{error}");
    assert!(!case.part().exists());

    // One that says beforehand how much it would be is not even read.
    case.wanted.length_max_bytes = 1000;
    let error = case.fetch(&case.server(&[])).unwrap_err().to_string();
    assert!(error.contains("would have 1048576 bytes"), "{error}");
}

#[test]
fn errors_that_pass_are_waited_for_and_others_soon_given_up() {
    let case = Case::new(1000);
    let server = case.server(&[Act::Status(404), Act::Status(503), Act::Status(429)]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!(server.asked().len(), 4);

    let case = Case::new(1000);
    let server = Server::start([], &[]);
    let error = case.fetch(&server).unwrap_err().to_string();
    assert!(error.contains("status 404") && error.contains(&server.url) && error.contains("Nothing of it"), "{error}");
    assert_eq!(server.asked().len(), 3);
    assert!(!case.part().exists());
}

#[test]
fn silence_and_absence_are_bounded() {
    let case = Case::new(1 << 20);
    let start = Instant::now();
    let server = case.server(&[Act::Hang(0), Act::Hang(0), Act::Hang(0), Act::Hang(0)]);
    assert!(matches!(case.fetch(&server), Err(FetchError::GaveUp { tries: 4, .. })));
    let url = server.url.clone();
    drop(server);
    // Nobody listens there any more.
    assert!(matches!(case.fetch_from(url.parse().unwrap()), Err(FetchError::GaveUp { .. })));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn progress_resets_the_count_of_tries() {
    let case = Case::new(8 << 20);
    let server = case.server(&[Act::Cut(1 << 20); 7]);
    case.fetch(&server).unwrap();
    case.is_there();
    assert_eq!(server.asked().len(), 8);
}

#[test]
fn a_directory_is_copied_from_and_left_alone() {
    let case = Case::new(2 << 20);
    let from = TempDir::new().unwrap();
    fs::write(from.path().join(NAME), &case.bytes).unwrap();
    let source = || Source::Directory(from.path().to_owned());
    // It goes on in what has come from elsewhere.
    fs::write(case.part(), &case.bytes[..1000]).unwrap();
    case.fetch_from(source()).unwrap();
    case.is_there();
    assert!(fs::read(from.path().join(NAME)).unwrap() == case.bytes);

    // What is there and wrong is replaced, but by nothing that is wrong as well.
    fs::write(case.dir.path().join(NAME), b"cut").unwrap();
    case.fetch_from(source()).unwrap();
    case.is_there();
    fs::remove_file(case.dir.path().join(NAME)).unwrap();
    fs::write(from.path().join(NAME), b"cut").unwrap();
    assert!(matches!(case.fetch_from(source()), Err(FetchError::Wrong { .. })));
    fs::remove_file(from.path().join(NAME)).unwrap();
    let error = case.fetch_from(source()).unwrap_err().to_string();
    assert!(error.contains(from.path().to_str().unwrap()) && error.contains("No such file"), "{error}");
}

#[test]
fn of_two_at_once_one_fetches_and_the_other_finds() {
    let case = Case::new(1 << 20);
    let server = case.server(&[Act::Slow(Duration::from_millis(250))]);
    let fetched = std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| case.fetch(&server).unwrap()[0].fetched));
        runs.map(|run| run.join().unwrap())
    });
    assert_ne!(fetched[0], fetched[1]);
    case.is_there();
    assert_eq!(server.offsets(), [None]);
}

#[test]
fn insecure_directories_are_refused() {
    let case = Case::new(1000);
    let server = case.server(&[]);
    fs::write(case.dir.path().join(INSECURE_MARKER), "").unwrap();
    let error = case.fetch(&server).unwrap_err();
    assert!(matches!(&error, FetchError::Insecure { found, .. } if found == INSECURE_MARKER), "{error}");
    fs::remove_file(case.dir.path().join(INSECURE_MARKER)).unwrap();

    // So are keys of nobody known, and the wanted key with other bytes: somebody may have made them.
    for name in ["v28-other.vk", KEY] {
        fs::write(case.dir.path().join(name), "a key").unwrap();
        let error = case.fetch(&server).unwrap_err().to_string();
        assert!(error.contains("INSECURE") && error.contains(name), "{error}");
        fs::remove_file(case.dir.path().join(name)).unwrap();
    }
    assert!(server.asked().is_empty());
    case.fetch(&server).unwrap();

    // A directory that becomes one of development parameters meanwhile gets nothing published.
    fs::remove_file(case.dir.path().join(NAME)).unwrap();
    let claim = |progress: &FetchProgress| {
        if progress.phase == FetchPhase::Publishing {
            place::claim_dir(case.dir.path()).unwrap();
        }
    };
    let options = quick(server.url.parse().unwrap());
    let error = fetch(std::slice::from_ref(&case.wanted), case.dir.path(), &options, &claim).unwrap_err();
    assert!(matches!(error, FetchError::Insecure { .. }), "{error}");
    assert_eq!(visible(case.dir.path()), [INSECURE_MARKER]);
}

#[test]
fn progress_tells_everything_that_happens() {
    let case = Case::new(1000);
    let key = wanted_of(KEY, b"a key");
    fs::write(case.dir.path().join(KEY), b"a key").unwrap();
    let server = case.server(&[Act::Cut(400), Act::Status(503)]);
    let lines = RefCell::new(Vec::new());
    let options = quick(server.url.parse().unwrap());
    let say = |progress: &FetchProgress| lines.borrow_mut().push(progress.to_string());
    let fetched = fetch(&[key, case.wanted.clone()], case.dir.path(), &options, &say).unwrap();
    assert_eq!(fetched.iter().map(|file| file.fetched).collect::<Vec<_>>(), [false, true]);
    let lines = lines.into_inner();
    let said = |text: &str| lines.iter().any(|line| line.contains(text));
    for text in [
        "1/2 v28-test.vk: checking what is there, 100% of 5 B",
        "2/2 v28-test.params: 0% of 1000 B",
        "2/2 v28-test.params: 40% of 1000 B",
        "status 503; again in 1 s, 400 B are there",
        "2/2 v28-test.params: bringing 1000 B to the disk",
    ] {
        assert!(said(text), "{text}: {lines:#?}");
    }
}

#[test]
fn files_are_looked_at_as_a_whole_the_first_time_they_are_met() {
    let case = Case::new(1000);
    let (path, wanted) = (case.dir.path().join(NAME), std::slice::from_ref(&case.wanted));
    let options = quick(Source::Directory("/nonexistent".into()));
    let looks = RefCell::new(0);
    let whole = || is_whole(wanted, case.dir.path(), &options, &|_| *looks.borrow_mut() += 1).unwrap();
    fs::write(&path, &case.bytes).unwrap();
    assert!(whole() && *looks.borrow() == 1);
    assert!(whole() && *looks.borrow() == 1);
    // Longer by a byte: its time alone may be the same, within a tick of the kernel's clock.
    fs::write(&path, [&case.bytes[..], &[0]].concat()).unwrap();
    assert!(!whole() && *looks.borrow() == 2);
    // One that was fetched has been looked at on its way.
    case.fetch(&case.server(&[])).unwrap();
    assert!(whole() && *looks.borrow() == 2);
}

#[test]
fn the_disk_must_have_room() {
    let case = Case::new(10);
    let part = Part::open(&case.part(), &mut |_, _| ()).unwrap();
    let error = download::expect_room(&case.wanted, &part, 1 << 60).unwrap_err();
    assert!(matches!(&error, error::Setback::Fatal(FetchError::NoSpace { .. })), "{error:?}");
    assert!(download::expect_room(&case.wanted, &part, 1).is_ok());
}

#[test]
fn a_set_that_is_missing_is_provided_or_says_why_not() {
    let (dir, empty) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let options = quick(Source::Directory(empty.path().to_owned()));
    let provide = || provide(Kind::Window, SectorSize::KiB2, dir.path(), Some(&options), &|_| ());
    let error = provide().unwrap_err().to_string();
    assert!(error.contains("window 2KiB vk") && error.contains("No such file"), "{error}");
    // Files of a set that is there are not asked for.
    super::super::generate(Kind::Window, SectorSize::KiB2, dir.path(), &|_| ()).unwrap();
    assert_eq!(provide().unwrap().origin, super::super::Origin::Development);
}
