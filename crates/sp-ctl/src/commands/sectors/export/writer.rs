//! Checks and writes the chunks of one file while more of them come. What waits is bounded: a few chunks at any time.

use std::sync::Arc;

use indicatif::ProgressBar;
use sp_proto::v1::FileChunk;
use sp_sectors::{CHUNK_BYTES, Chunk, ReceiveError, Receiver};
use tokio::task::JoinHandle;

use super::bring::Trouble;
use crate::error::CommandError;

/// Chunks that are checked and written together: many digests at once cost a fraction of one after the other.
const GROUP: usize = 8;

/// One group is written while the next one comes.
pub(super) struct Writer<'a> {
    receiver: &'a Arc<Receiver>,
    name: String,
    group: Vec<FileChunk>,
    writing: Option<JoinHandle<Written>>,
    bar: &'a ProgressBar,
    /// Some chunk was right, and is here.
    pub(super) has_written: bool,
}

struct Written {
    bytes: u64,
    trouble: Option<Trouble>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(receiver: &'a Arc<Receiver>, name: &str, bar: &'a ProgressBar) -> Self {
        Self { receiver, name: name.to_owned(), group: Vec::new(), writing: None, bar, has_written: false }
    }

    /// Takes a chunk; an error may be about one before it.
    pub(super) async fn push(&mut self, chunk: FileChunk) -> Result<(), Trouble> {
        self.group.push(chunk);
        if self.group.len() < GROUP { Ok(()) } else { self.begin().await }
    }

    /// Everything that was pushed is here, or one of it was wrong.
    pub(super) async fn flush(&mut self) -> Result<(), Trouble> {
        self.begin().await?;
        self.settle().await
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        self.settle().await?;
        let (receiver, name, group) = (self.receiver.clone(), self.name.clone(), std::mem::take(&mut self.group));
        self.writing = Some(tokio::task::spawn_blocking(move || write(&receiver, &name, &group)));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Trouble> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let Written { bytes, trouble } =
            writing.await.map_err(|e| Trouble::Ours(CommandError::failed(e.to_string())))?;
        self.bar.inc(bytes);
        self.has_written |= bytes > 0;
        trouble.map_or(Ok(()), Err)
    }
}

/// Chunks after a wrong one are kept all the same.
fn write<'a>(receiver: &Receiver, name: &'a str, group: &'a [FileChunk]) -> Written {
    let chunk = |chunk: &'a FileChunk| Chunk { name, offset: chunk.offset, bytes: &chunk.data };
    let chunks: Vec<_> = group.iter().map(chunk).collect();
    let (mut bytes, mut trouble) = (0, None);
    for (chunk, result) in chunks.iter().zip(receiver.write_many(&chunks)) {
        match result {
            Ok(()) => bytes += chunk.bytes.len() as u64,
            Err(error) => trouble = trouble.or(Some(told(error))),
        }
    }
    Written { bytes, trouble }
}

fn told(error: ReceiveError) -> Trouble {
    match error {
        ReceiveError::Store(error) => Trouble::Ours(anyhow::Error::new(error).into()),
        ReceiveError::WrongDigest { name, offset } => {
            let of = if name.is_empty() { String::new() } else { format!(" of {name}") };
            Trouble::Wrong(format!("chunk {}{of} (byte {offset}) is not what its digest says", offset / CHUNK_BYTES))
        }
        other => Trouble::Wrong(other.to_string()),
    }
}
