//! `sectors`: make sectors, look at them, update them, get their data back, remove them.

mod abort_upgrade;
mod add;
mod export;
mod history;
mod import;
mod list;
mod mark_for_update;
pub(in crate::commands) mod moved;
mod piece;
mod pins;
mod pledge;
mod proof;
mod receive;
mod record;
mod regen_key;
mod release_unsealed;
mod remove;
mod retry;
mod snap;
mod status;
mod unseal;
mod update_state;
mod wait;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Sectors {
    /// Make CC sectors: sealed, with nothing but zeros in them.
    Pledge(pledge::Pledge),
    /// Make a sector out of a file: sends it to the worker that packs it.
    Add(add::Add),
    /// List sectors with their states.
    List(list::List),
    /// Show one sector: commitments, ticket, seed, and what happened to it.
    Status(status::Status),
    /// Show the accepted seal or update proof and everything needed to verify it.
    Proof(proof::Proof),
    /// Get the data of a sector back, decoding the sealed file where no unsealed copy exists.
    Unseal(unseal::Unseal),
    /// Delete the unsealed copy of a sector that is proving.
    ReleaseUnsealed(release_unsealed::ReleaseUnsealed),
    /// Make a proven CC sector Available, so that it can be updated with data.
    MarkForUpdate(mark_for_update::MarkForUpdate),
    /// Put a file in place of the zeros of an Available sector (SnapDeals).
    #[command(alias = "snap-up")]
    Snap(snap::Snap),
    /// Drop an update that is not accepted yet, or take an Available sector back to Proving.
    AbortUpgrade(abort_upgrade::AbortUpgrade),
    /// Make the sealed file and cache of before an update anew.
    RegenKey(regen_key::RegenKey),
    /// Go on with what failed or waits, now and with all its tries.
    Retry(retry::Retry),
    /// Take over sectors that were sealed elsewhere: their files lie on attached paths, or are downloaded (--from).
    Import(Box<import::Import>),
    /// Print what of sectors their files do not tell, or write all that they need elsewhere (--out).
    ///
    /// What their files do not tell is ticket, seed, pieces, commitments and proof, of an updated one those of its update
    /// too; it is printed as a JSON array. With --out, the files of the sectors and these records are written into a
    /// directory.
    ///
    /// To take a sector elsewhere: `sp-ctl sectors export N --out DIR`, bring DIR there, for example on a disk, and attach
    /// it as it is: `sp-ctl storage attach DIR --worker W`, then `sp-ctl sectors import N --record DIR/s-t0MINER-N.json`.
    /// Or serve DIR by a web server: `sp-ctl sectors import N --from URL --record s-t0MINER-N.json`. DIR is a storage path
    /// in Lotus's layout, which Lotus can attach too.
    ///
    /// The sector stays here, and goes on being proven: remove it here once it is proven there.
    Export(export::Export),
    /// Put a sector into a state by force.
    UpdateState(update_state::UpdateState),
    /// Keep the files of sectors from being removed.
    Pin(pins::Pin),
    /// Take pins off.
    Unpin(pins::Unpin),
    /// List pinned sectors.
    Pins(pins::Pins),
    /// Delete every file of a sector, for good.
    Remove(remove::Remove),
}

impl Sectors {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Pledge(verb) => verb.run(context).await,
            Self::Add(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
            Self::Status(verb) => verb.run(context).await,
            Self::Proof(verb) => verb.run(context).await,
            Self::Unseal(verb) => verb.run(context).await,
            Self::ReleaseUnsealed(verb) => verb.run(context).await,
            Self::MarkForUpdate(verb) => verb.run(context).await,
            Self::Snap(verb) => verb.run(context).await,
            Self::AbortUpgrade(verb) => verb.run(context).await,
            Self::RegenKey(verb) => verb.run(context).await,
            Self::Retry(verb) => verb.run(context).await,
            Self::Import(verb) => verb.run(context).await,
            Self::Export(verb) => verb.run(context).await,
            Self::UpdateState(verb) => verb.run(context).await,
            Self::Pin(verb) => verb.run(context).await,
            Self::Unpin(verb) => verb.run(context).await,
            Self::Pins(verb) => verb.run(context).await,
            Self::Remove(verb) => verb.run(context).await,
        }
    }
}
