//! `sectors release-unsealed N`: deletes the unsealed copy, or keeps some pieces of it; the sealed file keeps the data.

use serde::Serialize;
use sp_proto::v1::{GetPieceRequest, ReleaseUnsealedRequest, TrimUnsealedReply, TrimUnsealedRequest};

use super::piece::{Chosen, named};
use crate::context::{Context, request};
use crate::error::CommandError;

/// Delete the unsealed copy of a sector that is proving, or let go of a part of it.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseUnsealed {
    /// Sector number.
    number: u64,
    /// Keep this piece, by its CID or its name (see `sectors status`); may be given several times. The copy then gives back
    /// the space of the other pieces, and these are read on without unsealing.
    #[arg(long, value_name = "CID")]
    keep: Vec<String>,
}

#[derive(Serialize)]
struct Released {
    sector: u64,
    replicas: u32,
}

#[derive(Serialize)]
struct Trimmed {
    sector: u64,
    /// Pieces that stay.
    kept: u32,
    pieces: u32,
    /// FUS does it; otherwise there is nothing to let go of.
    under_way: bool,
}

impl ReleaseUnsealed {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if !self.keep.is_empty() {
            return self.trim(context).await;
        }
        let ask = ReleaseUnsealedRequest { number: self.number };
        let reply = context.scheduler().await?.release_unsealed(request(ask)).await?.into_inner();
        let released = Released { sector: self.number, replicas: reply.replicas };
        context.show(&released, |_| {
            format!("Ordered the deletion of {} unsealed copies of sector {}\n", released.replicas, released.sector)
        })
    }

    async fn trim(self, context: &Context) -> Result<(), CommandError> {
        let (number, mut scheduler) = (self.number, context.scheduler().await?);
        let known = scheduler.get_piece(request(GetPieceRequest { number, piece: Vec::new() })).await?.into_inner();
        let pieces: Vec<Chosen> = known.pieces.into_iter().map(Chosen::from).collect();
        let commitment = |wanted: &String| named(&pieces, number, wanted).map(|piece| piece.commitment.clone());
        let keep = self.keep.iter().map(commitment).collect::<Result<_, _>>()?;
        let reply = scheduler.trim_unsealed(request(TrimUnsealedRequest { number, keep })).await?.into_inner();
        let TrimUnsealedReply { kept, pieces, under_way } = reply;
        let trimmed = Trimmed { sector: number, kept, pieces, under_way };
        context.show(&trimmed, |_| match under_way {
            true => {
                format!(
                    "Sector {number} keeps {kept} of {pieces} pieces in its unsealed copy; FUS lets go of the rest\n"
                )
            }
            false if kept == pieces => format!("Sector {number}: nothing to do, all of its pieces are to be kept\n"),
            false => format!("Sector {number}: nothing to do, its unsealed copy holds no other pieces any more\n"),
        })
    }
}
