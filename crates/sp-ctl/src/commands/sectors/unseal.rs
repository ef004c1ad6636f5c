//! `sectors unseal N`: gets the data of a sector back.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use sp_proto::v1::{GetPieceReply, GetPieceRequest, SectorPiece, UnsealSectorRequest};

use super::piece::{Chosen, named, refuse};
use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;
use crate::transfer::{Download, receive};

const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Get the data of a sector back, decoding the sealed file where no unsealed copy exists.
#[derive(Debug, clap::Args)]
pub(crate) struct Unseal {
    /// Sector number.
    number: u64,
    /// Where to write the data; it appears there whole and checked, or not at all. Without it the unsealed copy only
    /// comes into being on a worker.
    #[arg(long, visible_alias = "out", short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which piece, by its CID or its name (see `sectors status`); needed where the sector holds several.
    #[arg(long, value_name = "CID")]
    piece: Option<String>,
    /// Only the data from this byte on. The worker compares what it reads with the digests of its file; only a piece as a
    /// whole can be compared with what was added, too.
    #[arg(long, value_name = "BYTES", requires = "output")]
    offset: Option<u64>,
    /// Only so many bytes.
    #[arg(long, value_name = "BYTES", requires = "output")]
    size: Option<u64>,
    /// Give up when there is no unsealed copy after this long.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Unsealed {
    sector: u64,
    /// Of the piece; empty where none was chosen among several.
    piece: String,
    piece_cid: String,
    /// Of the piece, or of all of them.
    data_bytes: u64,
    data_digest: String,
    output: Option<String>,
    /// What of the data was written.
    offset: u64,
    /// See above.
    written_bytes: u64,
    /// What was written was compared with: `data_digest`, or `chunk_digests`, by the worker; empty when nothing was.
    checked: &'static str,
}

impl Unseal {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let number = self.number;
        let mut scheduler = context.scheduler().await?;
        let (piece, is_there) = self.look(&mut scheduler).await?;
        if !is_there {
            scheduler.unseal_sector(request(UnsealSectorRequest { number })).await?;
        }
        let ask = GetPieceRequest { number, piece: piece.clone() };
        let copy = wait_for_copy(&mut scheduler, ask, self.timeout).await?;
        let Chosen { name, cid, commitment: _, offset, data_bytes, data_digest } = self.choose(&copy)?;
        let range = self.range(data_bytes)?;
        let whole = range == (0..data_bytes);
        if let Some(path) = &self.output {
            let digest = whole.then(|| data_digest.clone());
            let of_sector = offset + range.start..offset + range.end;
            receive(&mut scheduler, &Download { number, path, piece, range: of_sector, digest }, copy).await?;
        }
        let unsealed = Unsealed {
            sector: number,
            piece: name,
            piece_cid: cid,
            data_bytes,
            data_digest: hex::encode(&data_digest),
            output: self.output.as_ref().map(|path| path.display().to_string()),
            offset: range.start,
            written_bytes: self.output.as_ref().map_or(0, |_| range.end - range.start),
            checked: match (&self.output, whole) {
                (None, _) => "",
                (Some(_), true) => "data_digest",
                (Some(_), false) => "chunk_digests",
            },
        };
        context.show(&unsealed, |_| unsealed.text())
    }

    /// The commitment of the piece that is to be read, empty if all of the data is; and whether a copy has it: one may hold
    /// that piece though it does not hold all.
    async fn look(&self, scheduler: &mut Scheduler) -> Result<(Vec<u8>, bool), CommandError> {
        let number = self.number;
        if self.piece.is_none() && self.output.is_none() {
            return Ok((Vec::new(), false));
        }
        let known = scheduler.get_piece(request(GetPieceRequest { number, piece: Vec::new() })).await?.into_inner();
        if known.pieces.is_empty() {
            return Ok((Vec::new(), false));
        }
        let piece = self.choose(&known)?.commitment;
        let ask = GetPieceRequest { number, piece: piece.clone() };
        let is_there = !scheduler.get_piece(request(ask)).await?.into_inner().data_url.is_empty();
        Ok((piece, is_there))
    }

    /// The piece that is meant.
    fn choose(&self, copy: &GetPieceReply) -> Result<Chosen, CommandError> {
        let pieces: Vec<Chosen> = copy.pieces.iter().cloned().map(Chosen::from).collect();
        match (&self.piece, &pieces[..]) {
            (Some(wanted), _) => named(&pieces, self.number, wanted).cloned(),
            (None, [only]) => Ok(only.clone()),
            (None, [_, _, ..]) if self.output.is_some() => {
                let why = format!("sector {} holds {} pieces; choose one with --piece", self.number, pieces.len());
                Err(refuse(&pieces, &why))
            }
            (None, _) => Ok(Chosen {
                data_bytes: copy.data_bytes,
                data_digest: copy.data_digest.clone(),
                ..Chosen::from(SectorPiece::default())
            }),
        }
    }

    /// What of so many bytes of data is wanted.
    fn range(&self, data_bytes: u64) -> Result<Range<u64>, CommandError> {
        let start = self.offset.unwrap_or(0);
        let end = self.size.map_or(Some(data_bytes), |size| start.checked_add(size));
        let refuse = |what: String| {
            let of = if self.piece.is_some() { "that piece of sector" } else { "sector" };
            let has = format!("{of} {} holds {data_bytes} bytes of data", self.number);
            Err(CommandError::new(Exit::Usage, format!("{has}; {what}")))
        };
        match end {
            _ if self.offset.is_none() && self.size.is_none() => Ok(0..data_bytes),
            Some(end) if start < end && end <= data_bytes => Ok(start..end),
            Some(end) if end > data_bytes => refuse(format!("what is asked for ends at byte {end}")),
            Some(_) => refuse(format!("nothing is asked for from byte {start} on")),
            None => refuse("what is asked for ends nowhere".to_owned()),
        }
    }
}

