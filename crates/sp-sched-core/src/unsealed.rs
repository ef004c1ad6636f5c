//! What the unsealed copy of a sector holds: all of its data, or what FUS has left of it.

use std::collections::BTreeSet;
use std::ops::Range;

use sp_types::{Commitment, ErrorCode, FileKind, TaskKind};

use crate::core::Core;
use crate::data::PlacedPiece;
use crate::effect::Reply;
use crate::model::Sector;
use crate::requests::Refused;

/// Room for what follows the data in a partial file: more than that of one with as many pieces as a sector may have.
const TRAILER_BYTES: u64 = 16 << 10;

/// How much of its data an unsealed copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held<'a> {
    /// All of it.
    All,
    /// These bytes of the padded file.
    Ranges(&'a [Range<u64>]),
    /// It came with a path and is not as long as its sector, so it says itself what it holds; nobody has read it here.
    Unknown,
}

impl Held<'_> {
    /// Is all of that there? None: nobody knows.
    fn has(self, wanted: &Range<u64>) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Ranges(ranges) => {
                Some(ranges.iter().any(|range| range.start <= wanted.start && wanted.end <= range.end))
            }
            Self::Unknown => None,
        }
    }
}

impl Sector {
    /// How much of its data the unsealed copy that counts holds; none where none counts.
    pub fn unsealed_held(&self) -> Option<Held<'_>> {
        let file = self.file(FileKind::Unsealed)?;
        Some(match &file.held {
            Some(ranges) => Held::Ranges(ranges),
            None if file.size_bytes == self.seal_proof.size.bytes() => Held::All,
            None => Held::Unknown,
        })
    }

    /// May what is wanted be read from the unsealed copy that counts: the piece with this commitment, or all of the data?
    /// Of a copy of which nobody knows, a piece may be asked for: whoever has it refuses what is not there.
    pub fn may_read(&self, piece: Option<&Commitment>) -> bool {
        let Some(held) = self.unsealed_held() else { return false };
        match piece {
            None => held == Held::All,
            Some(commitment) => {
                self.data_pieces().iter().any(|piece| piece.is(commitment) && is_in(held, piece) != Some(false))
            }
        }
    }

    /// How many of the pieces that its data is made of are known to be in the unsealed copy.
    pub fn unsealed_pieces(&self) -> usize {
        let Some(held) = self.unsealed_held() else { return 0 };
        self.data_pieces().iter().filter(|piece| is_in(held, piece) == Some(true)).count()
    }

    /// The pieces that the data that counts is made of.
    fn data_pieces(&self) -> Vec<PlacedPiece> {
        self.stored_data().map(|data| data.placed(self.stored_pieces())).unwrap_or_default()
    }

    /// What FUS makes at most.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.keep.iter().map(|range| range.end - range.start).sum::<u64>() + TRAILER_BYTES
    }
}

fn is_in(held: Held<'_>, piece: &PlacedPiece) -> Option<bool> {
    piece.padded().map_or(Some(false), |range| held.has(&range))
}

