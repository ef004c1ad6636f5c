//! One file of a download: as many bytes as it may have and no more, resumed where the connection broke.

use std::path::Path;
use std::sync::Arc;

use hyper::StatusCode;
use sp_sectors::DiskFile;
use sp_types::ErrorCode;

use super::Puller;
use super::http::Answer;
use crate::failure::Failure;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// How many bytes a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// So many.
    Exactly(u64),
    /// At most so many, and at least one.
    UpTo(u64),
    /// At least so many, and only those are wanted: Lotus's unsealed files end with a list of what is in them.
    First(u64),
}

/// A file on its way.
struct Arriving {
    file: Arc<dyn DiskFile>,
    size: Size,
    /// Bytes that have come.
    at: u64,
    /// Length of the whole as it was said first.
    whole: Option<u64>,
}

impl Size {
    /// No more are taken.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::UpTo(bytes) | Self::First(bytes) => bytes,
        }
    }

    /// Fewer are not enough.
    fn least(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::First(bytes) => bytes,
            Self::UpTo(_) => 1,
        }
    }

    /// May a file have so many?
    pub(super) fn check(self, bytes: u64) -> Result<(), String> {
        match self {
            Self::Exactly(right) if bytes != right => Err(format!("has {bytes} bytes; {right} are right")),
            Self::UpTo(most) if bytes > most => Err(format!("has {bytes} bytes; {most} are the most that it may have")),
            size if bytes < size.least() => Err(format!("has only {bytes} bytes; {} are right", size.least())),
            _ => Ok(()),
        }
    }
}

impl Puller<'_> {
    /// Downloads the file to a path where nothing is.
    pub(super) async fn file(&self, name: &str, to: &Path, size: Size) -> Result<(), Failure> {
        let (disk, path) = (self.disk.clone(), to.to_owned());
        let file = self.env.blocking(move || disk.create_new(&path)).await.map_err(super::cannot("create", to))?;
        let mut arriving = Arriving { file: file.into(), size, at: 0, whole: None };
        let mut backoff = self.limits.backoff.clone();
        loop {
            let before = arriving.at;
            let failure = match self.rest_of(name, &mut arriving).await {
                Ok(()) => return self.sync(&arriving, to).await,
                Err(failure) if failure.code != ErrorCode::Unavailable => return Err(failure),
                Err(failure) => failure,
            };
            if arriving.at > before {
                // It gets on: a download of hours may meet more than one of seconds.
                backoff.reset();
            }
            tracing::warn!(reason = %failure, at = arriving.at, "downloading {name}: trying again");
            (self.said)(&format!("{}; goes on", failure.message));
            if !backoff.wait(self.env).await {
                return Err(failure);
            }
        }
    }

    /// Makes the file durable: after a crash what was checked is published as it lies, so it has to be what was checked.
    async fn sync(&self, arriving: &Arriving, to: &Path) -> Result<(), Failure> {
        let (file, disk, dir) = (arriving.file.clone(), self.disk.clone(), to.parent().map(Path::to_owned));
        let synced = self.env.blocking(move || {
            file.sync()?;
            dir.map_or(Ok(()), |dir| disk.sync_dir(&dir))
        });
        synced.await.map_err(super::cannot("sync", to))
    }

    /// Goes on with the file where it is.
    async fn rest_of(&self, name: &str, arriving: &mut Arriving) -> Result<(), Failure> {
        let url = self.source.name_of(name);
        let mut answer = self.source.get(self.env, &self.limits, name, arriving.at).await?;
        arriving.check_answer(&url, &answer)?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        let end = loop {
            let bytes = match answer.next(self.env, &self.limits).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure.while_doing(&url)),
            };
            let left = arriving.size.most().saturating_sub(arriving.at + buffer.len() as u64);
            let taken = (bytes.len() as u64).min(left) as usize;
            buffer.extend_from_slice(&bytes[..taken]);
            if taken < bytes.len() {
                match arriving.size {
                    Size::First(_) => break Ok(()),
                    _ => return Err(too_long(&url, arriving.size)),
                }
            }
            if buffer.len() >= WRITE_BYTES {
                buffer = self.keep(arriving, buffer).await?;
            }
        };
        // Also what came before it broke: the next try goes on from there.
        self.keep(arriving, buffer).await?;
        end?;
        let wrong = |why| Failure::new(ErrorCode::DigestMismatch, format!("{url} {why}"));
        arriving.size.check(arriving.at).map_err(wrong)
    }

    /// Writes what has come; gives the emptied buffer back.
    async fn keep(&self, arriving: &mut Arriving, mut buffer: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if buffer.is_empty() {
            return Ok(buffer);
        }
        let (file, at, count) = (arriving.file.clone(), arriving.at, buffer.len() as u64);
        (self.pace)(count).await;
        let (buffer, written) = self
            .env
            .blocking(move || {
                let written = file.write_at(&buffer, at);
                buffer.clear();
                (buffer, written)
            })
            .await;
        written.map_err(super::cannot("write", Path::new("a downloaded file")))?;
        arriving.at += count;
        (self.came)(count);
        Ok(buffer)
    }
}

impl Arriving {
    /// Is it the file, from where it is wanted on, and can it have the length that it says?
    fn check_answer(&mut self, url: &str, answer: &Answer) -> Result<(), Failure> {
        answer.is_good(url)?;
        let wrong = |why: String| Err(Failure::new(ErrorCode::DigestMismatch, format!("{url} {why}")));
        let whole = match (answer.status, answer.part()) {
            (StatusCode::PARTIAL_CONTENT, Some((from, whole))) if from == self.at => whole,
            (StatusCode::PARTIAL_CONTENT, _) => {
                return wrong("answers with another part than was asked for".to_owned());
            }
            // It does not know parts: from the beginning, over what is there.
            _ => {
                self.at = 0;
                answer.length()
            }
        };
        if let (Some(before), Some(now)) = (self.whole, whole)
            && before != now
        {
            return wrong(format!("has changed meanwhile, from {before} to {now} bytes"));
        }
        self.whole = self.whole.or(whole);
        match whole.map(|whole| self.size.check(whole)) {
            Some(Err(why)) => wrong(why),
            _ => Ok(()),
        }
    }
}

fn too_long(url: &str, size: Size) -> Failure {
    let message = format!("{url} sends more than the {} bytes that it may have", size.most());
    Failure::new(ErrorCode::DigestMismatch, message)
}
