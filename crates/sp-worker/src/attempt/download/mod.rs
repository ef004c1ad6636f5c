//! DL: downloads the finished files of a sector over HTTP into the attempt's work directories, and has the replica answer a
//! challenge there. Nothing of it is published before that.
//!
//! The source is a Lotus worker or miner (`/remote`), which sends directories as tar archives, or a plain web server over a
//! storage path, whose cache files are asked for by their names.

mod archive;
mod file;
mod http;
mod names;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use sp_env::BoxFuture;
use sp_net::Env;
use sp_net::retry::Backoff;
use sp_proto::v1;
use sp_sectors::{Disk, remove_any};
use sp_types::{ByteSize, ErrorCode, FileKind, SourceUrl};

use super::Attempt;
use super::prepare::Files;
use crate::failure::Failure;
use crate::node::Node;
use crate::pace::Class;
use archive::Directory;
use file::Size;
use http::Source;
use names::cache_files;

/// The order in which files come: what is small and tells whether the rest is worth it first.
const ORDER: [FileKind; 5] =
    [FileKind::UpdateCache, FileKind::Cache, FileKind::Update, FileKind::Sealed, FileKind::Unsealed];

/// What Lotus says of a directory.
const TAR: &str = "application/x-tar";

/// How patient it is.
#[derive(Debug, Clone)]
struct Limits {
    /// Longest silence of the source.
    silence: Duration,
    /// Waits while it gets nothing.
    backoff: Backoff,
}

impl Default for Limits {
    fn default() -> Self {
        // About a minute: enough for a source to be started again.
        let backoff = Backoff::limited(Duration::from_millis(500), Duration::from_secs(16), 8);
        Self { silence: Duration::from_secs(30), backoff }
    }
}

/// Downloads from one source.
struct Puller<'a> {
    env: &'a Env,
    disk: Arc<dyn Disk>,
    source: Source,
    limits: Limits,
    /// Waits until so many bytes may be taken.
    pace: Box<dyn Fn(u64) -> BoxFuture<()> + Send + Sync + 'a>,
    /// Hears of bytes of files that have come.
    came: Box<dyn Fn(u64) + Send + Sync + 'a>,
    /// Hears what it is at.
    said: Box<dyn Fn(&str) + Send + Sync + 'a>,
}

/// Downloads everything that the attempt makes, and checks it.
pub(super) async fn download(
    node: &Node,
    attempt: &Attempt,
    params: &v1::DownloadParams,
    files: &Files,
) -> Result<v1::DownloadOutput, Failure> {
    let assignment = &attempt.assignment;
    let source = source(params)?;
    attempt.set_phase(v1::AttemptPhase::Preparing, "waits for its turn to download");
    let _slot = node.fetch_slots.acquire().await;
    let size = assignment.seal_proof.size;
    let is_wanted = |kind: &FileKind| assignment.outputs.iter().any(|output| output.kind == *kind);
    let wanted: Vec<FileKind> = ORDER.into_iter().filter(is_wanted).collect();
    let replicas = wanted.iter().filter(|kind| !kind.is_directory()).count() as u64;
    let (total, come) = (replicas * size.bytes(), AtomicU64::new(0));
    let fraction = |come: u64| attempt.set_fraction(come as f64 / total.max(1) as f64);
    let pace = |bytes: u64| {
        let gate = node.fetching.clone();
        async move { drop(gate.begin(Class::Bulk, bytes).await) }.boxed()
    };
    let puller = Puller {
        env: &node.env,
        disk: node.disk.clone(),
        source,
        limits: Limits::default(),
        pace: Box::new(pace),
        came: Box::new(|bytes| fraction(come.fetch_add(bytes, Ordering::Relaxed) + bytes)),
        said: Box::new(|what| {
            attempt.set_phase(v1::AttemptPhase::Running, what);
            fraction(come.load(Ordering::Relaxed));
        }),
    };
    let sector = assignment.sector.to_string();
    let mut found = verify::Found::default();
    for kind in wanted {
        let (name, to) = (format!("{kind}/{sector}"), PathBuf::from(files.output(kind)?));
        (puller.said)(&format!("downloads {}", puller.source.name_of(&name)));
        match kind {
            FileKind::Cache | FileKind::UpdateCache => {
                let directory = Directory { kind, sector: sector.clone(), files: cache_files(size) };
                puller.directory(&name, &to, &directory).await?;
                found.cache_came(node, attempt, params, kind, &to).await?;
            }
            FileKind::Unsealed => puller.file(&name, &to, Size::First(size.bytes())).await?,
            _ => puller.file(&name, &to, Size::Exactly(size.bytes())).await?,
        }
    }
    let took = ByteSize(come.load(Ordering::Relaxed));
    attempt.set_phase(v1::AttemptPhase::Running, format!("checks the {took} that have come"));
    let from = puller.source.url.to_string();
    found.check(node, attempt, params, files).await.map_err(|failure| failure.while_doing(from))
}

