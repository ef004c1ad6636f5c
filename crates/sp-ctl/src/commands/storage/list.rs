//! `storage list`: paths, how full they are and what they are for, in Lotus's layout.

use std::collections::BTreeMap;

use serde::Serialize;
use sp_proto::convert;
use sp_proto::v1::{ListStorageRequest, ReplicaCount, StoreFact};
use sp_types::{ByteSize, FileKind};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{Color, Filling, Paint, bar};

const COLUMNS: usize = 50;

/// List storage paths, how full they are and what they are for.
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

/// A path, as `--json` prints it.
#[derive(Debug, Serialize)]
struct StoreRow {
    store: String,
    capacity_bytes: u64,
    fs_available_bytes: u64,
    available_bytes: u64,
    reserved_bytes: u64,
    used_bytes: u64,
    max_storage_bytes: u64,
    weight: u64,
    can_seal: bool,
    can_store: bool,
    groups: Vec<String>,
    allow_to: Vec<String>,
    allow_types: Vec<String>,
    deny_types: Vec<String>,
    healthy: bool,
    unhealthy_reason: String,
    local_path: String,
    urls: Vec<String>,
    files: BTreeMap<&'static str, u64>,
}

/// Replicas of each kind on each path.
type Counts = BTreeMap<String, BTreeMap<&'static str, u64>>;

impl List {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let reply = context.scheduler().await?.list_storage(request(ListStorageRequest {})).await?.into_inner();
        let mut counts = by_store(reply.counts);
        let mut rows: Vec<StoreRow> = reply.stores.into_iter().map(|fact| row(fact, &mut counts)).collect();
        rows.sort_by(|a, b| b.capacity_bytes.cmp(&a.capacity_bytes).then_with(|| a.store.cmp(&b.store)));
        context.show(&rows, |paint| rows.iter().map(|row| text(row, paint)).collect())
    }
}

/// Files of every kind that this build knows, sectors that the scheduler does not know included.
fn by_store(counts: Vec<ReplicaCount>) -> Counts {
    let mut all = Counts::new();
    for ReplicaCount { store, kind, count } in counts {
        if let Ok(kind) = convert::file_kind(kind) {
            *all.entry(store).or_default().entry(kind.name()).or_default() += count;
        }
    }
    all
}

fn row(fact: StoreFact, counts: &mut Counts) -> StoreRow {
    let attached = fact.store.unwrap_or_default();
    let health = attached.health.unwrap_or_default();
    StoreRow {
        files: counts.remove(&attached.store).unwrap_or_default(),
        store: attached.store,
        capacity_bytes: health.capacity_bytes,
        fs_available_bytes: health.fs_available_bytes,
        available_bytes: fact.available_bytes,
        reserved_bytes: fact.reserved_bytes,
        used_bytes: health.used_bytes,
        max_storage_bytes: attached.max_storage_bytes,
        weight: attached.weight,
        can_seal: attached.can_seal,
        can_store: attached.can_store,
        groups: attached.groups,
        allow_to: attached.allow_to,
        allow_types: attached.allow_types,
        deny_types: attached.deny_types,
        healthy: fact.healthy,
        unhealthy_reason: fact.unhealthy_reason,
        local_path: attached.local_path,
        urls: fact.holders.into_iter().map(|holder| holder.data_url).collect(),
    }
}

fn text(row: &StoreRow, paint: &Paint) -> String {
    let mut text = format!("{}:\n", row.store);
    if !row.healthy {
        text += &format!("\tError: {}:\n", paint.paint(Color::Red, &row.unhealthy_reason));
    }
    let limited = row.max_storage_bytes > 0;
    let used = row.capacity_bytes.saturating_sub(row.fs_available_bytes);
    text += &fill(used, row.reserved_bytes, row.capacity_bytes, if limited { " (filesystem)" } else { "" }, paint);
    if limited {
        text += &fill(row.used_bytes, row.reserved_bytes, row.max_storage_bytes, " (limit)", paint);
    }
    let count = |kind: FileKind| row.files.get(kind.name()).copied().unwrap_or(0);
    text += &format!(
        "\tUnsealed: {}; Sealed: {}; Caches: {}; Updated: {}; Update-caches: {}; Reserved: {}\n",
        count(FileKind::Unsealed),
        count(FileKind::Sealed),
        count(FileKind::Cache),
        count(FileKind::Update),
        count(FileKind::UpdateCache),
        ByteSize(row.reserved_bytes)
    );
    let uses: String = match (row.can_seal, row.can_store) {
        (false, false) => "ReadOnly".to_owned(),
        (seal, store) => {
            [(seal, "Seal"), (store, "Store")].iter().filter(|u| u.0).map(|u| u.1).collect::<Vec<_>>().join(" ")
        }
    };
    text += &format!("\tWeight: {}; Use: {uses}\n", row.weight);
    text += &named_list("Groups", &row.groups, ", ");
    text += &named_list("AllowTo", &row.allow_to, ", ");
    text += &types(row, paint);
    if !row.local_path.is_empty() {
        text += &format!("\tLocal: {}\n", row.local_path);
    }
    row.urls.iter().for_each(|url| text += &format!("\tURL: {url}\n"));
    text + "\n"
}

fn named_list(name: &str, items: &[String], separator: &str) -> String {
    if items.is_empty() { String::new() } else { format!("\t{name}: {}\n", items.join(separator)) }
}

