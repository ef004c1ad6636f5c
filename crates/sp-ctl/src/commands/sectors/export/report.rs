//! What an export has written, for people and as `--json` prints it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use sp_types::{ByteSize, StoreId};

use super::bring::Brought;
use crate::error::CommandError;

/// One sector.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    sector: u64,
    /// Nothing was to be done.
    already_there: bool,
    files: Vec<FileRow>,
    /// Where its record lies.
    #[serde(skip_serializing_if = "String::is_empty")]
    record: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

/// One of its files.
#[derive(Debug, Serialize)]
struct FileRow {
    kind: &'static str,
    size_bytes: u64,
    root: String,
    /// Paths that it was read from; none if it was there already.
    from: Vec<String>,
    already_there: bool,
}

impl Row {
    pub(super) fn written(sector: u64, files: &[Brought], record: &Path) -> Self {
        let files: Vec<FileRow> = files.iter().map(FileRow::from).collect();
        let already_there = files.iter().all(|file| file.already_there);
        Self { sector, already_there, files, record: record.display().to_string(), error: String::new() }
    }

    pub(super) fn failed(sector: u64, failure: &CommandError) -> Self {
        Self { sector, error: failure.line(), ..Self::default() }
    }

    pub(super) fn is_good(&self) -> bool {
        self.error.is_empty()
    }

    /// What is new of it, or what is there if nothing is.
    pub(super) fn line(&self) -> String {
        let Self { sector, already_there, files, error, .. } = self;
        if !error.is_empty() {
            return format!("sector {sector}: {error}");
        }
        let shown: Vec<&FileRow> = files.iter().filter(|file| *already_there || !file.already_there).collect();
        let kinds = shown.iter().map(|file| file.kind).collect::<Vec<_>>().join(", ");
        if *already_there {
            return format!("sector {sector}: already there ({kinds})");
        }
        let bytes = shown.iter().map(|file| file.size_bytes).sum();
        let from: BTreeSet<&str> = shown.iter().flat_map(|file| &file.from).map(String::as_str).collect();
        let from = from.into_iter().collect::<Vec<_>>().join(", ");
        format!("sector {sector}: {kinds}; {} from {from}", ByteSize(bytes))
    }
}

impl From<&Brought> for FileRow {
    fn from(Brought { output, kind, root, size_bytes, from }: &Brought) -> Self {
        Self {
            kind: kind.name(),
            size_bytes: *size_bytes,
            root: hex::encode(root),
            from: from.iter().map(StoreId::to_string).collect(),
            already_there: output.is_none(),
        }
    }
}

/// How many there are, and what is done with them elsewhere.
pub(super) fn summary(rows: &[Row], dir: &Path, store: &StoreId) -> String {
    let good: Vec<&Row> = rows.iter().filter(|row| row.is_good()).collect();
    let mut text = format!("{} of {} sectors are in {} (path {store})\n", good.len(), rows.len(), dir.display());
    if let [first, ..] = &good[..] {
        let numbers = good.iter().map(|row| row.sector.to_string()).collect::<Vec<_>>().join(" ");
        let more = if good.len() > 1 { " --record .." } else { "" };
        text += &format!(
            "Where they are taken: `sp-ctl storage attach {} --worker W`, then `sp-ctl sectors import {numbers} --record \
             {}{more}`\n",
            dir.display(),
            first.record
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::FileKind;

    fn brought(kind: FileKind, from: &[&str]) -> Brought {
        let output =
            (!from.is_empty()).then(|| sp_sectors::Output::made(sp_types::SectorId { miner: 1000, number: 7 }, kind));
        let from = from.iter().map(|store| StoreId::new(*store).unwrap()).collect();
        Brought { output, kind, root: [1; 32], size_bytes: 1 << 30, from }
    }

    #[test]
    fn a_line_says_what_came_from_where() {
        let row = |files: &[Brought]| Row::written(7, files, Path::new("/d/s-t01000-7.json"));
        let files = [brought(FileKind::Sealed, &["b"]), brought(FileKind::Cache, &["b", "a"])];
        assert_eq!(row(&files).line(), "sector 7: sealed, cache; 2 GiB from a, b");
        let rest = [brought(FileKind::Sealed, &[]), brought(FileKind::Cache, &["a"])];
        assert_eq!(row(&rest).line(), "sector 7: cache; 1 GiB from a");
        assert_eq!(row(&[brought(FileKind::Sealed, &[])]).line(), "sector 7: already there (sealed)");
        let failed = Row::failed(8, &CommandError::failed("no path has it"));
        assert_eq!(failed.line(), "sector 8: no path has it");
        let text = summary(&[row(&files), failed], Path::new("/d"), &StoreId::new("x").unwrap());
        assert!(text.starts_with("1 of 2 sectors are in /d (path x)\n"), "{text}");
        assert!(text.contains("`sp-ctl sectors import 7 --record /d/s-t01000-7.json`"), "{text}");
    }
}