fn source(params: &v1::DownloadParams) -> Result<Source, Failure> {
    let bad = |why: String| Failure::new(ErrorCode::BadRequest, why);
    let url: SourceUrl = params.url.parse().map_err(|e: sp_types::BadSourceUrl| bad(e.to_string()))?;
    Ok(Source { url, headers: params.headers.iter().cloned().map(Into::into).collect() })
}

impl Puller<'_> {
    /// Downloads a directory to a path where nothing is: as an archive if the source sends one, else file by file.
    async fn directory(&self, name: &str, to: &Path, what: &Directory) -> Result<(), Failure> {
        let mut backoff = self.limits.backoff.clone();
        loop {
            self.clear(to).await?;
            let failure = match self.whole_directory(name, to, what).await {
                Ok(()) => return self.sync_names(to).await,
                Err(failure) => failure,
            };
            // An archive that broke begins anew: it is small.
            if failure.code != ErrorCode::Unavailable || !backoff.wait(self.env).await {
                return Err(failure);
            }
            tracing::warn!(reason = %failure, "downloading {name}: trying again");
        }
    }

    async fn whole_directory(&self, name: &str, to: &Path, what: &Directory) -> Result<(), Failure> {
        let answer = self.source.get(self.env, &self.limits, name, 0).await?;
        let status = answer.status.as_u16();
        if status == 200 && answer.content_type().eq_ignore_ascii_case(TAR) {
            let url = self.source.name_of(name);
            answer.is_good(&url)?;
            return self.archive(answer, to, what).await.map_err(|failure| failure.while_doing(url));
        }
        // A web server has a page about it, or knows only files.
        if !matches!(status, 200 | 301..=308 | 403 | 404 | 405) {
            answer.is_good(&self.source.name_of(name))?;
        }
        drop(answer);
        for file in &what.files {
            self.file(&format!("{name}/{}", file.name), &to.join(&file.name), file.size).await?;
        }
        Ok(())
    }

    /// Makes the names in a directory, and its own, durable.
    async fn sync_names(&self, dir: &Path) -> Result<(), Failure> {
        let (disk, path) = (self.disk.clone(), dir.to_owned());
        let synced = self.env.blocking(move || {
            disk.sync_dir(&path)?;
            path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
        });
        synced.await.map_err(cannot("sync", dir))
    }

    /// An empty directory there, whatever was there before.
    async fn clear(&self, to: &Path) -> Result<(), Failure> {
        let (disk, path) = (self.disk.clone(), to.to_owned());
        let made = self.env.blocking(move || {
            remove_any(&*disk, &path)?;
            disk.create_dir_all(&path)
        });
        made.await.map_err(cannot("clear", to))
    }
}

/// The disk is at fault.
fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let path = path.display().to_string();
    move |error| {
        let code = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            _ => ErrorCode::Internal,
        };
        Failure::new(code, format!("cannot {doing} {path}: {error}"))
    }
}