/// The kinds that may be put here, or those that may not, whichever list is shorter; nothing where all may.
fn types(row: &StoreRow, paint: &Paint) -> String {
    if row.allow_types.is_empty() && row.deny_types.is_empty() {
        return String::new();
    }
    let named = |list: &[String], kind: &FileKind| list.iter().any(|name| name == kind.name());
    let may = |kind: &FileKind| {
        (row.allow_types.is_empty() || named(&row.allow_types, kind)) && !named(&row.deny_types, kind)
    };
    // The kind `vanilla` is ours: no list of Lotus's speaks of it.
    let kinds = FileKind::ALL.into_iter().filter(|kind| *kind != FileKind::Vanilla);
    let (allowed, denied): (Vec<FileKind>, Vec<FileKind>) = kinds.partition(may);
    let names = |kinds: &[FileKind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" ");
    match (allowed.len(), denied.len()) {
        (0, _) => format!("\tAllow Types: {}\n", paint.paint(Color::Red, "None")),
        (some, more) if some < more => format!("\tAllow Types: {}\n", paint.paint(Color::Green, &names(&allowed))),
        _ => format!("\tDeny Types: {}\n", paint.paint(Color::Red, &names(&denied))),
    }
}

/// Used and reserved of a whole: bar, amounts, percent.
fn fill(used: u64, reserved: u64, whole: u64, suffix: &str, paint: &Paint) -> String {
    let taken = used.saturating_add(reserved);
    let percent = (u128::from(taken) * 100).checked_div(u128::from(whole)).unwrap_or(0);
    let color = match percent {
        0..=90 => Color::Green,
        91..=98 => Color::Yellow,
        _ => Color::Red,
    };
    let parts = [('#', used), ('*', reserved)].map(|(cell, amount)| Filling { cell, color, amount: amount as f64 });
    let bar = bar(COLUMNS, whole as f64, &parts, paint);
    let percent = paint.paint(color, &format!("{percent}%"));
    format!("\t{bar} {}/{} {percent}{suffix}\n", ByteSize(taken), ByteSize(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::{AttachedStore, StoreHealth, StoreHolder};

    #[test]
    fn the_layout_is_lotuses() {
        const TIB: u64 = 1 << 40;
        let fact = StoreFact {
            store: Some(AttachedStore {
                store: "0ab1".into(),
                weight: 10,
                can_seal: true,
                can_store: true,
                max_storage_bytes: 4 * TIB,
                groups: vec!["g1".into(), "g2".into()],
                allow_types: vec!["sealed".into(), "cache".into()],
                local_path: "/path".into(),
                health: Some(StoreHealth {
                    capacity_bytes: 5 * TIB,
                    fs_available_bytes: 4 * TIB,
                    used_bytes: TIB,
                    ..StoreHealth::default()
                }),
                ..AttachedStore::default()
            }),
            reserved_bytes: TIB,
            healthy: true,
            holders: vec![StoreHolder { data_url: "http://10.0.0.5:3456".into(), ..Default::default() }],
            ..StoreFact::default()
        };
        let mut counts = Counts::from([("0ab1".into(), BTreeMap::from([("unsealed", 2), ("cache", 1)]))]);
        let expected = format!(
            "0ab1:\n\
             \t[{}{}{}] 2 TiB/5 TiB 40% (filesystem)\n\
             \t[{}{}{}] 2 TiB/4 TiB 50% (limit)\n\
             \tUnsealed: 2; Sealed: 0; Caches: 1; Updated: 0; Update-caches: 0; Reserved: 1 TiB\n\
             \tWeight: 10; Use: Seal Store\n\
             \tGroups: g1, g2\n\
             \tAllow Types: sealed cache\n\
             \tLocal: /path\n\
             \tURL: http://10.0.0.5:3456\n\n",
            "#".repeat(10),
            "*".repeat(10),
            " ".repeat(30),
            "#".repeat(13),
            "*".repeat(13),
            " ".repeat(24)
        );
        assert_eq!(text(&row(fact, &mut counts), &Paint::off()), expected);
    }

    #[test]
    fn the_shorter_list_of_types_is_shown() {
        let shown = |allow: &[&str], deny: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let attached =
                AttachedStore { allow_types: list(allow), deny_types: list(deny), ..AttachedStore::default() };
            let fact = StoreFact { store: Some(attached), ..StoreFact::default() };
            types(&row(fact, &mut Counts::new()), &Paint::off())
        };
        assert_eq!(shown(&[], &[]), "");
        assert_eq!(shown(&["sealed", "cache"], &["cache"]), "\tAllow Types: sealed\n");
        assert_eq!(shown(&[], &["unsealed"]), "\tDeny Types: unsealed\n");
        assert_eq!(shown(&["unsealed", "sealed", "cache", "update", "update-cache"], &[]), "\tDeny Types: piece\n");
        assert_eq!(shown(&["sealed"], &["sealed"]), "\tAllow Types: None\n");
        assert_eq!(shown(&["seald"], &[]), "\tAllow Types: None\n", "a list of nonsense allows nothing");
    }

    #[test]
    fn files_are_counted_by_kind() {
        let count = |kind: i32, count| ReplicaCount { store: "s".into(), kind, count };
        let counts = by_store(vec![count(2, 3), count(4, 1), count(999, 7)]);
        assert_eq!(counts, Counts::from([("s".into(), BTreeMap::from([("sealed", 3), ("cache", 1)]))]));
    }

    #[test]
    fn a_path_without_use_and_with_an_error() {
        let fact = StoreFact { unhealthy_reason: "input/output error".into(), ..StoreFact::default() };
        let shown = text(&row(fact, &mut Counts::new()), &Paint::off());
        assert!(shown.contains("\tError: input/output error:\n") && shown.contains("Use: ReadOnly"), "{shown}");
    }
}
