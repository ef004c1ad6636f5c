//! The receiving end: messages whose large fields are slices of what HTTP/2 has read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use hyper::body::{Body, Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codegen::Service;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use tonic::codegen::http::{Method, Request, StatusCode, Uri, Version};
use tonic::transport::Channel;

use super::PREFIX_BYTES;
use crate::Env;
use crate::client::{self, MESSAGE_BYTES_MAX, NetError};

/// Longest frame: a message of 1 MiB comes in one piece.
const FRAME_BYTES: u32 = (1 << 20) + (16 << 10);

/// A channel for one call of large messages at a time: whole messages per frame, few window updates. `window_bytes` is
/// what the peer may send ahead of its reader, and with it the most memory that waits unread here.
pub fn channel(env: &Env, url: &str, window_bytes: u32) -> Result<Channel, NetError> {
    client::channel_with(env, url, |endpoint| {
        endpoint
            .initial_connection_window_size(window_bytes)
            .initial_stream_window_size(window_bytes)
            .max_frame_size(FRAME_BYTES)
    })
}

/// The messages of an answer.
pub struct Answers {
    body: tonic::body::Body,
    came: Pieces,
}

/// Calls a method that answers with a stream. `path` is `/package.Service/Method`.
pub async fn call(channel: &mut Channel, path: &'static str, request: &impl Message) -> Result<Answers, Status> {
    let mut message = vec![0; PREFIX_BYTES];
    // Writing to a vector cannot fail: it grows.
    let _ = request.encode(&mut message);
    let size = (message.len() - PREFIX_BYTES) as u32;
    message[1..PREFIX_BYTES].copy_from_slice(&size.to_be_bytes());
    let mut call = Request::new(tonic::body::Body::new(Whole(Some(message.into()))));
    *call.method_mut() = Method::POST;
    *call.version_mut() = Version::HTTP_2;
    *call.uri_mut() = Uri::from_static(path);
    let headers = [(TE, "trailers"), (CONTENT_TYPE, "application/grpc")];
    let headers = headers.map(|(name, value): (HeaderName, _)| (name, HeaderValue::from_static(value)));
    call.headers_mut().extend(headers);
    let failed = |error: tonic::transport::Error| Status::from_error(Box::new(error));
    poll_fn(|cx| channel.poll_ready(cx)).await.map_err(failed)?;
    let response = channel.call(call).await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(Status::unavailable(format!("the peer answered with HTTP status {}", response.status())));
    }
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status),
        _ => Ok(Answers { body: response.into_body(), came: Pieces::default() }),
    }
}

impl Answers {
    /// The next message; none after the last one. A peer that ends without saying so is an error.
    pub async fn message<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.came.take_message()? {
                return M::decode(message).map(Some).map_err(|e| Status::internal(format!("no message: {e}")));
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            let Some(frame) = frame.transpose()? else {
                return Err(Status::unavailable("the peer's answer ends in the middle"));
            };
            match frame.into_data() {
                Ok(data) => self.came.push(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return match Status::from_header_map(&trailers) {
                        Some(status) if status.code() != tonic::Code::Ok => Err(status),
                        Some(_) if self.came.size == 0 => Ok(None),
                        _ => Err(Status::unavailable("the peer's answer ends in the middle")),
                    };
                }
            }
        }
    }
}

/// Bytes in the pieces that they came in; no piece is empty.
#[derive(Debug, Default)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    size: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.size += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// The next message without its prefix, if it is there whole.
    fn take_message(&mut self) -> Result<Option<Self>, Status> {
        if self.size < PREFIX_BYTES {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX_BYTES];
        let bytes = self.pieces.iter().flat_map(|piece| piece.iter());
        prefix.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let [flag, size @ ..] = prefix;
        let size = u32::from_be_bytes(size) as usize;
        if flag != 0 {
            return Err(Status::internal("a compressed message, which was not asked for"));
        }
        if size > MESSAGE_BYTES_MAX {
            let message = format!("a message of {size} bytes, above the limit of {MESSAGE_BYTES_MAX}");
            return Err(Status::out_of_range(message));
        }
        if self.size < PREFIX_BYTES + size {
            return Ok(None);
        }
        self.advance(PREFIX_BYTES);
        Ok(Some(self.split_to(size)))
    }

    /// The first so many bytes, without copying them. There are as many.
    fn split_to(&mut self, size: usize) -> Self {
        let mut first = Self::default();
        while first.size < size
            && let Some(mut piece) = self.pieces.pop_front()
        {
            let part = piece.split_to(piece.len().min(size - first.size));
            self.size -= part.len();
            first.push(part);
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
        }
        first
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.size
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.size, "advanced beyond the end");
        self.split_to(count);
    }

    /// Copies only what came in several pieces.
    fn copy_to_bytes(&mut self, size: usize) -> Bytes {
        assert!(size <= self.size, "copied beyond the end");
        let mut taken = self.split_to(size).pieces;
        match taken.len() {
            0 | 1 => taken.pop_front().unwrap_or_default(),
            _ => {
                let mut whole = Vec::with_capacity(size);
                taken.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.into()
            }
        }
    }
}

/// A body of one piece.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Status>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Chunk {
        #[prost(uint64, tag = "1")]
        offset: u64,
        #[prost(bytes = "bytes", tag = "2")]
        data: Bytes,
    }

    fn encoded(offset: u64, data: &[u8]) -> Vec<u8> {
        let message = Chunk { offset, data: data.to_vec().into() }.encode_to_vec();
        let mut bytes = vec![0];
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend(message);
        bytes
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let wire: Vec<u8> = [encoded(7, b"hello"), encoded(0, b""), encoded(1 << 40, &[9; 300])].concat();
        for cut in 1..wire.len() {
            let (mut pieces, mut got) = (Pieces::default(), vec![]);
            for piece in wire.chunks(cut) {
                pieces.push(Bytes::copy_from_slice(piece));
                while let Some(message) = pieces.take_message().expect("plain messages") {
                    got.push(Chunk::decode(message).expect("a chunk"));
                }
            }
            let sizes: Vec<_> = got.iter().map(|chunk| (chunk.offset, chunk.data.len())).collect();
            assert_eq!(sizes, [(7, 5), (0, 0), (1 << 40, 300)], "{cut}");
            assert_eq!(pieces.size, 0);
        }
    }

    #[test]
    fn a_field_that_came_in_one_piece_is_not_copied() {
        let field = Bytes::from(vec![3; 1000]);
        let mut pieces = Pieces::default();
        let whole = encoded(7, &field);
        pieces.push(Bytes::copy_from_slice(&whole[..whole.len() - 1000]));
        pieces.push(field.clone());
        let chunk = Chunk::decode(pieces.take_message().expect("plain").expect("whole")).expect("a chunk");
        assert_eq!(chunk.data.as_ptr(), field.as_ptr());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [[1, 0, 0, 0, 1], [0, 0xff, 0xff, 0xff, 0xff]] {
            let mut pieces = Pieces::default();
            pieces.push(Bytes::copy_from_slice(&bad));
            assert!(pieces.take_message().is_err());
        }
    }
}
