//! Digests of parameter files, as upstream's `parameters.json` has them: the first 16 bytes of BLAKE2b-512, in hex.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use blake2b_simd::State;
use sp_types::SectorSize;

use super::Kind;

const HEX_LENGTH: usize = 32;
const READ_BYTES: usize = 1 << 20;

/// Digests of the two files of a set.
pub(crate) struct Digests {
    pub(crate) params: &'static str,
    pub(crate) vk: &'static str,
}

/// Digests of the development parameters that every machine makes from the published seed.
pub(crate) fn recorded(kind: Kind, size: SectorSize) -> Option<Digests> {
    let (params, vk) = match (kind, size) {
        (Kind::Porep, SectorSize::KiB2) => ("93db6bd629d4b813d2f011b5f28dea9e", "ee8336681a2affc02c7f802db96c9df1"),
        (Kind::Window, SectorSize::KiB2) => ("03c0b1d6c21997cc691eb8cd9e7fd38c", "1b3590c1bde9529156c8c482b6ce2937"),
        (Kind::Winning, SectorSize::KiB2) => ("4e0d466eb778ecb9d3f59b9f4f44be72", "3556673528347eac630d53702c2e71fe"),
        (Kind::Update, SectorSize::KiB2) => ("7896bf995b8c0301166af5fdc54d1b63", "81344a2377f39e97f86eeca15e8dea7a"),
        _ => return None,
    };
    Some(Digests { params, vk })
}

/// The digest that a record holds: the text of a digest and a line feed.
pub(crate) fn parse_record(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    is_digest(text).then(|| text.to_owned())
}

/// Whether a text can be a digest.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == HEX_LENGTH && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a record of this digest holds.
pub(crate) fn record(digest: &str) -> Vec<u8> {
    format!("{digest}\n").into_bytes()
}

/// Passes bytes through to a file and digests them.
pub(crate) struct DigestingFile {
    pub(crate) file: File,
    pub(crate) state: State,
}

impl DigestingFile {
    pub(crate) fn new(file: File) -> Self {
        Self { file, state: State::new() }
    }
}

impl Write for DigestingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.state.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The digest of what a state has seen.
pub(crate) fn finish(state: &State) -> String {
    state.finalize().to_hex()[..HEX_LENGTH].to_owned()
}

pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    finish(State::new().update(bytes))
}

pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let (state, _) = of_reader(&mut File::open(path)?, &mut |_| ())?;
    Ok(finish(&state))
}

/// Reads all that is left, and tells `seen` how much it was so far. Gives what it was digested into, and its length.
pub(crate) fn of_reader(reader: &mut impl Read, seen: &mut dyn FnMut(u64)) -> io::Result<(State, u64)> {
    let (mut state, mut length, mut buffer) = (State::new(), 0, vec![0; READ_BYTES]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((state, length)),
            Ok(read) => {
                state.update(&buffer[..read]);
                length += read as u64;
                seen(length);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
