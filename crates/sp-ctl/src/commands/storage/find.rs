//! `storage find N`: where the files of a sector are, in Lotus's layout.

use serde::Serialize;
use sp_proto::v1::{FindStorageReply, FindStorageRequest, FoundReplica, Soundness};

use super::kind_label;
use crate::context::{Context, request};
use crate::error::{CommandError, Exit};
use crate::output;

/// Show where the files of a sector are.
#[derive(Debug, clap::Args)]
pub(crate) struct Find {
    /// Sector number.
    number: u64,
}

/// A file of the sector on a path, as `--json` prints it.
#[derive(Debug, Serialize)]
struct ReplicaRow {
    store: String,
    kind: String,
    root: String,
    size_bytes: u64,
    primary: bool,
    /// `sound` or `faulty` when it was read again; empty when nobody has.
    #[serde(skip_serializing_if = "str::is_empty")]
    soundness: &'static str,
    can_seal: bool,
    can_store: bool,
    local_path: String,
    urls: Vec<String>,
}

impl Find {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = FindStorageRequest { sector: self.number };
        let reply = context.scheduler().await?.find_storage(request(ask)).await?.into_inner();
        let rows = rows(reply);
        if rows.is_empty() {
            if context.json() {
                output::print_json(&rows)?;
            }
            let text = format!("no path holds a file of sector {}", self.number);
            return Err(CommandError::new(Exit::NotFound, text)
                .hint("`sp-ctl sectors list` shows the sectors there are, `storage list` the paths"));
        }
        context.show(&rows, |_| text(&rows))
    }
}

fn rows(reply: FindStorageReply) -> Vec<ReplicaRow> {
    let row = |FoundReplica { replica, store }: FoundReplica| {
        let (replica, fact) = (replica.unwrap_or_default(), store.unwrap_or_default());
        let attached = fact.store.unwrap_or_default();
        ReplicaRow {
            kind: kind_label(replica.kind),
            soundness: match replica.soundness() {
                Soundness::Unspecified => "",
                Soundness::Sound => "sound",
                Soundness::Faulty => "faulty",
            },
            store: replica.store,
            root: hex::encode(replica.root),
            size_bytes: replica.size_bytes,
            primary: replica.primary,
            can_seal: attached.can_seal,
            can_store: attached.can_store,
            local_path: attached.local_path,
            urls: fact.holders.into_iter().map(|holder| holder.data_url).collect(),
        }
    };
    let mut rows: Vec<ReplicaRow> = reply.replicas.into_iter().map(row).collect();
    rows.sort_by(|a, b| a.store.cmp(&b.store));
    rows
}

fn text(rows: &[ReplicaRow]) -> String {
    let by_store = rows.chunk_by(|a, b| a.store == b.store);
    by_store
        .filter_map(|group| group.first().map(|first| (group, first)))
        .map(|(group, first)| {
            let label = |row: &ReplicaRow| {
                let copy = if row.primary { "" } else { " copy" };
                let faulty = if row.soundness == "faulty" { " FAULTY" } else { "" };
                format!("{}{copy}{faulty}", row.kind)
            };
            let kinds = group.iter().map(label).collect::<Vec<_>>().join(", ");
            let mut text = format!("In {} ({kinds})\n", first.store);
            text += &format!("\tSealing: {}; Storage: {}\n", first.can_seal, first.can_store);
            text += &if first.local_path.is_empty() {
                "\tRemote\n".to_owned()
            } else {
                format!("\tLocal ({})\n", first.local_path)
            };
            first.urls.iter().for_each(|url| text += &format!("\tURL: {url}\n"));
            text
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::{AttachedStore, FileKind, Replica, StoreFact, StoreHolder};

    #[test]
    fn one_block_per_path() {
        let found = |kind: FileKind, store: &str, local_path: &str, primary| FoundReplica {
            replica: Some(Replica { kind: kind as i32, store: store.into(), primary, ..Replica::default() }),
            store: Some(StoreFact {
                store: Some(AttachedStore { can_seal: true, local_path: local_path.into(), ..Default::default() }),
                holders: vec![StoreHolder { data_url: "http://127.0.0.1:4000".into(), ..Default::default() }],
                ..StoreFact::default()
            }),
        };
        let reply = FindStorageReply {
            replicas: vec![
                found(FileKind::Sealed, "b", "/mnt/seal", true),
                found(FileKind::Cache, "b", "/mnt/seal", false),
                found(FileKind::Unsealed, "a", "", true),
            ],
        };
        let expected = "In a (Unsealed)\n\tSealing: true; Storage: false\n\tRemote\n\tURL: http://127.0.0.1:4000\n\
            In b (Sealed, Cache copy)\n\tSealing: true; Storage: false\n\tLocal (/mnt/seal)\n\tURL: http://127.0.0.1:4000\n";
        assert_eq!(text(&rows(reply)), expected);
    }
}
