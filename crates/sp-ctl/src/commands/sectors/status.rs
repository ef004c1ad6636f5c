//! `sectors status N`: one sector with its commitments and what happened to it.

use std::collections::BTreeMap;

use serde::Serialize;
use sp_proto::v1::{
    ByteRange, DataPiece, Piece, SectorPiece, SectorStatusReply, SectorStatusRequest, SectorUpdate, UnsealedCopy,
};

use super::history::LogRow;
use super::list::SectorRow;
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{local_date_time, sealed_cid, unsealed_cid};

/// Show one sector: commitments, ticket, seed, and what happened to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Sector number.
    number: u64,
    /// Show what happened, step by step.
    #[arg(long, short)]
    log: bool,
    /// Show the seal proof.
    #[arg(long)]
    proof: bool,
}

/// A sector, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Page {
    number: u64,
    #[serde(rename = "summary")]
    row: SectorRow,
    comm_d: String,
    comm_r: String,
    ticket: String,
    ticket_epoch: i64,
    seed: String,
    seed_epoch: i64,
    proof: String,
    piece_name: String,
    pieces: Vec<PieceRow>,
    data_pieces: Vec<DataPieceRow>,
    /// The unsealed copy that counts; none: there is none.
    unsealed: Option<UnsealedRow>,
    update: Option<UpdateRow>,
    failed: BTreeMap<String, u32>,
    pinned: bool,
    /// Why it is pinned.
    pin_reason: String,
    log: Vec<LogRow>,
    #[serde(skip)]
    cids: (String, String),
}

#[derive(Debug, Serialize)]
struct PieceRow {
    padded_bytes: u64,
    commitment: String,
}

/// One of the pieces that its operator added.
#[derive(Debug, Serialize)]
struct DataPieceRow {
    name: String,
    /// Empty until AP is accepted.
    cid: String,
    data_bytes: u64,
    data_digest: String,
    /// 0 until AP is accepted.
    padded_bytes: u64,
    /// Where it begins in the data of the sector.
    offset: u64,
}

/// What the unsealed copy holds.
#[derive(Debug, Serialize)]
struct UnsealedRow {
    /// It does not hold all of the data.
    partial: bool,
    /// What a partial one holds, in bytes of the padded file; empty: only the file itself says.
    held: Vec<RangeRow>,
    /// Pieces that are in it, as far as is known.
    pieces: u32,
}

#[derive(Debug, Serialize)]
struct RangeRow {
    start: u64,
    end: u64,
}

/// Data that takes, or has taken, the place of the sector's zeros.
#[derive(Debug, Serialize)]
struct UpdateRow {
    piece_name: String,
    data_bytes: u64,
    pieces: Vec<PieceRow>,
    comm_r_old: String,
    comm_r_new: String,
    comm_d_new: String,
    accepted_unix_ms: Option<u64>,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = SectorStatusRequest { number: self.number, log: self.log };
        let reply = context.scheduler().await?.sector_status(request(ask)).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let page = Page::new(self.number, reply);
        context.show(&page, |_| text(&page, self.proof))
    }
}

impl Page {
    fn new(number: u64, reply: SectorStatusReply) -> Self {
        let summary = reply.summary.unwrap_or_default();
        Self {
            number,
            cids: (unsealed_cid(&reply.comm_d), sealed_cid(&summary.comm_r)),
            comm_d: hex::encode(reply.comm_d),
            comm_r: hex::encode(&summary.comm_r),
            row: SectorRow::from(summary),
            ticket: hex::encode(reply.ticket),
            ticket_epoch: reply.ticket_epoch,
            seed: hex::encode(reply.seed),
            seed_epoch: reply.seed_epoch,
            proof: hex::encode(reply.proof),
            piece_name: reply.piece_name,
            pieces: reply.pieces.into_iter().map(PieceRow::from).collect(),
            data_pieces: reply.data_pieces.into_iter().map(DataPieceRow::from).collect(),
            unsealed: reply.unsealed.map(UnsealedRow::from),
            update: reply.update.map(UpdateRow::from),
            failed: reply.failed.into_iter().map(|count| (count.state, count.count)).collect(),
            pinned: reply.pin.is_some(),
            pin_reason: reply.pin.map(|pin| pin.reason).unwrap_or_default(),
            log: reply.log.into_iter().map(LogRow::from).collect(),
        }
    }
}

