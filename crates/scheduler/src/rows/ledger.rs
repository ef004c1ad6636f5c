//! Rows of the local chain: its genesis, the pre-commitments it has seen, the sectors that it has proven, and the score.

use prost::Message;
use sp_chain::{Change, OnChain, OpeningRecord, PartitionRecord, Place, Verdict, WinRecord};
use sp_proto::{convert::bytes32, v1};
use sp_state::{Batch, State};
use sp_types::{ChainEpoch, Commitment, DeadlineIndex, PartitionIndex};

use super::{RowError, number_in, numbered, parse};

const PLACES: &[u8] = b"chain/place/";
const OPENINGS: &[u8] = b"chain/opening/";
const WINS: &[u8] = b"chain/win/";

/// Where the local chain began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Genesis {
    /// When epoch 0 began, ms since the Unix epoch.
    pub(crate) unix_ms: u64,
    /// Length of an epoch.
    pub(crate) epoch_ms: u64,
    /// What every beacon value is derived from.
    pub(crate) seed: [u8; 32],
}

/// A pre-commitment on the local chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreCommitRow {
    /// Replica commitment.
    pub(crate) comm_r: Commitment,
    /// Data commitment.
    pub(crate) comm_d: Commitment,
    /// When it went on chain.
    pub(crate) epoch: ChainEpoch,
    /// When its seed comes.
    pub(crate) seed_epoch: ChainEpoch,
}

/// Key of the genesis row.
pub(crate) fn genesis_key() -> Vec<u8> {
    b"chain/genesis".to_vec()
}

/// Key of a sector's pre-commitment.
pub(crate) fn precommit_key(sector: u64) -> Vec<u8> {
    numbered(b"chain/precommit/", sector)
}

/// Key of the place where a sector is proven.
pub(crate) fn place_key(sector: u64) -> Vec<u8> {
    numbered(PLACES, sector)
}

/// Key of what became of an opening.
fn opening_key(open: ChainEpoch) -> Vec<u8> {
    // Nobody proves before the first epoch.
    numbered(OPENINGS, open.0.max(0) as u64)
}

/// Key of an epoch that was won.
fn win_key(epoch: ChainEpoch) -> Vec<u8> {
    numbered(WINS, epoch.0.max(0) as u64)
}

fn judged_key() -> Vec<u8> {
    b"chain/judged".to_vec()
}

/// A sector that was proven before anybody kept the score, as bytes.
pub(crate) fn place_row((deadline, partition): Place) -> Vec<u8> {
    v1::StoredChainSector { deadline: deadline.0, partition: partition.0, ..Default::default() }.encode_to_vec()
}

/// Adds a change of the books to a batch.
pub(crate) fn note(batch: &mut Batch, change: &Change) {
    match change {
        Change::Sector(number, Some(sector)) => batch.put(place_key(*number), encode_sector(sector)),
        Change::Sector(number, None) => batch.delete(place_key(*number)),
        Change::Opening(open, Some(record)) => batch.put(opening_key(*open), encode_opening(record)),
        Change::Opening(open, None) => batch.delete(opening_key(*open)),
        Change::Win(epoch, Some(win)) => batch.put(win_key(*epoch), encode_win(win)),
        Change::Win(epoch, None) => batch.delete(win_key(*epoch)),
        Change::Judged(epoch) => batch.put(judged_key(), v1::StoredJudged { epoch: epoch.0 }.encode_to_vec()),
    };
}

/// Everything that the books hold, as if it had just been written.
pub(crate) fn books(state: &dyn State) -> Result<Vec<Change>, RowError> {
    let scan =
        |prefix: &'static [u8]| state.scan_all(prefix).map_err(|e| RowError::new(String::from_utf8_lossy(prefix), e));
    let mut rows = Vec::new();
    for (key, value) in scan(PLACES)? {
        rows.push(Change::Sector(number_in(PLACES, &key)?, Some(decode_sector(&value)?)));
    }
    for (key, value) in scan(OPENINGS)? {
        let open = ChainEpoch(number_in(OPENINGS, &key)? as i64);
        rows.push(Change::Opening(open, Some(decode_opening(open, &value)?)));
    }
    for (key, value) in scan(WINS)? {
        let epoch = ChainEpoch(number_in(WINS, &key)? as i64);
        rows.push(Change::Win(epoch, Some(decode_win(epoch, &value)?)));
    }
    if let Some(value) = state.get(&judged_key()).map_err(|e| RowError::new("chain/judged", e))? {
        let v1::StoredJudged { epoch } = parse("chain/judged", &value)?;
        rows.push(Change::Judged(ChainEpoch(epoch)));
    }
    Ok(rows)
}

