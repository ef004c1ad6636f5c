//! The wire: code generated from `proto/sp/v1` and the conversions to and from `sp-types`. No logic.
#![forbid(unsafe_code)]

pub mod convert;

/// Generated messages, clients and servers of `sp.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("sp.v1");
}

/// Descriptors of everything, for reflection.
pub const DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("sp_descriptor");

/// Minor version of the protocol. One apart works both ways; more is refused.
///
/// 1: sealing and proving. 2: updates and removal of sectors, held attempts and groups, devices, making way for a PoSt,
/// stores that leave, measured memory. 3: single stores that leave, are read again or
/// are scrubbed. 4: several pieces in a sector. 5: files say which of the sectors of their number they were made for;
/// commitments of pieces that are in no sector (DC); work of workers that are gone is removed; imports and records of
/// updated sectors. 6: sectors whose files are downloaded from elsewhere (DL). 7: faults and the score of the proving day.
/// 8: rehearsals; a limit for all reads of a partition together.
pub const PROTOCOL_MINOR: u32 = 8;

/// Largest message on any stream, bytes. Bulk data travels in chunks of 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