/// What Lotus says of a message. There is no chain yet that has messages: whether it took place is all there is to say.
fn landed(done: bool) -> &'static str {
    if done { "done (the local chain has no messages)" } else { "<nil>" }
}

impl From<Piece> for PieceRow {
    fn from(piece: Piece) -> Self {
        Self { padded_bytes: piece.padded_bytes, commitment: hex::encode(piece.commitment) }
    }
}

impl From<SectorPiece> for DataPieceRow {
    fn from(SectorPiece { data, offset, sealed }: SectorPiece) -> Self {
        let DataPiece { data_bytes, data_digest, name } = data.unwrap_or_default();
        let cid = sealed.as_ref().map(|piece| unsealed_cid(&piece.commitment)).unwrap_or_default();
        let padded_bytes = sealed.map_or(0, |piece| piece.padded_bytes);
        Self { name, cid, data_bytes, data_digest: hex::encode(data_digest), padded_bytes, offset }
    }
}

impl From<UnsealedCopy> for UnsealedRow {
    fn from(UnsealedCopy { partial, held, pieces }: UnsealedCopy) -> Self {
        let held = held.into_iter().map(|ByteRange { start, end }| RangeRow { start, end }).collect();
        Self { partial, held, pieces }
    }
}

impl From<SectorUpdate> for UpdateRow {
    fn from(update: SectorUpdate) -> Self {
        Self {
            piece_name: update.piece_name,
            data_bytes: update.data_bytes,
            pieces: update.pieces.into_iter().map(PieceRow::from).collect(),
            comm_r_old: hex::encode(update.comm_r_old),
            comm_r_new: hex::encode(update.comm_r_new),
            comm_d_new: hex::encode(update.comm_d_new),
            accepted_unix_ms: update.accepted_unix_ms,
        }
    }
}

fn text(page: &Page, proof: bool) -> String {
    let Page { number, row, cids, .. } = page;
    let mut text = format!("SectorID:\t{number}\nStatus:\t\t{}\n", row.state);
    text += &format!("CIDcommD:\t{}\nCIDcommR:\t{}\n", cids.0, cids.1);
    text += &format!("Ticket:\t\t{}\nTicketH:\t{}\n", page.ticket, page.ticket_epoch);
    text += &format!("Seed:\t\t{}\nSeedH:\t\t{}\n", page.seed, page.seed_epoch);
    text += &format!("Precommit:\t{}\nCommit:\t\t{}\n", landed(page.seed_epoch > 0), landed(row.is_located()));
    if proof {
        text += &format!("Proof:\t\t{}\n", page.proof);
    }
    // Deals are made on a chain; what lies in the sector is its piece.
    text += "Deals:\t\t[]\n";
    for DataPieceRow { name, cid, data_bytes, .. } in &page.data_pieces {
        text += &format!("Piece:\t\t{name} ({data_bytes} bytes) {cid}\n");
    }
    for PieceRow { padded_bytes, commitment } in &page.pieces {
        text += &format!("\t\t{padded_bytes} {commitment}\n");
    }
    if let Some(unsealed) = page.unsealed.as_ref().filter(|unsealed| unsealed.partial) {
        text += &match unsealed.held.is_empty() {
            true => "Unsealed:\tpartial, only the file itself says which pieces\n".to_owned(),
            false => format!("Unsealed:\tpartial, {} of {} pieces\n", unsealed.pieces, page.data_pieces.len()),
        };
    }
    if let Some(update) = &page.update {
        text += &update_text(update);
    }
    if page.pinned {
        text += &format!("Pinned:\t\tyes {}\n", page.pin_reason);
    }
    text += &format!("Retries:\t{}\n", row.failures);
    for (state, count) in &page.failed {
        text += &format!("\t\t{state}: {count}\n");
    }
    if !row.waiting.is_empty() {
        text += &format!("Waits for:\t{}\n", row.waiting);
    }
    if !row.last_error.is_empty() {
        text += &format!("Last Error:\t\t{}\n", row.last_error);
    }
    if !page.log.is_empty() {
        text += "--------\nEvent Log:\n";
    }
    for (at, entry) in page.log.iter().enumerate() {
        text += &entry.line(at);
    }
    text
}

