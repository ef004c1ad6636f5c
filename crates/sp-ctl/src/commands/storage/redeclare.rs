//! `storage redeclare`: workers read their storage paths again and tell the index what is there.

use serde::Serialize;
use sp_proto::v1::{RedeclareStorageReply, RedeclareStorageRequest, RedeclaredStore, StoreChange};

use super::PATH_LIMIT;
use crate::context::{Context, within};
use crate::error::{CommandError, Exit};
use crate::output;

/// Have workers read their storage paths again: sectorstore.json, and which files lie there.
#[derive(Debug, clap::Args)]
pub(crate) struct Redeclare {
    /// Only these paths, by ID, or with --worker by directory.
    #[arg(long = "id", value_name = "ID", required_unless_present_any = ["all", "worker"])]
    ids: Vec<String>,
    /// Every path of the worker, or of every worker.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Id or name of the worker.
    #[arg(long, value_name = "WORKER", default_value = "")]
    worker: String,
    /// Drop index entries of files that are not there any more.
    #[arg(long)]
    drop_missing: bool,
}

/// A path, as `--json` prints it.
#[derive(Serialize)]
struct Row {
    store: String,
    worker: String,
    local_path: String,
    /// Files that are there.
    files: u64,
    /// Files that the index knew and that are not there.
    missing: u64,
    dropped: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

impl Redeclare {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let drop_missing = self.drop_missing;
        let ask = RedeclareStorageRequest { worker: self.worker, stores: self.ids, drop_missing };
        let reply = context.scheduler().await?.redeclare_storage(within(PATH_LIMIT, ask)).await?.into_inner();
        let rows = rows(reply, drop_missing);
        if context.json() {
            output::print_json(&rows)?;
        } else {
            output::print(&text(&rows))?;
        }
        match rows.iter().filter(|row| !row.error.is_empty()).count() {
            0 => Ok(()),
            failed => Err(CommandError::new(Exit::Failed, format!("{failed} paths were left as they were"))
                .hint("the index keeps what it knew of them; redeclare them once they are well")),
        }
    }
}

fn rows(reply: RedeclareStorageReply, dropped: bool) -> Vec<Row> {
    let row = |RedeclaredStore { worker, change }: RedeclaredStore| {
        let StoreChange { store, local_path, replicas, missing, error } = change.unwrap_or_default();
        Row { store, worker, local_path, files: replicas, missing, dropped, error }
    };
    reply.stores.into_iter().map(row).collect()
}

fn text(rows: &[Row]) -> String {
    let line = |Row { store, local_path, files, missing, dropped, error, .. }: &Row| match (error.is_empty(), missing) {
        (false, _) => format!("{store} ({local_path}): {error}\n"),
        (true, 0) => format!("{store} ({local_path}): {files} files\n"),
        (true, missing) if *dropped => {
            format!("{store} ({local_path}): {files} files, {missing} missing and dropped\n")
        }
        (true, missing) => format!(
            "{store} ({local_path}): {files} files, {missing} missing (still listed; --drop-missing takes them out)\n"
        ),
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_there_and_what_is_not() {
        let stores = [(3, 0, ""), (2, 1, ""), (0, 0, "no answer")].map(|(replicas, missing, error)| RedeclaredStore {
            worker: "w".into(),
            change: Some(StoreChange {
                store: "a".into(),
                local_path: "/p".into(),
                replicas,
                missing,
                error: error.into(),
            }),
        });
        let reply = RedeclareStorageReply { stores: stores.to_vec() };
        let kept = "a (/p): 3 files\na (/p): 2 files, 1 missing (still listed; --drop-missing takes them out)\na (/p): no answer\n";
        assert_eq!(text(&rows(reply.clone(), false)), kept);
        assert!(text(&rows(reply, true)).contains("2 files, 1 missing and dropped"));
    }
}
