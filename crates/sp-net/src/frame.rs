//! Messages over a child's pipes: a length (32 bits, big endian), then one protobuf message.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest message over a pipe, bytes: the vanilla proofs of a window PoSt partition pass through.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// A pipe that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// More than the cap.
    #[error("a message of {bytes} bytes exceeds the limit of {FRAME_BYTES_MAX} bytes on a pipe")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The other side ended in the middle of a message.
    #[error("the pipe closed in the middle of a message")]
    Torn,
    /// Bytes that are no such message.
    #[error("a message on the pipe cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The pipe failed.
    #[error("the pipe failed: {0}")]
    Io(#[from] io::Error),
}

/// Writes one message and flushes it.
pub async fn write<M: Message>(pipe: &mut (impl AsyncWrite + Unpin), message: &M) -> Result<(), FrameError> {
    pipe.write_all(&encode(message)?).await?;
    Ok(pipe.flush().await?)
}

/// Reads one message; none when the other side closed between messages.
pub async fn read<M: Message + Default>(pipe: &mut (impl AsyncRead + Unpin)) -> Result<Option<M>, FrameError> {
    let mut head = Vec::with_capacity(4);
    pipe.take(4).read_to_end(&mut head).await?;
    let Some(length) = length(&head)? else { return Ok(None) };
    let mut body = Vec::new();
    pipe.take(length as u64).read_to_end(&mut body).await?;
    decode(&body, length).map(Some)
}

/// The same for the child's side, which has no runtime.
pub mod blocking {
    use std::io::{Read, Write};

    use prost::Message;

    use super::{FrameError, decode, encode, length};

    /// Writes one message and flushes it.
    pub fn write<M: Message>(pipe: &mut impl Write, message: &M) -> Result<(), FrameError> {
        pipe.write_all(&encode(message)?)?;
        Ok(pipe.flush()?)
    }

    /// Reads one message; none when the other side closed between messages.
    pub fn read<M: Message + Default>(pipe: &mut impl Read) -> Result<Option<M>, FrameError> {
        let mut head = Vec::with_capacity(4);
        pipe.by_ref().take(4).read_to_end(&mut head)?;
        let Some(length) = length(&head)? else { return Ok(None) };
        let mut body = Vec::new();
        pipe.by_ref().take(length as u64).read_to_end(&mut body)?;
        decode(&body, length).map(Some)
    }
}

fn encode<M: Message>(message: &M) -> Result<Vec<u8>, FrameError> {
    let bytes = message.encoded_len();
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge { bytes });
    }
    let mut frame = Vec::with_capacity(4 + bytes);
    frame.extend_from_slice(&(bytes as u32).to_be_bytes());
    message.encode(&mut frame).expect("a vector grows");
    Ok(frame)
}

/// The length that a head names; none for no head at all.
fn length(head: &[u8]) -> Result<Option<usize>, FrameError> {
    if head.is_empty() {
        return Ok(None);
    }
    let head: [u8; 4] = head.try_into().map_err(|_| FrameError::Torn)?;
    let bytes = u32::from_be_bytes(head) as usize;
    if bytes > FRAME_BYTES_MAX { Err(FrameError::TooLarge { bytes }) } else { Ok(Some(bytes)) }
}

fn decode<M: Message + Default>(body: &[u8], length: usize) -> Result<M, FrameError> {
    if body.len() < length {
        return Err(FrameError::Torn);
    }
    Ok(M::decode(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_understand_each_other() {
        let mut pipe = Vec::new();
        write(&mut pipe, &"first".to_owned()).await.expect("write");
        blocking::write(&mut pipe, &String::new()).expect("write");
        let (mut a, mut b) = (pipe.as_slice(), pipe.as_slice());
        for expected in [Some("first".to_owned()), Some(String::new()), None] {
            assert_eq!(read::<String>(&mut a).await.expect("read"), expected);
            assert_eq!(blocking::read::<String>(&mut b).expect("read"), expected);
        }
    }

    #[tokio::test]
    async fn caps_and_torn_frames_are_errors() {
        let large = vec![0_u8; FRAME_BYTES_MAX];
        let mut pipe = Vec::new();
        assert!(matches!(write(&mut pipe, &large).await, Err(FrameError::TooLarge { .. })));
        assert!(pipe.is_empty(), "nothing of it was written");
        let head = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes();
        assert!(matches!(blocking::read::<String>(&mut head.as_slice()), Err(FrameError::TooLarge { .. })));
        for torn in [&[0, 0][..], &[0, 0, 0, 5, 1]] {
            assert!(matches!(read::<String>(&mut &*torn).await, Err(FrameError::Torn)), "{torn:?}");
            assert!(matches!(blocking::read::<String>(&mut &*torn), Err(FrameError::Torn)), "{torn:?}");
        }
        let wrong = [0, 0, 0, 1, 0xff];
        assert!(matches!(read::<String>(&mut wrong.as_slice()).await, Err(FrameError::Decode(_))));
    }
}
