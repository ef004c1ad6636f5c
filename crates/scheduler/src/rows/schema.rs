//! Row `meta/schema`: the layout of the rows, and whose they are.

use prost::Message;
use sp_proto::{convert::bytes32, v1};
use sp_types::SectorSize;

use super::{RowError, parse};

/// Layout that this build writes. A newer one is refused, an older one is read and raised.
///
/// 2: sectors have a priority, counters of their failures, and updates (version 1 is read as having none).
/// 3: sectors can be pinned; an older build would not know that and remove them.
/// 4: sectors know which files are theirs; an older build would forget it, and those files would be nobody's. An update
/// may be of data that nobody knows (imported without a record), which an older build refuses to read.
/// 5: sectors may be on their way here from elsewhere, and unsealed copies may hold a part of their data; an older build
/// knows no such state, and would take such a copy for whole.
/// 6: the local chain keeps where it has each sector proven, as the network gives places; an older build would give places
/// of its own, and partitions would have more sectors than fit.
pub const SCHEMA_VERSION: u32 = 6;

/// Layout and owner of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Layout.
    pub(crate) version: u32,
    /// Cluster.
    pub(crate) cluster: String,
    /// Actor id of the miner.
    pub(crate) miner: u64,
    /// Sector size.
    pub(crate) sector_size: SectorSize,
    /// What upload tickets are derived from; made at the first start.
    pub(crate) ticket_secret: [u8; 32],
}

/// Key of the row.
pub(crate) fn schema_key() -> Vec<u8> {
    b"meta/schema".to_vec()
}

impl Schema {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { version, cluster, miner, sector_size, ticket_secret } = self.clone();
        let (sector_size, ticket_secret) = (sector_size.bytes(), ticket_secret.to_vec());
        v1::StoredSchema { version, cluster, miner, sector_size, ticket_secret }.encode_to_vec()
    }

    /// From bytes.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = "meta/schema";
        let v1::StoredSchema { version, cluster, miner, sector_size, ticket_secret } = parse(row, value)?;
        let sector_size = SectorSize::from_bytes(sector_size)
            .ok_or_else(|| RowError::new(row, format!("{sector_size} is no published sector size")))?;
        let ticket_secret = bytes32("ticket_secret", &ticket_secret).map_err(|e| RowError::new(row, e))?;
        Ok(Self { version, cluster, miner, sector_size, ticket_secret })
    }

    /// Says why rows written under `self` cannot be used by a scheduler that is `wanted`.
    pub(crate) fn check(&self, wanted: &Self) -> Result<(), RowError> {
        let refuse = |reason: String| Err(RowError::new("meta/schema", reason));
        if self.version > wanted.version {
            return refuse(format!(
                "version {} was written by a newer build than this one (which knows {}); use the newer build",
                self.version, wanted.version
            ));
        }
        let owner = (&self.cluster, self.miner, self.sector_size);
        if owner != (&wanted.cluster, wanted.miner, wanted.sector_size) {
            return refuse(format!(
                "the data directory belongs to cluster `{}`, miner t0{}, sector size {}; give those or another --data-dir",
                self.cluster, self.miner, self.sector_size
            ));
        }
        Ok(())
    }
}
