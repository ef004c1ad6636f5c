//! UNS: decodes a sealed file back to its data, and reads pieces out of an unsealed file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use filecoin_proofs::parameters::public_params;
use filecoin_proofs::{DefaultPieceDomain, DefaultPieceHasher, MerkleTreeTrait, StoreConfig, as_safe_commitment};
use fr32::write_unpadded;
use sp_types::Commitment;
use storage_proofs_core::Data;
use storage_proofs_core::cache_key::CacheKey;
use storage_proofs_porep::stacked::{PublicParams, StackedDrg, generate_replica_id};

use super::config::{porep_config, with_tree};
use super::data_root::data_root;
use super::error::guard;
use super::fields::check_commitment;
use super::files::{check_sector_file, require_empty_dir};
use super::parents::{ensure_parents, graph};
use super::{SectorContext, StageError};

const STAGE: &str = "UNS";

/// Fr32 blocks read at a time: 127 unpadded bytes each, 128 padded.
const BLOCKS: u64 = 1000;

/// Decodes the whole sealed file into `out`: padded, exactly the sector size, byte for byte what AddPiece wrote.
///
/// Labels all layers again, which takes as long as PC1, and keeps the newest one in the empty directory `scratch`; the
/// caller removes it. `cache` is the sector's cache directory: nothing in it is read or changed, and it is refused as
/// `scratch`, because upstream would overwrite its tree-d. The root of the result is compared with `comm_d`: on a
/// mismatch `out` is removed and the error says [`Corrupt`](StageError::Corrupt). The caller fsyncs.
pub fn unseal(
    ctx: &SectorContext,
    comm_d: &Commitment,
    ticket: [u8; 32],
    sealed: &Path,
    cache: &Path,
    scratch: &Path,
    out: &Path,
) -> Result<(), StageError> {
    check_commitment(STAGE, "comm_d", comm_d)?;
    check_sector_file(STAGE, sealed, ctx.proof.size)?;
    if scratch.starts_with(cache) || out.starts_with(cache) {
        return Err(StageError::bad_input(STAGE, "scratch and output must not lie in the sector's cache directory"));
    }
    if out.exists() {
        return Err(StageError::bad_input(STAGE, format!("{} exists already; remove it first", out.display())));
    }
    require_empty_dir(STAGE, scratch)?;
    fs::copy(sealed, out).map_err(StageError::io(STAGE, out))?;
    let decoded = guard(STAGE, || with_tree!(ctx.proof.size, decode(ctx, comm_d, ticket, scratch, out)))
        .and_then(|()| data_root(STAGE, out, ctx.proof.size.bytes()));
    match decoded {
        Ok(root) if root == *comm_d => Ok(()),
        other => {
            // What is not the data must not lie about under its name.
            fs::remove_file(out).map_err(StageError::io(STAGE, out))?;
            let root = other?;
            let why = "the sealed file is damaged, or ticket, number or prover are not the sector's";
            Err(StageError::corrupt(STAGE, format!("the decoded data has root {root}, not {comm_d}: {why}")))
        }
    }
}

/// Decodes `out`, a copy of the sealed file, in place.
fn decode<Tree: 'static + MerkleTreeTrait>(
    ctx: &SectorContext,
    comm_d: &Commitment,
    ticket: [u8; 32],
    scratch: &Path,
    out: &Path,
) -> anyhow::Result<()> {
    let config = porep_config(ctx.proof)?;
    ensure_parents(&graph(ctx.proof))?;
    let params: PublicParams<Tree> = public_params(&config)?;
    let comm_d: DefaultPieceDomain = as_safe_commitment(&comm_d.0, "comm_d")?;
    let replica_id =
        generate_replica_id::<Tree::Hasher, _>(&ctx.prover_id.0, ctx.number, &ticket, comm_d, &config.porep_id);
    let store = StoreConfig::new(scratch, CacheKey::CommDTree.to_string(), 0);
    let mut data = Data::from_path(out.to_path_buf());
    data.ensure_data()?;
    StackedDrg::<Tree, DefaultPieceHasher>::extract_and_invert_transform_layers(
        &params.graph,
        params.num_layers,
        &replica_id,
        data.as_mut(),
        store,
    )
}

/// Streams the unpadded bytes `[offset, offset + len)` (unpadded units) of an unsealed file. Returns how many: `len`.
pub fn read_piece(unsealed: &Path, offset: u64, len: u64, out: &mut dyn Write) -> Result<u64, StageError> {
    let mut file = File::open(unsealed).map_err(StageError::io(STAGE, unsealed))?;
    let holds = file.metadata().map_err(StageError::io(STAGE, unsealed))?.len() / 128 * 127;
    let end = offset.checked_add(len).filter(|end| *end <= holds).ok_or_else(|| {
        let message = format!("bytes {offset} and {len} more are asked of an unsealed file that holds {holds}");
        StageError::bad_input(STAGE, message)
    })?;
    let mut at = offset;
    let mut padded = vec![0; (BLOCKS * 128) as usize];
    file.seek(SeekFrom::Start(offset / 127 * 128)).map_err(StageError::io(STAGE, unsealed))?;
    while at < end {
        let first = at / 127;
        let blocks = (end.div_ceil(127) - first).min(BLOCKS);
        let source = &mut padded[..(blocks * 128) as usize];
        file.read_exact(source).map_err(StageError::io(STAGE, unsealed))?;
        let until = end.min((first + blocks) * 127);
        write_unpadded(source, out, (at - first * 127) as usize, (until - at) as usize)
            .map_err(|e| StageError::upstream(STAGE, format!("cannot write the piece: {e}")))?;
        at = until;
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use fr32::Fr32Reader;

    use super::*;

    #[test]
    fn reads_any_range_of_an_unsealed_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unsealed");
        let data: Vec<u8> = (0..127 * 4096u32).map(|i| (i % 253) as u8).collect();
        let mut padded = Vec::new();
        Fr32Reader::new(data.as_slice()).read_to_end(&mut padded).unwrap();
        fs::write(&path, padded).unwrap();
        let whole = data.len() as u64;
        for (offset, len) in [(0, whole), (0, 1), (126, 2), (127, 127), (1, 127_000), (126_999, 130_000), (whole, 0)] {
            let mut read = Vec::new();
            assert_eq!(read_piece(&path, offset, len, &mut read).unwrap(), len);
            assert!(read == data[offset as usize..(offset + len) as usize], "{offset} {len}");
        }
        assert!(read_piece(&path, whole, 1, &mut Vec::new()).is_err());
        assert!(read_piece(&path, u64::MAX, 2, &mut Vec::new()).is_err());
    }
}