impl Unsealed {
    fn text(&self) -> String {
        let Self { sector, data_bytes, output, offset, written_bytes, .. } = self;
        match output {
            Some(path) if written_bytes == data_bytes => {
                format!("Wrote {data_bytes} bytes of sector {sector} to {path}\n")
            }
            Some(path) => format!(
                "Wrote {written_bytes} bytes of sector {sector}, from byte {offset} on, to {path}; the worker has compared \
                 them with the digests of its file\n"
            ),
            None => format!("Sector {sector} has an unsealed copy ({data_bytes} bytes of data)\n"),
        }
    }
}

/// Waits until an unsealed copy can be read.
async fn wait_for_copy(
    scheduler: &mut Scheduler,
    ask: GetPieceRequest,
    limit: Duration,
) -> Result<GetPieceReply, CommandError> {
    let number = ask.number;
    let (start, mut last) = (Instant::now(), String::new());
    loop {
        match scheduler.get_piece(request(ask.clone())).await.map_err(CommandError::from) {
            Ok(reply) => {
                let reply = reply.into_inner();
                if let Some(failure) = reply.failed {
                    return Err(CommandError::from_failure(failure).context(format!("cannot unseal sector {number}")));
                }
                if !reply.data_url.is_empty() {
                    return Ok(reply);
                }
                if reply.detail != last {
                    output::note(&format!("sector {number}: {}", reply.detail));
                    last = reply.detail;
                }
            }
            Err(failure) if failure.may_pass() => last = failure.line(),
            Err(failure) => return Err(failure),
        }
        if start.elapsed() > limit {
            let text = format!("no unsealed copy of sector {number} after {}", humantime::format_duration(limit));
            return Err(CommandError::new(Exit::Unavailable, format!("{text}: {last}"))
                .hint("`sp-ctl sealing jobs --reasons` shows why UNS waits"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