fn encode_sector(sector: &OnChain) -> Vec<u8> {
    let OnChain { place: (deadline, partition), since, faulty_since, recovering } = *sector;
    let stored = v1::StoredChainSector {
        deadline: deadline.0,
        partition: partition.0,
        since_epoch: Some(since.0),
        faulty_since_epoch: faulty_since.map(|epoch| epoch.0),
        recovering,
    };
    stored.encode_to_vec()
}

fn decode_sector(value: &[u8]) -> Result<OnChain, RowError> {
    let v1::StoredChainSector { deadline, partition, since_epoch, faulty_since_epoch, recovering } =
        parse("chain/place", value)?;
    Ok(OnChain {
        place: (DeadlineIndex(deadline), PartitionIndex(partition)),
        since: ChainEpoch(since_epoch.unwrap_or(i64::MIN)),
        faulty_since: faulty_since_epoch.map(ChainEpoch),
        recovering,
    })
}

fn encode_win(win: &WinRecord) -> Vec<u8> {
    let WinRecord { epoch: _, sector, block } = win.clone();
    let (digest, at) = block.map_or((Vec::new(), ChainEpoch(0)), |(digest, at)| (digest.to_vec(), at));
    v1::StoredChainWin { sector, digest, at_epoch: at.0 }.encode_to_vec()
}

fn decode_win(epoch: ChainEpoch, value: &[u8]) -> Result<WinRecord, RowError> {
    let v1::StoredChainWin { sector, digest, at_epoch } = parse("chain/win", value)?;
    let block = match digest.is_empty() {
        true => None,
        false => {
            let digest = bytes32("digest", &digest).map_err(|e| RowError::new("chain/win", e))?;
            Some((digest, ChainEpoch(at_epoch)))
        }
    };
    Ok(WinRecord { epoch, sector, block })
}

fn encode_opening(record: &OpeningRecord) -> Vec<u8> {
    let OpeningRecord { deadline, open: _, partitions, late, refused, closed } = record;
    let partition = |(index, partition): (&u32, &PartitionRecord)| {
        let PartitionRecord { verdict, at, digest, proven, skipped } = partition.clone();
        let digest = if verdict == Verdict::Proven { digest.to_vec() } else { Vec::new() };
        let verdict = crate::wire::verdict(verdict) as i32;
        v1::StoredProvenPartition { index: *index, verdict, epoch: at.0, digest, proven, skipped }
    };
    let partitions = partitions.iter().map(partition).collect();
    v1::StoredOpening { deadline: deadline.0, partitions, late: *late, refused: *refused, closed: *closed }
        .encode_to_vec()
}

fn decode_opening(open: ChainEpoch, value: &[u8]) -> Result<OpeningRecord, RowError> {
    let row = "chain/opening";
    let v1::StoredOpening { deadline, partitions, late, refused, closed } = parse(row, value)?;
    let mut record = OpeningRecord { late, refused, closed, ..OpeningRecord::new(DeadlineIndex(deadline), open) };
    for partition in partitions {
        let verdict = match partition.verdict() {
            v1::PartitionVerdict::Proven => Verdict::Proven,
            v1::PartitionVerdict::Missed => Verdict::Missed,
            v1::PartitionVerdict::Faulty => Verdict::Faulty,
            v1::PartitionVerdict::Unspecified => return Err(RowError::new(row, "a partition has no verdict")),
        };
        let v1::StoredProvenPartition { index, verdict: _, epoch, digest, proven, skipped } = partition;
        let digest = match verdict {
            Verdict::Proven => bytes32("digest", &digest).map_err(|e| RowError::new(row, e))?,
            Verdict::Missed | Verdict::Faulty => [0; 32],
        };
        let at = ChainEpoch(epoch);
        record.partitions.insert(index, PartitionRecord { verdict, at, digest, proven, skipped });
    }
    Ok(record)
}

