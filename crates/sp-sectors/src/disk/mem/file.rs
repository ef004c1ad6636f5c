//! An open file of the disk in memory.

use super::*;

/// What a disk says of a place that it cannot read.
const EIO: i32 = 5;

pub(super) struct MemFile {
    pub(super) disk: MemDisk,
    pub(super) node: u64,
    pub(super) generation: u64,
    pub(super) writable: bool,
}

impl MemDisk {
    /// Behaves like a disk of which these bytes of a file cannot be read any more.
    pub fn break_bytes(&self, path: &Path, bytes: Range<u64>) -> io::Result<()> {
        let mut state = self.state();
        let node = state.find(path)?;
        state.bad.insert(node, bytes);
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bad = self.disk.state().bad.get(&self.node).cloned();
        if bad.is_some_and(|bad| offset < bad.end && bad.start < offset + buffer.len() as u64) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.with(|data, _| {
            let start = (offset as usize).min(data.len());
            let end = start.saturating_add(buffer.len()).min(data.len());
            buffer[..end - start].copy_from_slice(&data[start..end]);
            Ok(end - start)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let free = self.disk.free();
        self.with(|data, _| {
            let end = offset as usize + bytes.len();
            if end.saturating_sub(data.len()) as u64 > free {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if data.len() < end {
                data.resize(end, 0);
            }
            data[offset as usize..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|data, durable| {
            durable.clone_from(data);
            Ok(())
        })
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.with(|data, _| Ok(data.len() as u64))
    }

    /// The length takes space, hole or not.
    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let free = self.disk.free();
        self.with(|data, _| {
            if size_bytes.saturating_sub(data.len() as u64) > free {
                return Err(io::ErrorKind::StorageFull.into());
            }
            data.resize(size_bytes as usize, 0);
            Ok(())
        })
    }

    /// A page of zeros is a hole.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.with(|data, _| {
            let from = (offset as usize).min(data.len());
            let stored = data[from..].iter().position(|byte| *byte != 0).map(|at| from + at);
            Ok(stored.map(|at| ((at / PAGE_BYTES * PAGE_BYTES) as u64).max(offset)))
        })
    }

    fn is_shared(&self) -> io::Result<bool> {
        let state = self.disk.call()?;
        let names = state.nodes.values().flat_map(|node| match node {
            Node::Dir { names, .. } => Some(names.values()),
            Node::File { .. } => None,
        });
        Ok(names.flatten().filter(|node| **node == self.node).count() > 1)
    }
}

impl MemFile {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.call()?;
        if state.generation != self.generation {
            return Err(io::Error::other("a handle of a process that has crashed"));
        }
        match state.nodes.get_mut(&self.node) {
            Some(Node::File { data, durable }) => work(data, durable),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation != self.generation {
            return;
        }
        if let Some(count) = state.open.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.node);
            }
        }
    }
}
