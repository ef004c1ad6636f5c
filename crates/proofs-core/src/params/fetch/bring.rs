//! Bringing files into a directory, one after the other, while others may do the same.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::error::ParamsError;
use super::super::place;
use super::check_in::{self, Directory};
use super::download::{Client, download};
use super::error::FetchError;
use super::options::FetchOptions;
use super::part::Part;
use super::progress::{FetchProgress, Reporter};
use super::seen;
use super::wanted::Wanted;

/// How long one process waits for another that fetches the same file. The largest one takes a day at 700 KiB/s.
const LOCK_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A file that is there, and right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length_bytes: u64,
    /// First 16 bytes of its BLAKE2b-512, in hex: the published ones.
    pub digest: String,
    /// Whether this run brought it; false if it was there.
    pub fetched: bool,
}

/// Brings the wanted files into `dir`. Those that are there are read whole, and fetched anew if they are not the wanted
/// ones.
///
/// Blocking. May be interrupted at any time: the next run goes on where this one was. Any number of processes may fetch
/// into one directory at once; each file is fetched by one of them, the others wait and find it. A directory with
/// insecure parameters is refused.
pub fn fetch(
    wanted: &[Wanted],
    dir: &Path,
    options: &FetchOptions,
    progress: &dyn Fn(&FetchProgress),
) -> Result<Vec<Fetched>, FetchError> {
    let directory = Directory::check_in(dir, wanted)?;
    let client = Client::new(options)?;
    let one = |(index, file)| {
        let mut reporter = Reporter::new(file, index, wanted.len(), options.report_every, progress);
        bring(file, &directory, &client, &mut reporter)
    };
    wanted.iter().enumerate().map(one).collect()
}

/// One file: kept if it is there and right, else fetched.
fn bring(
    wanted: &Wanted,
    directory: &Directory,
    client: &Client,
    reporter: &mut Reporter,
) -> Result<Fetched, FetchError> {
    let hidden = |extension| directory.path().join(format!(".{}.{extension}", wanted.name));
    let reporter = RefCell::new(reporter);
    let _lock = place::lock(&hidden("lock"), LOCK_WAIT, &|| reporter.borrow_mut().waiting())?;
    let reporter = reporter.into_inner();
    let path = directory.path().join(&wanted.name);
    let fetched = |length_bytes, fetched| {
        let (name, digest) = (wanted.name.clone(), wanted.digest.clone());
        Fetched { name, path: path.clone(), length_bytes, digest, fetched }
    };
    if let Some(length) = check_in::right_length(&path, &wanted.digest, reporter)? {
        // What another source had begun before this file came some other way.
        let _ = fs::remove_file(hidden("part"));
        return Ok(fetched(length, false));
    }
    let mut part = Part::open(&hidden("part"), &mut |done, total| reporter.checking(done, total))?;
    download(wanted, client, &mut part, reporter)?;
    reporter.publishing(part.length());
    let length = part.length();
    directory.publish(part, &path)?;
    let metadata = fs::metadata(&path).map_err(ParamsError::io("examine", &path))?;
    seen::record(&path, &metadata, &wanted.digest);
    Ok(fetched(length, true))
}
