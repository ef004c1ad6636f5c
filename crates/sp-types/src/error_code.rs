//! Stable error codes: what a program may rely on, whatever the message says.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A stable error code. The text goes over the wire and never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The code with this text.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|c| c.as_str() == text)
            }
        }
    };
}

error_codes! {
    /// A request that makes no sense as it stands.
    BadRequest = "SP-BAD-REQUEST",
    /// No such sector.
    UnknownSector = "SP-UNKNOWN-SECTOR",
    /// No such worker, task, attempt, job or deadline.
    NotFound = "SP-NOT-FOUND",
    /// The piece is larger than the sector.
    PieceTooLarge = "SP-PIECE-TOO-LARGE",
    /// The piece is empty.
    EmptyPiece = "SP-EMPTY-PIECE",
    /// The sector is in a state that does not allow this.
    WrongState = "SP-WRONG-STATE",
    /// The peer belongs to another cluster.
    WrongCluster = "SP-WRONG-CLUSTER",
    /// The peer speaks a protocol that is too far away.
    WrongProtocol = "SP-WRONG-PROTOCOL",
    /// The attempt was ended; nothing it writes counts.
    AttemptEnded = "SP-ATTEMPT-ENDED",
    /// The ticket is unknown or was used up.
    BadTicket = "SP-BAD-TICKET",
    /// Bytes do not have the digest that their manifest names.
    DigestMismatch = "SP-DIGEST-MISMATCH",
    /// A file is missing where the index says it is.
    FileMissing = "SP-FILE-MISSING",
    /// Not enough free space.
    NoSpace = "SP-NO-SPACE",
    /// Another task reads or writes files of the sector.
    Locked = "SP-LOCKED",
    /// Proof parameters are missing or damaged.
    BadParameters = "SP-BAD-PARAMETERS",
    /// The upstream verifier said no.
    InvalidProof = "SP-INVALID-PROOF",
    /// Nobody can do this now: no worker, or a service is away.
    Unavailable = "SP-UNAVAILABLE",
    /// It took longer than its limit.
    TimedOut = "SP-TIMED-OUT",
    /// Cancelled by an operator or by a successor.
    Cancelled = "SP-CANCELLED",
    /// The executor process ended or could not do its work.
    ExecutorFailed = "SP-EXECUTOR-FAILED",
    /// Anything else: a bug or the machine; the message says more.
    Internal = "SP-INTERNAL",
}

/// Who or what is at fault when something fails: it decides between trying here, trying elsewhere, stepping back in the
/// pipeline and stopping for a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody: it will pass. Try again, here or elsewhere.
    Temporary,
    /// The request itself: trying again changes nothing.
    Permanent,
    /// Files that are gone or damaged: what made them may have to run again.
    Data,
    /// The host or its worker: try elsewhere.
    Host,
}

impl ErrorCode {
    /// Who is at fault.
    pub fn fault(self) -> Fault {
        match self {
            Self::Unavailable | Self::NoSpace | Self::Locked | Self::Cancelled | Self::AttemptEnded => Fault::Temporary,
            Self::FileMissing | Self::DigestMismatch => Fault::Data,
            Self::ExecutorFailed | Self::BadParameters | Self::InvalidProof | Self::TimedOut | Self::Internal => {
                Fault::Host
            }
            Self::BadRequest
            | Self::UnknownSector
            | Self::NotFound
            | Self::PieceTooLarge
            | Self::EmptyPiece
            | Self::WrongState
            | Self::WrongCluster
            | Self::WrongProtocol
            | Self::BadTicket => Fault::Permanent,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
