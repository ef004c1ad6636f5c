//! Reads the manifest of a replica from a data plane, and holds it to the root that is wanted.

use sp_net::{client, sized};
use sp_proto::convert::{WireError, bytes32, required};
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::{self, ReadManifestRequest};
use sp_sectors::{FILES_MAX, Manifest, ManifestError, ManifestFile};
use sp_types::ErrorCode;

use super::{Fetching, bounded};
use crate::assignment::{Input, Source};
use crate::failure::Failure;

/// Most digest bytes of one manifest: those of a terabyte.
const DIGEST_BYTES_MAX: usize = 64 << 20;

/// The replica that a source is asked for. `root` is that of its manifest, once it is known: a foreign one has none
/// before.
pub(super) fn replica(input: &Input, source: &Source, root: [u8; 32]) -> v1::Replica {
    v1::Replica {
        miner: input.sector.miner,
        sector: input.sector.number,
        kind: v1::FileKind::from(input.kind) as i32,
        store: source.store.to_string(),
        root: if root == [0; 32] { vec![] } else { root.to_vec() },
        ..Default::default()
    }
}

pub(super) async fn read(fetching: &Fetching<'_>, source: &Source) -> Result<Manifest, Failure> {
    let Fetching { node, attempt, input, .. } = fetching;
    let bad_url = |e: client::NetError| Failure::new(ErrorCode::BadRequest, e.to_string());
    let channel = client::channel(&node.env, &source.data_url).map_err(bad_url)?;
    let mut client = sized!(DataPlaneClient::new(channel));
    let replica = replica(input, source, input.root);
    let request = ReadManifestRequest { replica: Some(replica), attempt: Some(attempt.id().into()) };
    let mut parts = bounded(node, client.read_manifest(request)).await?.into_inner();
    let (mut head, mut files, mut digest_bytes) = (None, Vec::<ManifestFile>::new(), 0);
    while let Some(v1::ManifestPart { head: part_head, files: part }) = bounded(node, parts.message()).await? {
        head = head.or(part_head);
        for v1::ManifestFile { name, size_bytes, chunk_digests } in part {
            digest_bytes += chunk_digests.len();
            if digest_bytes > DIGEST_BYTES_MAX || files.len() > FILES_MAX {
                return Err(Failure::new(ErrorCode::DigestMismatch, "the source's manifest is too large"));
            }
            let digests = chunk_digests.chunks(32).map(|d| bytes32("chunk_digests", d));
            let digests = digests.collect::<Result<Vec<_>, WireError>>()?;
            match files.last_mut().filter(|last| last.name == name) {
                Some(last) => last.chunks.extend(digests),
                None => files.push(ManifestFile { name, size_bytes, chunks: digests }),
            }
        }
    }
    let head = required("head", head)?;
    let root = if input.root == [0; 32] { bytes32("root", &head.root)? } else { input.root };
    // Whatever is wrong with it: the source does not have what is asked for, and will not have it a moment later.
    let lies = |error: ManifestError| Failure::new(ErrorCode::DigestMismatch, error.to_string());
    Manifest::with_root(input.kind, files, &root).map_err(lies)
}
