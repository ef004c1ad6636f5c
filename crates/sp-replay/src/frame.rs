//! Frames on a disk: a length and a check before each content. Every check covers all that came before it, so that no
//! frame can be changed, dropped or moved without being found.

use std::io::{self, Read};

/// What a recording begins with; the number is the version of its layout.
const MAGIC: &[u8; 12] = b"sp-events/1\n";
/// Bytes of a length and of its own check: a length that is wrong must not swallow the frames behind it.
const LENGTH: usize = 8;
/// Bytes of the check of a content.
const CHECK: usize = 16;

/// A check of everything up to and including one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chain([u8; 32]);

impl Chain {
    fn first() -> Self {
        Self(*blake2s_simd::blake2s(MAGIC).as_array())
    }

    fn over(self, parts: &[&[u8]]) -> Self {
        let mut state = blake2s_simd::Params::new().key(&self.0).to_state();
        for part in parts {
            state.update(part);
        }
        Self(*state.finalize().as_array())
    }

    /// A length and its check.
    fn length(self, bytes: u32) -> [u8; LENGTH] {
        let mut head = [0; LENGTH];
        head[..4].copy_from_slice(&bytes.to_le_bytes());
        let check = self.over(&[&head[..4]]);
        head[4..].copy_from_slice(&check.0[..4]);
        head
    }
}

/// Makes frames, one after the other.
#[derive(Debug)]
pub(crate) struct Framer {
    chain: Chain,
}

impl Framer {
    /// A new recording, and the bytes that it begins with.
    pub(crate) fn new() -> (Self, Vec<u8>) {
        (Self { chain: Chain::first() }, MAGIC.to_vec())
    }

    /// The frame of this content; none when a frame cannot be so long.
    pub(crate) fn frame(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let length = self.chain.length(u32::try_from(content.len()).ok()?);
        self.chain = self.chain.over(&[&length, content]);
        Some([&length, &self.chain.0[..CHECK], content].concat())
    }
}

/// How a recording ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With a word of the scheduler that it ends here, and why.
    Closed(String),
    /// After a whole record: the scheduler was killed.
    Open,
    /// In the middle of its last record: so many bytes are of no use.
    Torn {
        /// How many.
        bytes: u64,
    },
    /// A record that was not written like this; nothing from there on is believed.
    Damaged {
        /// Where it begins, bytes from the start of the file.
        at_byte: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole frame's content.
    Content(Vec<u8>),
    /// There are no more.
    End(Ending),
}

/// Takes frames apart.
#[derive(Debug)]
pub(crate) struct Unframer<R> {
    source: R,
    chain: Chain,
    at_byte: u64,
}

impl<R: Read> Unframer<R> {
    /// A reader of this; none when it does not begin like a recording.
    pub(crate) fn new(mut source: R) -> io::Result<Option<Self>> {
        let begins = take(&mut source, MAGIC.len())?;
        let known = begins == MAGIC;
        Ok(known.then_some(Self { source, chain: Chain::first(), at_byte: MAGIC.len() as u64 }))
    }

    /// The next frame, or how the recording ends.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        let head = take(&mut self.source, LENGTH + CHECK)?;
        if head.is_empty() {
            return Ok(Next::End(Ending::Open));
        }
        if head.len() < LENGTH + CHECK {
            return Ok(Next::End(Ending::Torn { bytes: head.len() as u64 }));
        }
        let (length, check) = head.split_at(LENGTH);
        let bytes = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        if self.chain.length(bytes) != length {
            return self.broken(&head, "its length is not what was written");
        }
        let content = take(&mut self.source, bytes as usize)?;
        if content.len() < bytes as usize {
            return Ok(Next::End(Ending::Torn { bytes: (head.len() + content.len()) as u64 }));
        }
        let chain = self.chain.over(&[length, &content]);
        if chain.0[..CHECK] != *check {
            return self.broken(&[head, content].concat(), "its content is not what was written");
        }
        self.chain = chain;
        self.at_byte += (head.len() + content.len()) as u64;
        Ok(Next::Content(content))
    }

    /// A file system may lengthen a file and lose the bytes: then it ends in zeros, and that is a torn tail too.
    fn broken(&mut self, read: &[u8], reason: &str) -> io::Result<Next> {
        let mut rest = read.to_vec();
        self.source.read_to_end(&mut rest)?;
        let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
        if zeros >= CHECK.min(rest.len()) && rest.len() - zeros <= read.len() {
            return Ok(Next::End(Ending::Torn { bytes: rest.len() as u64 }));
        }
        Ok(Next::End(Ending::Damaged { at_byte: self.at_byte, reason: reason.to_owned() }))
    }
}

/// So many bytes, or as many as there are.
fn take(source: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    source.take(bytes as u64).read_to_end(&mut taken)?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(contents: &[Vec<u8>]) -> Vec<u8> {
        let (mut framer, mut file) = Framer::new();
        contents.iter().for_each(|content| file.extend(framer.frame(content).unwrap()));
        file
    }

    fn read(file: &[u8]) -> (Vec<Vec<u8>>, Ending) {
        let mut unframer = Unframer::new(file).unwrap().expect("the magic");
        let mut contents = vec![];
        loop {
            match unframer.next().unwrap() {
                Next::Content(content) => contents.push(content),
                Next::End(ending) => return (contents, ending),
            }
        }
    }

    fn contents() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(1u8.., 0..40), 1..8)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(contents in contents()) {
            prop_assert_eq!(read(&written(&contents)), (contents, Ending::Open));
        }

        #[test]
        fn a_cut_loses_the_last_frame_alone(contents in contents(), cut in 1usize..24) {
            let mut file = written(&contents);
            file.truncate(file.len() - cut);
            let (whole, ending) = read(&file);
            prop_assert_eq!(&whole[..], &contents[..contents.len() - 1]);
            let torn = matches!(ending, Ending::Torn { .. });
            prop_assert!(torn, "{:?}", ending);
        }

        #[test]
        fn a_changed_byte_is_found_wherever_it_is(contents in contents(), at: prop::sample::Index, bit in 0u8..8) {
            let mut file = written(&contents);
            let at = MAGIC.len() + at.index(file.len() - MAGIC.len());
            file[at] ^= 1 << bit;
            let (whole, ending) = read(&file);
            prop_assert!(whole.len() < contents.len() && contents.starts_with(&whole));
            let damaged = matches!(ending, Ending::Damaged { .. });
            prop_assert!(damaged, "{:?}", ending);
        }
    }

    #[test]
    fn a_tail_of_zeros_is_torn_and_a_missing_frame_is_damage() {
        let contents = [vec![1; 30], vec![2; 30], vec![3; 30]];
        let mut zeros = written(&contents[..2]);
        zeros.extend([0; 500]);
        assert_eq!(read(&zeros), (contents[..2].to_vec(), Ending::Torn { bytes: 500 }));
        let mut file = written(&contents);
        let frame = LENGTH + CHECK + 30;
        file.drain(MAGIC.len() + frame..MAGIC.len() + 2 * frame);
        let (whole, ending) = read(&file);
        let at_byte = (MAGIC.len() + frame) as u64;
        assert_eq!(whole, contents[..1]);
        assert!(matches!(ending, Ending::Damaged { at_byte: at, .. } if at == at_byte), "{ending:?}");
        assert!(Unframer::new(&b"# a text"[..]).unwrap().is_none());
    }
}
