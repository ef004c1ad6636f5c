//! The sending end: a response whose large fields are handed to HTTP/2 as they are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use hyper::body::{Body, Bytes, Frame};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Status;
use tonic::codec::{Codec, Streaming};
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderValue};
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic_prost::ProstCodec;

use super::PREFIX_BYTES;
use crate::client::MESSAGE_BYTES_MAX;

/// A message with a large field at its end.
#[derive(Debug, Clone)]
pub struct Large {
    head: Bytes,
    field: Bytes,
}

impl Large {
    /// `rest` is the message without the field, encoded; `tag` the number of the field.
    pub fn new(rest: &[u8], tag: u32, field: Bytes) -> Self {
        let mut head = Vec::with_capacity(PREFIX_BYTES + rest.len() + 16);
        head.extend([0; PREFIX_BYTES]);
        head.extend(rest);
        if !field.is_empty() {
            encode_key(tag, WireType::LengthDelimited, &mut head);
            encode_varint(field.len() as u64, &mut head);
        }
        let size = (head.len() - PREFIX_BYTES + field.len()) as u32;
        head[1..PREFIX_BYTES].copy_from_slice(&size.to_be_bytes());
        Self { head: head.into(), field }
    }

    /// The message as its reader sees it: without prefix, in one piece.
    pub fn message(&self) -> Bytes {
        [&self.head[PREFIX_BYTES..], &self.field].concat().into()
    }

    /// Bytes that it takes on the wire, before HTTP/2 frames it.
    pub fn wire_bytes(&self) -> usize {
        self.head.len() + self.field.len()
    }
}

/// The only message of a request, within our limit on messages.
pub async fn request<M, B>(request: Request<B>) -> Result<M, Status>
where
    M: Message + Default + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    let decoder = ProstCodec::<M, M>::default().decoder();
    let mut messages = Streaming::new_request(decoder, request.into_body(), None, Some(MESSAGE_BYTES_MAX));
    messages.message().await?.ok_or_else(|| Status::invalid_argument("the call has no message"))
}

/// The response of a call that answers with these messages; an error ends it.
pub fn respond<S>(messages: S) -> Response<tonic::body::Body>
where
    S: Stream<Item = Result<Large, Status>> + Send + Unpin + 'static,
{
    let body = tonic::body::Body::new(Answer { messages, field: None, ended: false });
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

struct Answer<S> {
    messages: S,
    /// What belongs behind the head that went last.
    field: Option<Bytes>,
    ended: bool,
}

impl<S: Stream<Item = Result<Large, Status>> + Unpin> Body for Answer<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(field) = self.field.take() {
            return Poll::Ready(Some(Ok(Frame::data(field))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let status = match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
            Some(Ok(Large { head, field })) => {
                self.field = Some(field).filter(|field| !field.is_empty());
                return Poll::Ready(Some(Ok(Frame::data(head))));
            }
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.ended = true;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.field.is_none()
    }
}
