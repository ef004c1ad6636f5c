//! `storage`: paths that hold sector files.

mod attach;
mod find;
mod list;

use clap::Subcommand;
use sp_proto::convert;
use sp_types::FileKind;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Storage {
    /// Attach a directory of a worker's machine as a storage path.
    Attach(attach::Attach),
    /// List storage paths, how full they are and what they are for.
    List(list::List),
    /// Show where the files of a sector are.
    Find(find::Find),
}

impl Storage {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Attach(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
            Self::Find(verb) => verb.run(context).await,
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
