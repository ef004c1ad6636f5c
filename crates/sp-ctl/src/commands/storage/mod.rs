//! `storage`: paths that hold sector files.

mod attach;
mod cleanup;
mod detach;
mod find;
mod list;
mod locks;
mod moving;
mod redeclare;
mod scrub;

use std::time::Duration;

use clap::Subcommand;
use sp_proto::convert;
use sp_types::FileKind;

use crate::context::Context;
use crate::error::CommandError;

/// A worker reads every manifest of a path; the scheduler gives up before, and says why.
const PATH_LIMIT: Duration = Duration::from_secs(70);

#[derive(Debug, Subcommand)]
pub(crate) enum Storage {
    /// Attach a directory of a worker's machine as a storage path.
    Attach(attach::Attach),
    /// Let go of a storage path; its files stay where they are.
    Detach(detach::Detach),
    /// Have workers read their storage paths again: sectorstore.json and what lies there.
    Redeclare(redeclare::Redeclare),
    /// Read what lies on storage paths and compare it with its digests, in the background.
    Scrub(scrub::Scrub),
    /// List storage paths, how full they are and what they are for.
    List(list::List),
    /// Show where the files of a sector are.
    Find(find::Find),
    /// List the files of sectors that tasks have locked.
    Locks(locks::Locks),
    /// Show files of sectors that nobody knows, and delete those that you name.
    Cleanup(cleanup::Cleanup),
    /// Take the finished files of sectors to another storage path.
    Move(moving::Move),
}

impl Storage {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Attach(verb) => verb.run(context).await,
            Self::Detach(verb) => verb.run(context).await,
            Self::Redeclare(verb) => verb.run(context).await,
            Self::Scrub(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
            Self::Find(verb) => verb.run(context).await,
            Self::Locks(verb) => verb.run(context).await,
            Self::Cleanup(verb) => verb.run(context).await,
            Self::Move(verb) => verb.run(context).await,
        }
    }
}

/// A file kind as Lotus's listings write it.
fn kind_label(number: i32) -> String {
    let label = match convert::file_kind(number) {
        Ok(FileKind::Unsealed) => "Unsealed",
        Ok(FileKind::Sealed) => "Sealed",
        Ok(FileKind::Cache) => "Cache",
        Ok(FileKind::Update) => "Update",
        Ok(FileKind::UpdateCache) => "UpdateCache",
        Ok(FileKind::Piece) => "Piece",
        Ok(FileKind::Vanilla) => "Vanilla",
        Err(_) => return format!("kind#{number}"),
    };
    label.to_owned()
}