impl Core {
    /// Lets go of the unsealed copy but for some pieces. FUS does it, where the copy lies.
    pub(crate) fn trim_unsealed(&mut self, number: u64, keep: &[Commitment]) -> Result<Reply, Refused> {
        let sector = self.resting_sector(number)?;
        let refuse = |why: String| Err((ErrorCode::WrongState, format!("sector {number} {why}")));
        if sector.stored_data().is_none() {
            return Err((ErrorCode::WrongState, sector.why_no_data()));
        }
        let pieces = sector.data_pieces();
        if let Some(unknown) = keep.iter().find(|c| !pieces.iter().any(|piece| piece.is(c))) {
            let message = format!("sector {number} holds no piece with the commitment {unknown}");
            return Err((ErrorCode::BadRequest, message));
        }
        let (kept, goes): (Vec<_>, Vec<_>) = pieces.iter().partition(|piece| keep.iter().any(|c| piece.is(c)));
        if kept.is_empty() {
            let message = "name the pieces that are to be kept; without any the copy is released as a whole".to_owned();
            return Err((ErrorCode::BadRequest, message));
        }
        let count = |pieces: &[&PlacedPiece]| u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let reply = |under_way| Reply::Trimming { kept: count(&kept), pieces: count(&kept) + count(&goes), under_way };
        if goes.is_empty() {
            return Ok(reply(false));
        }
        self.may_remove(number)?;
        let unseal = format!("`sp-ctl sectors unseal {number}` makes a whole one");
        let held = sector.unsealed_held().filter(|_| !self.facts.connected || self.knows(sector, FileKind::Unsealed));
        let Some(held) = held else { return refuse(format!("has no unsealed copy to keep anything of; {unseal}")) };
        if let Some(gone) = kept.iter().find(|piece| is_in(held, piece) == Some(false)) {
            return refuse(format!("has let go of piece `{}` in its unsealed copy before; {unseal}", gone.data.name));
        }
        let ranges = merged(kept.iter().filter_map(|piece| piece.padded()));
        if held == Held::Ranges(&ranges) {
            return Ok(reply(false));
        }
        if self.trims(number) && sector.keep == ranges {
            return Ok(reply(true));
        }
        self.may_let_go(sector)?;
        let reply = reply(true);
        let what = format!("keeps {} of {} pieces of its unsealed copy", kept.len(), pieces.len());
        if let Some(sector) = self.sector_mut(number) {
            sector.keep = ranges;
        }
        self.log(number, "FUS asked for".to_owned(), what);
        self.ensure_task(number, TaskKind::FinalizeUnsealed);
        Ok(reply)
    }

    fn trims(&self, number: u64) -> bool {
        self.tasks_of(number).any(|task| task.kind == TaskKind::FinalizeUnsealed)
    }

    /// What is being let go of is not to be counted on.
    pub(crate) fn is_not_trimmed(&self, number: u64) -> Result<(), Refused> {
        if !self.trims(number) {
            return Ok(());
        }
        let message = format!(
            "sector {number} is letting go of a part of its unsealed copy (FUS); wait for it or abort it first"
        );
        Err((ErrorCode::WrongState, message))
    }

    /// A key is made from all of the data.
    pub(crate) fn has_whole_copy(&self, sector: &Sector) -> Result<(), Refused> {
        self.is_not_trimmed(sector.number)?;
        if sector.unsealed_held() == Some(Held::All) {
            return Ok(());
        }
        let message = format!(
            "sector {} has an unsealed copy of only a part of its data, or one that was not made here and may be; its key \
             is made from all of it",
            sector.number
        );
        Err((ErrorCode::WrongState, message))
    }

    /// May the unsealed copy, or a part of it, go?
    pub(crate) fn may_let_go(&self, sector: &Sector) -> Result<(), Refused> {
        let number = sector.number;
        self.may_remove(number)?;
        self.is_not_trimmed(number)?;
        let refuse = |why: &str| Err((ErrorCode::WrongState, format!("sector {number} {why}")));
        if self.tasks_of(number).any(|t| t.kind != TaskKind::Fetch) {
            return refuse("is being unsealed or gets its key back; wait for it or abort it first");
        }
        let has_key = [FileKind::Sealed, FileKind::Cache].into_iter().all(|kind| self.knows(sector, kind));
        if sector.is_updated() && !has_key {
            return refuse("has no replica of before its update: without it the unsealed copy is all there is to read");
        }
        Ok(())
    }
}

/// The ranges, rising, with those joined that touch.
fn merged(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let sorted: BTreeSet<(u64, u64)> = ranges.map(|range| (range.start, range.end)).collect();
    let mut merged: Vec<Range<u64>> = Vec::new();
    for (start, end) in sorted {
        match merged.last_mut().filter(|last| last.end >= start) {
            Some(last) => last.end = last.end.max(end),
            None => merged.push(start..end),
        }
    }
    merged
}
