//! Row `meta/schema`: the layout of the rows, and whose they are.

use prost::Message;
use sp_proto::v1;
use sp_types::SectorSize;

use super::{RowError, parse};

/// Layout that this build writes. A newer one is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// Layout and owner of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Layout.
    pub version: u32,
    /// Cluster.
    pub cluster: String,
    /// Actor id of the miner.
    pub miner: u64,
    /// Sector size.
    pub sector_size: SectorSize,
}

/// Key of the row.
pub fn schema_key() -> Vec<u8> {
    b"meta/schema".to_vec()
}

impl Schema {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { version, cluster, miner, sector_size } = self.clone();
        v1::StoredSchema { version, cluster, miner, sector_size: sector_size.bytes() }.encode_to_vec()
    }

    /// From bytes.
    pub fn decode(value: &[u8]) -> Result<Self, RowError> {
        let v1::StoredSchema { version, cluster, miner, sector_size } = parse("meta/schema", value)?;
        let sector_size = SectorSize::from_bytes(sector_size)
            .ok_or_else(|| RowError::new("meta/schema", format!("{sector_size} is no published sector size")))?;
        Ok(Self { version, cluster, miner, sector_size })
    }

    /// Says why rows written under `self` cannot be used by a scheduler that is `wanted`.
    pub fn check(&self, wanted: &Self) -> Result<(), RowError> {
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
