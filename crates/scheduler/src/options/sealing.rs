//! The keys of `[Sealing]`, with Lotus's names in the file and Lotus's variables as second names.

use clap::Args;
use scheduler::SealingOptions;
use serde::Deserialize;
use sp_net::config::{ConfigError, second_flag, second_value};

macro_rules! keys {
    ($(#[$doc:meta])* $name:ident {
        flags { $($(#[$flag_help:meta])* $flag:ident $flag_key:literal $flag_env:literal $($flag_lotus:literal)?,)+ }
        numbers { $($(#[$help:meta])* $number:ident $key:literal $env:literal $lotus:literal,)+ }
    }) => {
        $(#[$doc])*
        #[derive(Args, Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$flag_help])*
            #[arg(long, env = $flag_env, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            #[serde(rename = $flag_key)]
            $flag: Option<bool>,)+
            $($(#[$help])*
            #[arg(long, env = $env)]
            #[serde(rename = $key)]
            $number: Option<u64>,)+
        }

        impl $name {
            /// Flags and environment first, then Lotus's variables, then the file.
            pub(super) fn over(self, file: Self) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($flag: match self.$flag {
                        // Not every switch has a name in Lotus.
                        None => None$(.or(second_flag($flag_env, $flag_lotus)?))?.or(file.$flag),
                        set => set,
                    },)+
                    $($number: match self.$number {
                        None => second_value($env, $lotus)?.or(file.$number),
                        set => set,
                    },)+
                })
            }

            /// What is not said is as in Lotus.
            pub(super) fn options(self) -> SealingOptions {
                let default = SealingOptions::default();
                SealingOptions {
                    $($flag: self.$flag.unwrap_or(default.$flag),)+
                    $($number: self.$number.unwrap_or(default.$number),)+
                    ..default
                }
            }
        }
    };
}

keys! {
    /// `[Sealing]`.
    SealingKeys {
        flags {
            /// Keep the unsealed copy of sectors with data once they are sealed [default: true]
            always_keep_unsealed_copy "AlwaysKeepUnsealedCopy" "SP_SCHEDULER_ALWAYS_KEEP_UNSEALED_COPY" "LOTUS_SEALING_ALWAYSKEEPUNSEALEDCOPY",
            /// Run FIN before the proof of a sector is published, not after
            finalize_early "FinalizeEarly" "SP_SCHEDULER_FINALIZE_EARLY" "LOTUS_SEALING_FINALIZEEARLY",
            /// Sealed CC sectors become Available, ready for an update, not Proving
            make_cc_sectors_available "MakeCCSectorsAvailable" "SP_SCHEDULER_MAKE_CC_SECTORS_AVAILABLE" "LOTUS_SEALING_MAKECCSECTORSAVAILABLE",
            /// Delete the sealed file of before an update once the update counts, if an unsealed copy is kept (Lotus always does)
            release_sector_key "ReleaseSectorKey" "SP_SCHEDULER_RELEASE_SECTOR_KEY",
        }
        numbers {
            /// Make no CC sector while so many are being sealed or updated, failed ones included; 0 is no limit [default: 0]
            max_sealing_sectors "MaxSealingSectors" "SP_SCHEDULER_MAX_SEALING_SECTORS" "LOTUS_SEALING_MAXSEALINGSECTORS",
            /// The same for sectors with data [default: 0]
            max_sealing_sectors_for_deals "MaxSealingSectorsForDeals" "SP_SCHEDULER_MAX_SEALING_SECTORS_FOR_DEALS" "LOTUS_SEALING_MAXSEALINGSECTORSFORDEALS",
            /// The same for updates of sealed sectors [default: 0]
            max_upgrading_sectors "MaxUpgradingSectors" "SP_SCHEDULER_MAX_UPGRADING_SECTORS" "LOTUS_SEALING_MAXUPGRADINGSECTORS",
        }
    }
}
