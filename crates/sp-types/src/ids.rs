//! Ids of hosts, workers, tasks, attempts, stores and replicas.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that is not an id of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}")]
pub struct BadId {
    /// What was expected, in words.
    pub what: &'static str,
    /// The offending text.
    pub text: String,
}

/// The text of an id. Shared: a process has few ids and many copies of each. Most comparisons end with the first
/// characters, for ids are UUIDs as a rule.
#[derive(Clone)]
struct Text {
    /// The first eight bytes, the first one highest, so that numbers sort as texts do.
    first: u64,
    whole: Arc<str>,
}

impl Text {
    fn new(text: &str) -> Self {
        let mut first = [0; 8];
        first.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
        Self { first: u64::from_be_bytes(first), whole: text.into() }
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        let whole =
            || if Arc::ptr_eq(&self.whole, &other.whole) { Ordering::Equal } else { self.whole.cmp(&other.whole) };
        self.first.cmp(&other.first).then_with(whole)
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.whole, f)
    }
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Text);

        impl $name {
            /// Wraps a text: 1 to 128 characters of `[A-Za-z0-9._-]`, so that an id can always be part of a path.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                let shape = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
                if text.is_empty() || text.len() > 128 || !shape || text.starts_with('.') {
                    return Err(BadId { what: $what, text });
                }
                Ok(Self(Text::new(&text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0.whole
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }
    };
}

string_id!(
    /// A machine: its machine id and boot id joined by a dash. A new boot is a new host.
    HostId, "host id"
);
string_id!(
    /// A worker: a UUID kept in its data directory, so it survives restarts.
    WorkerId, "worker id"
);
string_id!(
    /// One run of a worker process: a UUID made at start.
    SessionId, "session id"
);
string_id!(
    /// A storage path: the `ID` of its `sectorstore.json`, a UUID.
    StoreId, "store id"
);
string_id!(
    /// A GPU: the UUID that its driver gives (`GPU-...`), or its PCI address (`PCI-0000-65-00.0`).
    GpuId, "GPU id"
);

impl GpuId {
    /// The id of a device that has no UUID, from its PCI address such as `0000:65:00.0`.
    pub fn from_pci(address: &str) -> Result<Self, BadId> {
        Self::new(format!("PCI-{}", address.trim().replace(':', "-").to_ascii_lowercase()))
    }
}

/// A unit of work in the queue: one phase of one sector, or one PoSt partition. Rises for ever, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A task given to one worker: the task and a rising number. Written `task.number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// 1 for the first attempt, then rising.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task.0, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "attempt id", text: text.to_owned() };
        let (task, number) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self { task: TaskId(task.parse().map_err(|_| bad())?), number: number.parse().map_err(|_| bad())? })
    }
}

/// One copy of one kind of one sector on one store, with the digest that its manifest head names.
///
/// A delete names a replica, never just a sector: another root is another replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplicaId {
    /// Whose sector.
    pub sector: crate::SectorId,
    /// Which of its files.
    pub kind: crate::FileKind,
    /// Where it lies.
    pub store: StoreId,
    /// Root digest (BLAKE2s, 32 bytes) of the content; all zero for a foreign file that nobody has read whole yet.
    pub root: [u8; 32],
}

/// Which of the sectors that have had a number a file was made for; written as 16 hex digits.
///
/// A scheduler that has lost its state, or got back an older one, gives numbers out again that files on paths which are
/// away bear already. Whoever deletes by number and kind alone would take those for leftovers of the new sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin(NonZeroU64);

impl Origin {
    /// From a random number; 0 stands for no origin.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// As a number, never 0.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Origin {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let is_plain = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_plain);
        number.and_then(Self::new).ok_or_else(|| BadId { what: "origin", text: text.to_owned() })
    }
}

/// Whether the bytes of a replica are what its manifest says, and the sector its commitments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Soundness {
    /// Nobody who speaks of it has read it again.
    #[default]
    Unknown,
    /// The last scrub found nothing wrong.
    Sound,
    /// The last scrub found a fault.
    Faulty,
}

/// A replica with what is known of it besides its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// Which replica.
    pub id: ReplicaId,
    /// Total length, bytes.
    pub size_bytes: u64,
    /// True for the copy that counts, false for a copy made for a task.
    pub primary: bool,
    /// Whose file it is; none: it came with a Lotus path, or was made by a build that wrote none.
    pub origin: Option<Origin>,
    /// What a scrub has found.
    pub soundness: Soundness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_it_is_written() {
        for number in [1, 0xABC, u64::MAX] {
            let origin = Origin::new(number).unwrap();
            assert_eq!(origin.to_string().parse(), Ok(origin));
        }
        assert_eq!(Origin::new(0), None);
        for text in ["", "1", "0000000000000000", "000000000000000g", "+00000000000000a", "00000000000000001"] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_sort_as_their_texts_do() {
        let texts =
            ["-", "0", "A", "a", "a-", "a0", "aaaaaaaa", "aaaaaaaa-", "aaaaaaaaa", "aaaaaaaab", "aaaaaaab", "b"];
        for one in texts {
            for other in texts {
                let (a, b) = (WorkerId::new(one).unwrap(), WorkerId::new(other).unwrap());
                assert_eq!(a.cmp(&b), one.cmp(other), "{one} {other}");
                assert_eq!(a == b, one == other);
                assert_eq!(a.cmp(&a.clone()), Ordering::Equal);
            }
        }
        assert_eq!(format!("{:?} {}", WorkerId::new("w").unwrap(), WorkerId::new("w").unwrap()), "WorkerId(\"w\") w");
    }
}
