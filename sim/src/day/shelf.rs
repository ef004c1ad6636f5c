//! What there is when a day begins: sealed sectors on the paths of the keepers, and their places on the chain.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use sp_proto::v1;
use sp_sectors::{Disk, Layout, MemDisk};
use sp_state::Batch;
use sp_types::{FileKind, SectorId};

use super::{Day, Partition};
use crate::cast::{PATHS, SCHEDULER};
use crate::env::BEGIN_UNIX_MS;
use crate::fake::Seal;
use crate::process::{DATA_DIR, MINER, Process};
use crate::stage::Stage;

/// The sectors were sealed before the day.
const SINCE_EPOCH: i64 = -2_880;

/// A sector of the shelf. Nobody unseals it, so that it need not have been sealed from anything.
pub(super) fn seal(sector: u64) -> Seal {
    Seal { miner: MINER, sector, ticket: vec![7; 32], comm_d: vec![1; 32] }
}

/// Puts everything in its place; call it before anything has started.
pub(crate) fn fill(day: &Day, processes: &BTreeMap<&'static str, Arc<Process>>, stage: &Stage) -> Result<(), String> {
    let scheduler = &processes[SCHEDULER];
    let genesis_ms = BEGIN_UNIX_MS.saturating_add_signed(scheduler.machine.clock_ms());
    let genesis = v1::StoredGenesis { unix_ms: genesis_ms, epoch_ms: day.epoch_ms, seed: vec![9; 32] };
    let mut rows = Batch::new();
    rows.put(b"chain/genesis".to_vec(), genesis.encode_to_vec());
    for partition in &day.partitions {
        let Partition { deadline, index, ref sectors } = *partition;
        for (sector, keeper) in sectors {
            let place = v1::StoredChainSector {
                deadline,
                partition: index,
                since_epoch: Some(SINCE_EPOCH),
                ..Default::default()
            };
            rows.put([b"chain/place/".as_slice(), &sector.to_be_bytes()].concat(), place.encode_to_vec());
            let seal = seal(*sector);
            put(processes[keeper].files(), &seal).map_err(|error| format!("{keeper}: {error}"))?;
            stage.made.note(seal);
        }
    }
    scheduler.begin_with(rows)
}

/// Files as Lotus leaves them, all of them durable.
fn put(disk: &MemDisk, seal: &Seal) -> io::Result<()> {
    let layout = Layout::new(Path::new(DATA_DIR).join(PATHS[0]));
    let sector = SectorId { miner: seal.miner, number: seal.sector };
    let (sealed, cache) = (layout.replica(sector, FileKind::Sealed), layout.replica(sector, FileKind::Cache));
    write(disk, &sealed, &seal.sealed())?;
    for (name, bytes) in seal.finalized_cache() {
        write(disk, &cache.join(name), &bytes)?;
    }
    Ok(())
}

fn write(disk: &MemDisk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    disk.create_dir_all(dir)?;
    let file = disk.create_new(path)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    dir.ancestors().try_for_each(|dir| disk.sync_dir(dir))
}