fn update_text(update: &UpdateRow) -> String {
    let accepted = update.accepted_unix_ms.map_or("not yet".to_owned(), local_date_time);
    format!(
        "Update:\t\t{} ({} bytes)\nUpdateCommD:\t{}\nUpdateCommR:\t{}\nOldCommR:\t{}\nAccepted:\t{accepted}\n",
        update.piece_name, update.data_bytes, update.comm_d_new, update.comm_r_new, update.comm_r_old
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::{LogEntry, SectorSummary};

    #[test]
    fn the_page_and_its_log() {
        let entry = LogEntry { unix_ms: u64::MAX, event: "created".into(), ..LogEntry::default() };
        let reply = SectorStatusReply {
            summary: Some(SectorSummary { state: "PreCommit2".into(), ..SectorSummary::default() }),
            ticket: vec![0xab; 2],
            ticket_epoch: 7,
            log: vec![entry],
            ..SectorStatusReply::default()
        };
        let expected = "SectorID:\t3\nStatus:\t\tPreCommit2\nCIDcommD:\t\nCIDcommR:\t\nTicket:\t\tabab\nTicketH:\t7\n\
            Seed:\t\t\nSeedH:\t\t0\nPrecommit:\t<nil>\nCommit:\t\t<nil>\nDeals:\t\t[]\nRetries:\t0\n\
            --------\nEvent Log:\n0.\tn/a:\t[event;sealing.SectorStart]\t{\"event\":\"created\"}\n";
        assert_eq!(text(&Page::new(3, reply), false), expected);
    }

    #[test]
    fn what_a_partial_copy_holds_is_said() {
        let shown = |unsealed: Option<UnsealedCopy>| {
            let data_pieces = vec![SectorPiece::default(); 3];
            text(&Page::new(3, SectorStatusReply { unsealed, data_pieces, ..SectorStatusReply::default() }), false)
        };
        let held = vec![ByteRange { start: 0, end: 128 }];
        assert!(!shown(None).contains("Unsealed") && !shown(Some(UnsealedCopy::default())).contains("Unsealed"));
        let known = shown(Some(UnsealedCopy { partial: true, held, pieces: 1 }));
        assert!(known.contains("Unsealed:\tpartial, 1 of 3 pieces\n"), "{known}");
        let unknown = shown(Some(UnsealedCopy { partial: true, held: vec![], pieces: 0 }));
        assert!(unknown.contains("partial, only the file itself says which pieces"), "{unknown}");
    }

    #[test]
    fn what_the_chain_has_taken_is_said() {
        let summary = SectorSummary { deadline: Some(0), partition: Some(0), ..SectorSummary::default() };
        let reply = SectorStatusReply { summary: Some(summary), seed_epoch: 9, ..SectorStatusReply::default() };
        let shown = text(&Page::new(3, reply), true);
        assert!(shown.contains("Precommit:\tdone") && shown.contains("Commit:\t\tdone"), "{shown}");
        assert!(shown.contains("Proof:\t\t\nDeals:\t\t[]\n"), "{shown}");
    }
}
