//! What somebody does with the files of a sector, and who may not do so at once. One rule, for the scheduler, which does
//! not begin what would be refused, and for the index, which refuses it.

use serde::{Deserialize, Serialize};

use crate::FileKindSet;

/// The files of a sector that are read, and those that are written. A kind in both is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct FileLock {
    /// Files that are only read.
    pub read: FileKindSet,
    /// Files that are made or replaced.
    pub write: FileKindSet,
}

impl FileLock {
    /// Nothing is locked.
    pub fn is_empty(self) -> bool {
        self.read.is_empty() && self.write.is_empty()
    }

    /// Files because of which two may not have these at once: what one writes, the other neither reads nor writes.
    pub fn contested(self, other: Self) -> FileKindSet {
        let both = |a: FileKindSet, b: FileKindSet| a.iter().filter(move |kind| b.contains(*kind));
        let (writes, reads) = (both(self.write, other.write), both(self.read, other.write));
        both(self.write, other.read).chain(writes).chain(reads).collect()
    }

    /// Is everything of the other in this one? Who writes may read.
    pub fn covers(self, other: Self) -> bool {
        other.write.without(self.write).is_empty() && other.read.without(self.read).without(self.write).is_empty()
    }

    /// Both together.
    pub fn joined(self, other: Self) -> Self {
        let join = |a: FileKindSet, b: FileKindSet| a.iter().chain(b.iter()).collect();
        Self { read: join(self.read, other.read), write: join(self.write, other.write) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileKind::{self, Cache, Sealed, Unsealed};

    fn lock(read: &[FileKind], write: &[FileKind]) -> FileLock {
        FileLock { read: FileKindSet::of(read), write: FileKindSet::of(write) }
    }

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let contested = |a: FileLock, b: FileLock| {
            assert_eq!(a.contested(b), b.contested(a), "it is the same from both sides");
            a.contested(b)
        };
        assert!(contested(lock(&[Sealed], &[]), lock(&[Sealed, Cache], &[])).is_empty());
        assert!(contested(lock(&[Sealed], &[Unsealed]), lock(&[Sealed], &[Cache])).is_empty());
        assert_eq!(contested(lock(&[Sealed], &[]), lock(&[], &[Sealed, Cache])), FileKindSet::of(&[Sealed]));
        assert_eq!(contested(lock(&[], &[Cache]), lock(&[Cache], &[Cache])), FileKindSet::of(&[Cache]));
    }

    #[test]
    fn what_is_written_covers_what_is_read() {
        assert!(lock(&[], &[Sealed]).covers(lock(&[Sealed], &[])));
        assert!(!lock(&[Sealed], &[]).covers(lock(&[], &[Sealed])));
        assert!(lock(&[Cache], &[]).joined(lock(&[], &[Sealed])).covers(lock(&[Sealed, Cache], &[])));
        assert!(FileLock::default().is_empty() && !lock(&[Sealed], &[]).is_empty());
    }
}
