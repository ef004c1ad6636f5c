//! Server streams of large messages without copying them: what goes over the wire is plain gRPC.
//!
//! tonic copies a message into its encoder's buffer and out of its decoder's one. For a chunk of a sector file that is
//! most of what a transfer costs. Here a message that ends with one large field goes to HTTP/2 in two pieces, its head
//! and the field as it is, and comes out of HTTP/2's own buffer as a slice of it. Either end may be plain tonic.

mod receive;
mod send;

pub use receive::{Answers, call, channel};
pub use send::{Large, request, respond};

/// Length of the prefix of each message: a flag for compression and the length.
const PREFIX_BYTES: usize = 5;
