//! `[Sealing]`, and what `[Storage]` says of finished files: what becomes of sectors, and how many may be under way at
//! once.

use sp_sched_core::Config;

/// Lotus's `[Sealing]` as far as it is about the pipeline, and `[Storage] DisallowRemoteFinalize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealingOptions {
    /// Keep the unsealed copy of sectors with data once they are sealed.
    pub always_keep_unsealed_copy: bool,
    /// FIN runs before the proof of a sector is published, not after.
    pub finalize_early: bool,
    /// Finished files are taken to storage paths only by workers that have them already.
    pub disallow_remote_finalize: bool,
    /// Sealed CC sectors become Available, ready for an update, not Proving.
    pub make_cc_sectors_available: bool,
    /// Let go of the replica before an update once the update counts and an unsealed copy is kept.
    pub release_sector_key: bool,
    /// Sectors being sealed or updated, failed ones included, above which no CC sector is made; 0 is no limit.
    pub max_sealing_sectors: u64,
    /// The same for sectors with data.
    pub max_sealing_sectors_for_deals: u64,
    /// The same for updates.
    pub max_upgrading_sectors: u64,
}

impl Default for SealingOptions {
    fn default() -> Self {
        Self {
            always_keep_unsealed_copy: true,
            finalize_early: false,
            disallow_remote_finalize: false,
            make_cc_sectors_available: false,
            release_sector_key: false,
            max_sealing_sectors: 0,
            max_sealing_sectors_for_deals: 0,
            max_upgrading_sectors: 0,
        }
    }
}

impl SealingOptions {
    pub(crate) fn set(self, config: &mut Config) {
        let Self {
            always_keep_unsealed_copy,
            finalize_early,
            disallow_remote_finalize,
            make_cc_sectors_available,
            release_sector_key,
            max_sealing_sectors,
            max_sealing_sectors_for_deals,
            max_upgrading_sectors,
        } = self;
        config.always_keep_unsealed_copy = always_keep_unsealed_copy;
        config.finalize_early = finalize_early;
        config.disallow_remote_finalize = disallow_remote_finalize;
        config.make_cc_sectors_available = make_cc_sectors_available;
        config.release_sector_key = release_sector_key;
        config.max_sealing_sectors = max_sealing_sectors;
        config.max_sealing_sectors_for_deals = max_sealing_sectors_for_deals;
        config.max_upgrading_sectors = max_upgrading_sectors;
    }
}