impl Genesis {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { unix_ms, epoch_ms, seed } = *self;
        v1::StoredGenesis { unix_ms, epoch_ms, seed: seed.to_vec() }.encode_to_vec()
    }

    /// From bytes.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = "chain/genesis";
        let v1::StoredGenesis { unix_ms, epoch_ms, seed } = parse(row, value)?;
        if epoch_ms == 0 {
            return Err(RowError::new(row, "the epoch has no length"));
        }
        Ok(Self { unix_ms, epoch_ms, seed: bytes32("seed", &seed).map_err(|e| RowError::new(row, e))? })
    }
}

impl PreCommitRow {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { comm_r, comm_d, epoch, seed_epoch } = *self;
        let (comm_r, comm_d) = (comm_r.0.to_vec(), comm_d.0.to_vec());
        v1::StoredPreCommit { comm_r, comm_d, epoch: epoch.0, seed_epoch: seed_epoch.0 }.encode_to_vec()
    }

    /// From bytes.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = "chain/precommit";
        let v1::StoredPreCommit { comm_r, comm_d, epoch, seed_epoch } = parse(row, value)?;
        let commitment = |name, bytes: &[u8]| bytes32(name, bytes).map(Commitment).map_err(|e| RowError::new(row, e));
        Ok(Self {
            comm_r: commitment("comm_r", &comm_r)?,
            comm_d: commitment("comm_d", &comm_d)?,
            epoch: ChainEpoch(epoch),
            seed_epoch: ChainEpoch(seed_epoch),
        })
    }
}

#[cfg(test)]
mod tests {
    use sp_state::Memory;

    use super::*;

    #[test]
    fn the_books_are_read_as_they_were_written() {
        let state = Memory::new();
        let place = (DeadlineIndex(3), PartitionIndex(1));
        let sector = OnChain { place, since: ChainEpoch(9), faulty_since: None, recovering: false };
        let faulty = OnChain { faulty_since: Some(ChainEpoch(0)), recovering: true, ..sector };
        let partition =
            |verdict, digest| PartitionRecord { verdict, at: ChainEpoch(200), digest, proven: 2, skipped: vec![5, 6] };
        let mut record = OpeningRecord::new(DeadlineIndex(3), ChainEpoch(180));
        record.partitions.insert(0, partition(Verdict::Proven, [7; 32]));
        record.partitions.insert(1, partition(Verdict::Missed, [0; 32]));
        (record.late, record.refused, record.closed) = (1, 2, true);
        let win = |epoch, block| WinRecord { epoch: ChainEpoch(epoch), sector: 1, block };
        let mut rows = vec![
            Change::Sector(1, Some(sector)),
            Change::Sector(2, Some(faulty)),
            Change::Opening(ChainEpoch(180), Some(record)),
            Change::Win(ChainEpoch(199), Some(win(199, None))),
            Change::Win(ChainEpoch(201), Some(win(201, Some(([4; 32], ChainEpoch(202)))))),
            Change::Judged(ChainEpoch(240)),
        ];
        let keep = |changes: &[Change]| {
            let mut batch = Batch::new();
            changes.iter().for_each(|change| note(&mut batch, change));
            state.commit(batch).unwrap();
        };
        keep(&rows);
        assert_eq!(books(&state).unwrap(), rows);
        keep(&[Change::Sector(1, None), Change::Opening(ChainEpoch(180), None)]);
        rows.remove(2);
        rows.remove(0);
        assert_eq!(books(&state).unwrap(), rows);
        // A row of before there was a score.
        let mut batch = Batch::new();
        batch.put(place_key(2), place_row(place));
        state.commit(batch).unwrap();
        let since_ever = OnChain { since: ChainEpoch(i64::MIN), ..sector };
        assert_eq!(books(&state).unwrap()[0], Change::Sector(2, Some(since_ever)));
    }
}
