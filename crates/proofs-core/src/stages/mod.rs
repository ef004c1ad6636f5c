//! The stages of sealing, snapping and proving, from AddPiece to PoSt: upstream's library behind plain values and paths.
//!
//! One file per stage. A stage takes what it needs as arguments, keeps nothing between calls, and is blocking: one call
//! may take hours at 32 GiB. It writes only into the files and directories that it is given; the caller works aside and
//! publishes by rename. Upstream's settings (`FIL_PROOFS_*`) are read from the environment once per process, at the
//! first use, so the caller sets them before it starts the process. So is `SP_PROOFS`: with `upstream` upstream's own code
//! runs where a kernel of ours would.

mod add_piece;
mod c1;
mod c2;
mod challenge;
mod check;
mod config;
mod data_cid;
mod data_root;
mod error;
mod fields;
mod files;
mod finalize;
mod p_aux;
mod parameters;
mod parents;
mod pc1;
mod pc1_upstream;
mod pc2;
mod pr1;
mod pr2;
mod provider;
mod regen_sector_key;
mod replica_root;
mod replica_update;
mod unseal;
mod unseal_update;
mod verify;
mod warm;
mod window_post;
mod winning_post;

pub use add_piece::{add_piece, comm_d, fill_before, fill_with_zeros};
pub use c1::c1;
pub use c2::c2;
pub use challenge::{PostSector, challenges, vanilla_proof, verify_vanilla_proof};
pub use check::{check_data, check_replica};
pub use config::SectorContext;
pub use data_cid::data_cid;
pub use error::StageError;
pub use finalize::{finalize, finalize_replica_update};
pub use p_aux::comm_r_of_cache;
pub use parameters::{require_post_parameters, require_seal_parameters, require_update_parameters};
pub use pc1::{Pc1Output, Pc1Sector, pc1, pc1_goes_on, pc1_group, pc1_journal};
pub use pc2::{SealCommitments, pc2};
pub use pr1::prove_replica_update_1;
pub use pr2::prove_replica_update_2;
pub use regen_sector_key::regen_sector_key;
pub use replica_update::{UpdateCommitments, replica_update};
pub use unseal::{read_piece, unseal};
pub use unseal_update::unseal_update;
pub use verify::{verify_seal, verify_update, verify_window_post, verify_winning_post};
pub use warm::warm_winning_post;
pub use window_post::window_post_partition;
pub use winning_post::{winning_post, winning_post_sector};
