//! What may be put on a storage path, and from which paths it may be fetched there: the lists of a `sectorstore.json`
//! with Lotus's meaning. They restrict placing, never reading.

use serde::{Deserialize, Serialize};

use crate::FileKind;

/// The filter lists of a `sectorstore.json`, as written there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// If not empty, only these kinds.
    pub allow_types: Vec<String>,
    /// Not these kinds.
    pub deny_types: Vec<String>,
    /// If not empty, only sectors of these miners (`t01000`).
    pub allow_miners: Vec<String>,
    /// Not sectors of these miners.
    pub deny_miners: Vec<String>,
}

impl Filters {
    /// Why this kind of a sector of this miner may not be placed here; none if it may.
    ///
    /// An entry that names nothing matches nothing, so a list of allowed types with invalid entries only allows nothing.
    /// The type lists speak of Lotus's kinds: `vanilla` is ours and passes them unless denied by name.
    pub fn refusal(&self, miner: u64, kind: FileKind) -> Option<String> {
        let named = |list: &[String]| list.iter().any(|t| t == kind.name());
        if kind != FileKind::Vanilla && !self.allow_types.is_empty() && !named(&self.allow_types) {
            return Some(format!("AllowTypes does not name {kind}"));
        }
        if named(&self.deny_types) {
            return Some(format!("DenyTypes names {kind}"));
        }
        let listed = |list: &[String]| list.iter().any(|m| miner_id(m) == Some(miner));
        if !self.allow_miners.is_empty() && !listed(&self.allow_miners) {
            return Some(format!("AllowMiners does not name t0{miner}"));
        }
        listed(&self.deny_miners).then(|| format!("DenyMiners names t0{miner}"))
    }

    /// Entries that name nothing, for a warning.
    pub fn unknown(&self) -> Vec<&str> {
        let types = self.allow_types.iter().chain(&self.deny_types).filter(|t| t.parse::<FileKind>().is_err());
        let miners = self.allow_miners.iter().chain(&self.deny_miners).filter(|m| miner_id(m).is_none());
        types.chain(miners).map(String::as_str).collect()
    }
}

/// May files be fetched to a path of these groups? `allow_to` has, for every file, the AllowTo lists of the paths that
/// hold it: one of them must let it go there, and an empty list lets it go anywhere.
pub fn may_be_fetched(groups: &[String], allow_to: &[Vec<&[String]>]) -> bool {
    let named = |list: &[String]| list.iter().any(|group| groups.contains(group));
    allow_to.iter().all(|lists| lists.iter().any(|list| list.is_empty() || named(list)))
}

/// The actor id of an id address: `t01000` or `f01000` is 1000.
fn miner_id(address: &str) -> Option<u64> {
    let digits = address.strip_prefix("t0").or_else(|| address.strip_prefix("f0"))?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|&s| s.to_owned()).collect()
    }

    #[test]
    fn lists_allow_and_deny() {
        let open = Filters::default();
        assert_eq!(open.refusal(1000, FileKind::Cache), None);
        let types =
            Filters { allow_types: list(&["sealed", "cache"]), deny_types: list(&["cache"]), ..Filters::default() };
        assert_eq!(types.refusal(1000, FileKind::Sealed), None);
        assert!(types.refusal(1000, FileKind::Cache).is_some_and(|r| r.contains("DenyTypes")));
        assert!(types.refusal(1000, FileKind::Unsealed).is_some_and(|r| r.contains("AllowTypes")));
        assert_eq!(types.refusal(1000, FileKind::Vanilla), None);
        let miners = Filters { allow_miners: list(&["t01000", "f02000"]), deny_miners: list(&["t02000"]), ..open };
        assert_eq!(miners.refusal(1000, FileKind::Sealed), None);
        assert!(miners.refusal(2000, FileKind::Sealed).is_some());
        assert!(miners.refusal(3000, FileKind::Sealed).is_some());
    }

    #[test]
    fn invalid_entries_allow_nothing_and_are_named() {
        let filters = Filters { allow_types: list(&["seald"]), allow_miners: list(&["1000"]), ..Filters::default() };
        assert!(FileKind::ALL.into_iter().filter(|k| *k != FileKind::Vanilla).all(|k| filters.refusal(1, k).is_some()));
        assert!(filters.refusal(1000, FileKind::Vanilla).is_some());
        assert_eq!(filters.unknown(), ["seald", "1000"]);
    }
}
