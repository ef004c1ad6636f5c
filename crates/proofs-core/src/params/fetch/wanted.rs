//! Which files are wanted: upstream's published ones, or those of a manifest in upstream's format.

use std::collections::BTreeMap;

use serde::Deserialize;
use sp_types::SectorSize;
use storage_proofs_core::parameter_cache::PARAMETERS;

use super::super::{Kind, digest, file_stem};

/// The extensions of published files, and the most bytes that one of them has: a bound for sources that do not say how
/// much they will send. The largest of today have 59 GiB, 2 MiB and 288 MiB.
const EXTENSIONS: [(&str, u64); 3] = [("params", 128 << 30), ("vk", 16 << 20), ("srs", 1 << 30)];

/// A file to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What a gateway knows it by.
    pub cid: String,
    /// First 16 bytes of its BLAKE2b-512, in hex.
    pub digest: String,
    /// No more bytes than these are taken.
    pub length_max_bytes: u64,
    /// What it is called where it is shown.
    pub label: String,
}

/// A text that is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    /// It is not even JSON of the right form.
    #[error("it is no JSON object of file names with cid, digest and sector_size: {0}")]
    Form(#[from] serde_json::Error),
    /// One of its files cannot be fetched safely.
    #[error("file `{name}`: {problem}")]
    File {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[derive(Deserialize)]
struct Entry {
    cid: String,
    digest: String,
    sector_size: u64,
}

impl Wanted {
    /// The parameter and key files of some kinds, as upstream publishes them; the keys first, since they are small.
    pub fn published(kinds: &[Kind], size: SectorSize) -> Vec<Self> {
        let file = |kind: Kind, extension: &str| {
            let name = format!("{}.{extension}", file_stem(kind, size));
            let data = PARAMETERS.get(&name).expect("upstream publishes every kind and size");
            Self {
                cid: data.cid.clone(),
                digest: data.digest.clone(),
                length_max_bytes: length_max(&name).expect("a known extension"),
                label: format!("{kind} {size} {extension}"),
                name,
            }
        };
        ["vk", "params"].iter().flat_map(|extension| kinds.iter().map(move |kind| file(*kind, extension))).collect()
    }

    /// The files for sectors of one size in a manifest, which has the format of upstream's `parameters.json`; keys first.
    pub fn from_manifest(text: &str, size: SectorSize) -> Result<Vec<Self>, BadManifest> {
        let entries: BTreeMap<String, Entry> = serde_json::from_str(text)?;
        let mut wanted = Vec::new();
        for (name, Entry { cid, digest, sector_size }) in entries {
            let length_max_bytes =
                check(&name, &cid, &digest).map_err(|problem| BadManifest::File { name: name.clone(), problem })?;
            if sector_size == size.bytes() {
                wanted.push(Self { label: name.clone(), name, cid, digest, length_max_bytes });
            }
        }
        wanted.sort_by_key(|file| file.length_max_bytes);
        Ok(wanted)
    }
}

/// What a name, a content id and a digest must be to become a path, a URL and a comparison. Gives the longest that such
/// a file may be.
fn check(name: &str, cid: &str, digest: &str) -> Result<u64, &'static str> {
    let plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    if !name.starts_with('v') || !plain(name, "-_.") || name.len() > 240 {
        return Err("a name is `v`, then letters, digits, `-`, `_` and `.`, at most 240 in all");
    }
    if cid.is_empty() || !plain(cid, "") {
        return Err("a cid is letters and digits");
    }
    if !digest::is_digest(digest) || digest.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("a digest is 32 lower-case hexadecimal digits");
    }
    length_max(name).ok_or("a name ends in .params, .vk or .srs")
}

fn length_max(name: &str) -> Option<u64> {
    let (_, extension) = name.rsplit_once('.')?;
    EXTENSIONS.iter().find(|(known, _)| *known == extension).map(|(_, most)| *most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_published_set_is_two_files_with_cid_and_digest() {
        for size in SectorSize::ALL {
            let files = Wanted::published(&Kind::ALL, size);
            assert_eq!(files.len(), 8);
            for file in &files {
                assert_eq!(check(&file.name, &file.cid, &file.digest), Ok(file.length_max_bytes), "{file:?}");
            }
            assert!(files[..4].iter().all(|file| file.name.ends_with(".vk")));
        }
        let labels: Vec<_> =
            Wanted::published(&[Kind::Window], SectorSize::GiB32).into_iter().map(|file| file.label).collect();
        assert_eq!(labels, ["window 32GiB vk", "window 32GiB params"]);
    }

    #[test]
    fn upstreams_own_manifest_is_one() {
        let text = storage_proofs_core::parameter_cache::PARAMETERS_DATA;
        let all = Wanted::from_manifest(text, SectorSize::GiB32).unwrap();
        for file in Wanted::published(&Kind::ALL, SectorSize::GiB32) {
            let same = all.iter().find(|other| other.name == file.name).unwrap();
            assert_eq!((&same.cid, &same.digest), (&file.cid, &file.digest));
        }
        assert!(all[0].name.ends_with(".vk") && all[all.len() - 1].name.ends_with(".params"));
    }

    #[test]
    fn files_that_would_go_elsewhere_are_refused() {
        let digest = "0".repeat(32);
        for (name, cid, digest, word) in [
            ("v1-../../x.vk", "Qm", digest.as_str(), "name"),
            (".v1.vk", "Qm", &digest, "name"),
            ("v1.exe", "Qm", &digest, "ends in"),
            ("v1.vk", "Qm/..", &digest, "cid"),
            ("v1.vk", "", &digest, "cid"),
            ("v1.vk", "Qm", "00", "digest"),
            ("v1.vk", "Qm", &"A".repeat(32), "digest"),
        ] {
            assert!(check(name, cid, digest).unwrap_err().contains(word), "{name}");
        }
        assert!(Wanted::from_manifest("[]", SectorSize::KiB2).is_err());
    }

    proptest! {
        /// Whatever a manifest says: a file of it lies in the directory, visible, and its digest can be one.
        #[test]
        fn accepted_files_stay_in_the_directory(name in "v?[-./a-z0-9%\\\\ ]{0,12}(\\.vk|\\.params)?", cid in ".{0,6}", digest in "[0-9a-fA-F]{31,33}") {
            let text = serde_json::json!({&name: {"cid": &cid, "digest": &digest, "sector_size": 2048}}).to_string();
            if let Ok(files) = Wanted::from_manifest(&text, SectorSize::KiB2) {
                let path = std::path::Path::new("/d").join(&files[0].name);
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/d")));
                prop_assert!(!files[0].name.starts_with('.') && !cid.contains(['/', '?', '#', ' ']));
                prop_assert_eq!(digest.len(), 32);
            }
        }
    }
}
