//! Reads the manifest of a file from a data port, and holds it to the root that is wanted.

use sp_proto::convert::{bytes32, required};
use sp_proto::v1::{ManifestFile as WireFile, ManifestPart, ReadManifestRequest};
use sp_sectors::{FILES_MAX, Manifest, ManifestFile};
use sp_types::{FileKind, SectorId};

use super::bring::{Trouble, replica, within};
use super::plan::{Source, UNREAD};
use crate::context::DataPlane;
use crate::output;

/// Most digest bytes of one manifest: those of a terabyte.
const DIGEST_BYTES_MAX: usize = 64 << 20;

/// Reads it. With a root of zero whatever the source has is believed: nobody has read the file whole before.
pub(super) async fn read(
    port: &mut DataPlane,
    source: &Source,
    sector: SectorId,
    kind: FileKind,
    root: [u8; 32],
) -> Result<Manifest, Trouble> {
    let replica = Some(replica(source, sector, kind, source.root));
    let call = port.read_manifest(ReadManifestRequest { replica, attempt: None });
    let mut parts = if source.root == UNREAD {
        output::note(&format!(
            "sector {}: path {} reads its {kind} file whole first, since it has no digests yet",
            sector.number, source.store
        ));
        // As long as that takes; a worker that is gone is noticed.
        call.await?.into_inner()
    } else {
        within(call).await?.into_inner()
    };
    let mut joined = Joined::default();
    while let Some(part) = within(parts.message()).await? {
        joined.add(part)?;
    }
    joined.manifest(kind, root)
}

/// What has come of a manifest.
#[derive(Debug, Default)]
struct Joined {
    root: Option<Vec<u8>>,
    files: Vec<ManifestFile>,
    digest_bytes: usize,
}

impl Joined {
    /// The head comes with the first part; a long file in several parts under the same name.
    fn add(&mut self, ManifestPart { head, files }: ManifestPart) -> Result<(), Trouble> {
        self.root = self.root.take().or(head.map(|head| head.root));
        for WireFile { name, size_bytes, chunk_digests } in files {
            self.digest_bytes += chunk_digests.len();
            if self.digest_bytes > DIGEST_BYTES_MAX || self.files.len() > FILES_MAX {
                return Err(Trouble::Wrong("its manifest is too large".to_owned()));
            }
            let digests = chunk_digests.chunks(32).map(|digest| bytes32("chunk_digests", digest));
            let digests = digests.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
            match self.files.last_mut().filter(|last| last.name == name) {
                Some(last) => last.chunks.extend(digests),
                None => self.files.push(ManifestFile { name, size_bytes, chunks: digests }),
            }
        }
        Ok(())
    }

    fn manifest(self, kind: FileKind, root: [u8; 32]) -> Result<Manifest, Trouble> {
        let told = required("head", self.root).and_then(|root| bytes32("root", &root)).map_err(wrong)?;
        Manifest::with_root(kind, self.files, if root == UNREAD { &told } else { &root }).map_err(wrong)
    }
}

fn wrong(error: impl std::fmt::Display) -> Trouble {
    Trouble::Wrong(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::ManifestHead;

    fn file(name: &str, size_bytes: u64, digests: usize) -> WireFile {
        WireFile { name: name.into(), size_bytes, chunk_digests: vec![7; digests * 32] }
    }

    fn joined(parts: Vec<ManifestPart>) -> Result<Joined, Trouble> {
        let mut joined = Joined::default();
        parts.into_iter().try_for_each(|part| joined.add(part)).map(|()| joined)
    }

    #[test]
    fn parts_are_joined_and_held_to_the_root() {
        let whole = ManifestFile { name: "a".into(), size_bytes: 3 << 20, chunks: vec![[7; 32]; 3] };
        let root = Manifest::new(FileKind::Cache, vec![whole]).unwrap().root();
        let head = Some(ManifestHead { root: root.to_vec(), ..ManifestHead::default() });
        let parts = || {
            let second = ManifestPart { head: None, files: vec![file("a", 3 << 20, 1)] };
            vec![ManifestPart { head: head.clone(), files: vec![file("a", 3 << 20, 2)] }, second]
        };
        for wanted in [root, UNREAD] {
            assert_eq!(joined(parts()).unwrap().manifest(FileKind::Cache, wanted).unwrap().root(), root);
        }
        assert!(joined(parts()).unwrap().manifest(FileKind::Cache, [1; 32]).is_err());
        assert!(joined(parts()[..1].to_vec()).unwrap().manifest(FileKind::Cache, root).is_err(), "a chunk is missing");
        assert!(joined(parts()[1..].to_vec()).unwrap().manifest(FileKind::Cache, root).is_err(), "without a head");
        let cut = WireFile { chunk_digests: vec![7; 31], ..file("a", 1, 0) };
        assert!(joined(vec![ManifestPart { head, files: vec![cut] }]).is_err());
    }
}
