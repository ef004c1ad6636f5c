//! Getting one file from a source into its part, through breaks, pauses and wrong answers.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use sp_types::ByteSize;

use super::super::error::ParamsError;
use super::error::{FetchError, Setback};
use super::http::{Http, Opened};
use super::options::{FetchOptions, Patience};
use super::part::Part;
use super::progress::Reporter;
use super::source::Source;
use super::wanted::Wanted;

const READ_BYTES: usize = 1 << 20;
/// A try that brings less than this has brought nothing: a source that drips is given up, too.
const FRUITFUL_BYTES: u64 = 1 << 20;
/// How often a source may say that it does not have a file. Gateways say so of files that they have not found yet.
const REFUSALS: u32 = 3;
/// How often a file is fetched whole. What is wrong at first may be what an earlier run has left.
const WHOLE_TRIES: u32 = 2;
/// Room on the disk that is left to others.
const SPARE_BYTES: u64 = 64 << 20;

/// A source with the means to ask it.
pub(super) struct Client {
    source: Source,
    http: Option<Http>,
    patience: Patience,
}

/// The tries for one file.
#[derive(Default)]
struct Tries {
    /// In a row, without fruit.
    fruitless: u32,
    /// Among these, those that were refused.
    refused: u32,
    /// Altogether, those that brought something else.
    wrong: u32,
}

impl Client {
    pub(super) fn new(options: &FetchOptions) -> Result<Self, FetchError> {
        let http = match options.source {
            Source::Directory(_) => None,
            Source::Gateway(_) | Source::Web(_) => Some(Http::new(options)?),
        };
        Ok(Self { source: options.source.clone(), http, patience: options.patience.clone() })
    }

    fn open(&self, wanted: &Wanted, offset: u64) -> Result<Opened, Setback> {
        match (&self.source, &self.http, self.source.url(wanted)) {
            (Source::Directory(dir), ..) => open_file(&dir.join(&wanted.name), offset),
            (_, Some(http), Some(url)) => http.open(&url, offset),
            _ => Err(Setback::Refused("it has no address".to_owned())),
        }
    }

    /// Where it has a file, as it is shown.
    fn place_of(&self, wanted: &Wanted) -> String {
        match &self.source {
            Source::Directory(dir) => dir.join(&wanted.name).display().to_string(),
            source => source.url(wanted).unwrap_or_else(|| source.to_string()),
        }
    }
}

/// Fills the part until it is the wanted file.
pub(super) fn download(
    wanted: &Wanted,
    client: &Client,
    part: &mut Part,
    reporter: &mut Reporter,
) -> Result<(), FetchError> {
    let mut tries = Tries::default();
    // An earlier run may have had all of it.
    while part.length() == 0 || part.digest() != wanted.digest {
        let before = part.length();
        let setback = match attempt(wanted, client, part, reporter) {
            Ok(()) if part.digest() == wanted.digest => return Ok(()),
            Ok(()) => Setback::Nonsense(format!("its digest is {}, not {}", part.digest(), wanted.digest)),
            Err(setback) => setback,
        };
        if part.length() >= before.saturating_add(FRUITFUL_BYTES) {
            tries = Tries { wrong: tries.wrong, ..Tries::default() };
        }
        let why = tries.count(setback, wanted, client, part)?;
        let pause = pause(&client.patience, tries.fruitless);
        reporter.pausing(&why, pause, part.length());
        std::thread::sleep(pause);
    }
    Ok(())
}

impl Tries {
    /// Counts a setback; gives its reason if another try is to be made.
    fn count(
        &mut self,
        setback: Setback,
        wanted: &Wanted,
        client: &Client,
        part: &mut Part,
    ) -> Result<String, FetchError> {
        let (label, from) = (wanted.label.clone(), client.place_of(wanted));
        self.fruitless += 1;
        let last = match setback {
            Setback::Fatal(error) => return Err(error),
            Setback::Nonsense(found) => {
                self.wrong += 1;
                part.restart()?;
                if self.wrong >= WHOLE_TRIES {
                    part.discard()?;
                    return Err(FetchError::Wrong { label, from, found });
                }
                found
            }
            Setback::Refused(why) => {
                self.refused += 1;
                why
            }
            Setback::Broken(why) => why,
        };
        if self.fruitless >= client.patience.tries || self.refused >= REFUSALS.min(client.patience.tries) {
            let (tries, kept) = (self.fruitless, kept(part)?);
            return Err(FetchError::GaveUp { label, from, last, tries, kept });
        }
        Ok(last)
    }
}

/// Leaves what has come for the next run, and no empty file.
fn kept(part: &Part) -> Result<String, ParamsError> {
    if part.length() == 0 {
        part.discard()?;
        return Ok("Nothing of it has come".to_owned());
    }
    Ok(format!("What has come of it, {}, is kept in {}", ByteSize(part.length()), part.path().display()))
}

/// The pause after so many tries without fruit.
fn pause(patience: &Patience, fruitless: u32) -> Duration {
    let doubled = 1u32.checked_shl(fruitless.saturating_sub(1)).unwrap_or(u32::MAX);
    patience.first_pause.saturating_mul(doubled).min(patience.longest_pause)
}

/// One request, until what it brings ends. That it ends well says nothing of the digest.
fn attempt(wanted: &Wanted, client: &Client, part: &mut Part, reporter: &mut Reporter) -> Result<(), Setback> {
    let Opened { first, total, mut body } = client.open(wanted, part.length())?;
    if first != part.length() {
        part.restart()?;
    }
    let most = wanted.length_max_bytes;
    if let Some(total) = total.filter(|total| *total > most) {
        return Err(Setback::Nonsense(format!("it would have {total} bytes, more than any such file ({most})")));
    }
    if let Some(total) = total {
        expect_room(wanted, part, total)?;
    }
    let mut buffer = vec![0; READ_BYTES];
    loop {
        reporter.fetching(part.length(), total);
        let read = match body.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Setback::Broken(format!("the connection broke: {error}"))),
        };
        let length = part.length() + read as u64;
        match total {
            _ if read == 0 && total.is_none_or(|total| length >= total) => return Ok(()),
            Some(total) if read == 0 => {
                return Err(Setback::Broken(format!("the connection ended after {length} of {total} bytes")));
            }
            _ if length > total.unwrap_or(most) => {
                return Err(Setback::Nonsense(format!("it goes on after byte {}", total.unwrap_or(most))));
            }
            _ => part.append(&buffer[..read])?,
        }
    }
}

/// Whether the rest fits onto the disk.
pub(super) fn expect_room(wanted: &Wanted, part: &Part, total: u64) -> Result<(), Setback> {
    let dir = part.path().parent().unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(dir).map_err(|error| ParamsError::io("examine", dir)(error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(SPARE_BYTES);
    let need = total.saturating_sub(part.length());
    if need <= free {
        return Ok(());
    }
    let (dir, label) = (dir.to_owned(), wanted.label.clone());
    Err(Setback::Fatal(FetchError::NoSpace { dir, label, need: ByteSize(need), free: ByteSize(free) }))
}

/// A file of a directory, from some byte on.
fn open_file(path: &Path, offset: u64) -> Result<Opened, Setback> {
    let open = || {
        let mut file = File::open(path)?;
        let total = file.metadata()?.len();
        let first = if offset <= total { offset } else { 0 };
        file.seek(SeekFrom::Start(first))?;
        Ok(Opened { first, total: Some(total), body: Box::new(file) })
    };
    open().map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => Setback::Refused(error.to_string()),
        _ => Setback::Broken(error.to_string()),
    })
}
