//! `Disk` in memory, with crashes: what was not synced may be lost. For tests and simulation.
//!
//! Names and contents are durable apart, as on a real file system: `DiskFile::sync` saves the content, `sync_dir` the
//! names. A rename or an exchange is one step even across two directories; saving one directory saves it whole.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock, Entry, Metadata, Sharing, Space};
use file::MemFile;

/// What a crash takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the process died, the machine lives. What was not synced stays visible, and may be lost later.
    Nothing,
    /// Everything that was not synced: the machine died.
    Unsynced,
    /// A part of what was not synced, chosen by the seed: some names, some pages of some files.
    Some(u64),
}

/// A file system in memory. Clones share it.
#[derive(Clone)]
pub struct MemDisk(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    pending: Vec<Change>,
    /// Calls until every call fails; none: never.
    fuse: Option<u64>,
    calls: u64,
    capacity_bytes: u64,
    /// Rises with each crash, so that handles of before are dead.
    generation: u64,
    /// Open handles per file, so that an unlinked one stays readable.
    open: BTreeMap<u64, usize>,
    sweep_at: usize,
    exchange_supported: bool,
    clones_supported: bool,
    /// Bytes of a file that cannot be read.
    bad: BTreeMap<u64, Range<u64>>,
    /// Below it nothing can be changed.
    read_only: Option<PathBuf>,
}

#[derive(Clone, Hash)]
enum Node {
    File { data: Vec<u8>, durable: Vec<u8> },
    Dir { names: BTreeMap<String, u64>, durable: BTreeMap<String, u64> },
}

/// One step on names, atomic.
#[derive(Clone, Hash)]
struct Change(Vec<(u64, String, Option<u64>)>);

const ROOT: u64 = 1;
const PAGE_BYTES: usize = 4096;
const SWEEP_MIN: usize = 256;

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

fn exists(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", path.display()))
}

fn wrong_kind(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} is of the other kind (file, directory)", path.display()))
}

/// Splitmix64: small, seeded, good enough to choose what a crash loses.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Default for MemDisk {
    fn default() -> Self {
        Self::new(1 << 40)
    }
}

impl MemDisk {
    /// An empty file system of this size.
    pub fn new(capacity_bytes: u64) -> Self {
        let root = Node::Dir { names: BTreeMap::new(), durable: BTreeMap::new() };
        Self(Arc::new(Mutex::new(State {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            pending: Vec::new(),
            fuse: None,
            calls: 0,
            capacity_bytes,
            generation: 0,
            open: BTreeMap::new(),
            sweep_at: SWEEP_MIN,
            exchange_supported: true,
            clones_supported: true,
            bad: BTreeMap::new(),
            read_only: None,
        })))
    }

    /// After this many more calls every call fails, until `crash`: the process is dead from there on.
    pub fn fail_after(&self, calls: u64) {
        self.state().fuse = Some(calls);
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Behaves like a file system without `exchange`.
    pub fn without_exchange(&self) {
        self.state().exchange_supported = false;
    }

    /// Behaves like a file system whose files cannot share blocks.
    pub fn without_clones(&self) {
        self.state().clones_supported = false;
    }

    /// Behaves below this path as a file system that is mounted read-only; none: nowhere.
    pub fn set_read_only(&self, below: Option<&Path>) {
        self.state().read_only = below.map(Path::to_owned);
    }

    /// Another disk that is like this one at this moment.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// The same for two disks of one origin only if they hold the same, visibly and durably.
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut hasher = DefaultHasher::new();
        (&state.nodes, &state.pending).hash(&mut hasher);
        hasher.finish()
    }

    /// The machine or the process dies and comes back; handles of before are dead.
    pub fn crash(&self, loss: Loss) {
        self.state().crash(loss);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held left no half-made change that a later test could take for good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for one more call, or the error of a dead process.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut state.fuse {
            Some(0) => return Err(io::Error::other("the simulated process is dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        state.calls += 1;
        Ok(state)
    }

    /// The same for a call that changes names there.
    fn change_call(&self, path: &Path) -> io::Result<MutexGuard<'_, State>> {
        let state = self.call()?;
        state.may_change(path)?;
        Ok(state)
    }

    fn free(&self) -> u64 {
        let state = self.state();
        state.capacity_bytes.saturating_sub(state.used_bytes())
    }

    fn handle(&self, state: &mut State, node: u64, writable: bool) -> Box<dyn DiskFile> {
        *state.open.entry(node).or_default() += 1;
        Box::new(MemFile { disk: self.clone(), node, generation: state.generation, writable })
    }
}

impl State {
    fn may_change(&self, path: &Path) -> io::Result<()> {
        match &self.read_only {
            Some(below) if path.starts_with(below) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            _ => Ok(()),
        }
    }

    fn names(&self, dir: u64) -> Option<&BTreeMap<String, u64>> {
        match self.nodes.get(&dir)? {
            Node::Dir { names, .. } => Some(names),
            Node::File { .. } => None,
        }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        let mut at = ROOT;
        for part in parts(path)? {
            at = *self.names(at).and_then(|names| names.get(part)).ok_or_else(|| not_found(path))?;
        }
        Ok(at)
    }

    /// The directory that holds the last name of the path, and that name.
    fn place(&self, path: &Path) -> io::Result<(u64, String)> {
        let parent = path.parent().ok_or_else(|| wrong_kind(path))?;
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| wrong_kind(path))?;
        let dir = self.find(parent)?;
        self.names(dir).ok_or_else(|| wrong_kind(parent))?;
        Ok((dir, name.to_owned()))
    }

    fn is_dir(&self, node: u64) -> bool {
        matches!(self.nodes.get(&node), Some(Node::Dir { .. }))
    }

    fn add(&mut self, node: Node) -> u64 {
        self.next += 1;
        self.nodes.insert(self.next, node);
        self.next
    }

    /// Makes the change visible and remembers it as not durable.
    fn change(&mut self, steps: Vec<(u64, String, Option<u64>)>) {
        for (dir, name, target) in &steps {
            if let Some(Node::Dir { names, .. }) = self.nodes.get_mut(dir) {
                set(names, name, *target);
            }
        }
        self.pending.push(Change(steps));
        self.sweep();
    }

    /// Makes these pending changes durable, in order.
    fn settle(&mut self, keep: &BTreeSet<usize>) {
        let pending = std::mem::take(&mut self.pending);
        for (at, change) in pending.into_iter().enumerate() {
            if !keep.contains(&at) {
                self.pending.push(change);
                continue;
            }
            for (dir, name, target) in change.0 {
                if let Some(Node::Dir { durable, .. }) = self.nodes.get_mut(&dir) {
                    set(durable, &name, target);
                }
            }
        }
    }

    /// The pending changes that touch the directory, and the earlier ones that they build on.
    fn changes_of(&self, dir: u64) -> BTreeSet<usize> {
        let (mut keep, mut touched) = (BTreeSet::new(), BTreeSet::new());
        for (at, Change(steps)) in self.pending.iter().enumerate().rev() {
            if steps.iter().any(|(d, name, _)| *d == dir || touched.contains(&(*d, name))) {
                keep.insert(at);
                touched.extend(steps.iter().map(|(d, name, _)| (*d, name)));
            }
        }
        keep
    }

    fn crash(&mut self, loss: Loss) {
        match loss {
            Loss::Nothing => {}
            Loss::Unsynced => self.lose(|durable, _| durable.to_vec()),
            Loss::Some(mut seed) => {
                let keep = self.choose_changes(&mut seed);
                self.settle(&keep);
                self.lose(|durable, data| torn(durable, data, &mut seed));
            }
        }
        self.open.clear();
        self.fuse = None;
        self.generation += 1;
        self.sweep_at = 0;
        self.sweep();
    }

    /// Chooses changes by chance; none whose groundwork is lost.
    fn choose_changes(&self, seed: &mut u64) -> BTreeSet<usize> {
        let (mut keep, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for (at, Change(steps)) in self.pending.iter().enumerate() {
            let built_on_lost = steps.iter().any(|(dir, name, _)| lost.contains(&(*dir, name)));
            if built_on_lost || next_random(seed) & 1 == 0 {
                lost.extend(steps.iter().map(|(dir, name, _)| (*dir, name)));
            } else {
                keep.insert(at);
            }
        }
        keep
    }

    /// Back to what is durable; of contents, what `choose` makes of the durable and the visible one.
    fn lose(&mut self, mut choose: impl FnMut(&[u8], &[u8]) -> Vec<u8>) {
        self.pending.clear();
        for node in self.nodes.values_mut() {
            match node {
                Node::File { data, durable } => {
                    *durable = choose(durable, data);
                    data.clone_from(durable);
                }
                Node::Dir { names, durable } => names.clone_from(durable),
            }
        }
    }

    /// Forgets what no name and no handle leads to, once enough has gathered.
    fn sweep(&mut self) {
        if self.nodes.len() < self.sweep_at {
            return;
        }
        let mut todo: Vec<u64> = vec![ROOT];
        todo.extend(self.open.keys());
        todo.extend(
            self.pending.iter().flat_map(|c| c.0.iter().flat_map(|(dir, _, target)| [Some(*dir), *target])).flatten(),
        );
        let mut live = BTreeSet::new();
        while let Some(node) = todo.pop() {
            if !live.insert(node) {
                continue;
            }
            if let Some(Node::Dir { names, durable }) = self.nodes.get(&node) {
                todo.extend(names.values().chain(durable.values()));
            }
        }
        self.nodes.retain(|id, _| live.contains(id));
        self.sweep_at = (self.nodes.len() * 2).max(SWEEP_MIN);
    }

    fn used_bytes(&self) -> u64 {
        self.nodes.values().map(|node| if let Node::File { data, .. } = node { data.len() as u64 } else { 0 }).sum()
    }
}

fn set(names: &mut BTreeMap<String, u64>, name: &str, target: Option<u64>) {
    match target {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

/// Content after a crash: page by page the old or the new, with either length.
fn torn(durable: &[u8], data: &[u8], seed: &mut u64) -> Vec<u8> {
    let size = if next_random(seed) & 1 == 0 { durable.len() } else { data.len() };
    let mut bytes = vec![0; size];
    for start in (0..size).step_by(PAGE_BYTES) {
        let source = if next_random(seed) & 1 == 0 { durable } else { data };
        let end = size.min(start + PAGE_BYTES).min(source.len());
        if start < end {
            bytes[start..end].copy_from_slice(&source[start..end]);
        }
    }
    bytes
}

fn parts(path: &Path) -> io::Result<Vec<&str>> {
    use std::path::Component;
    let part = |component| match component {
        Component::RootDir => None,
        Component::Normal(name) => Some(name.to_str().ok_or_else(|| wrong_kind(path))),
        _ => Some(Err(wrong_kind(path))),
    };
    path.components().filter_map(part).collect()
}

impl Disk for MemDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let mut at = ROOT;
        for part in parts(path)? {
            let found = state.names(at).ok_or_else(|| wrong_kind(path))?.get(part).copied();
            at = match found {
                Some(node) => node,
                None => {
                    state.may_change(path)?;
                    let node = state.add(Node::Dir { names: BTreeMap::new(), durable: BTreeMap::new() });
                    state.change(vec![(at, part.to_owned(), Some(node))]);
                    node
                }
            };
        }
        if state.is_dir(at) { Ok(()) } else { Err(wrong_kind(path)) }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.call()?;
        let node = state.find(path)?;
        if state.is_dir(node) { Err(wrong_kind(path)) } else { Ok(self.handle(&mut state, node, false)) }
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.change_call(path)?;
        let node = state.find(path)?;
        if state.is_dir(node) { Err(wrong_kind(path)) } else { Ok(self.handle(&mut state, node, true)) }
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.change_call(path)?;
        let (dir, name) = state.place(path)?;
        if state.find(path).is_ok() {
            return Err(exists(path));
        }
        let node = state.add(Node::File { data: Vec::new(), durable: Vec::new() });
        state.change(vec![(dir, name, Some(node))]);
        Ok(self.handle(&mut state, node, true))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let dir = state.find(path)?;
        if !state.is_dir(dir) {
            return Err(wrong_kind(path));
        }
        let keep = state.changes_of(dir);
        state.settle(&keep);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change_call(to)?;
        if state.find(to).is_ok() {
            return Err(exists(to));
        }
        let (node, (from_dir, from_name), (to_dir, to_name)) =
            (state.find(from)?, state.place(from)?, state.place(to)?);
        state.change(vec![(from_dir, from_name, None), (to_dir, to_name, Some(node))]);
        Ok(())
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change_call(to)?;
        let (node, (from_dir, from_name), (to_dir, to_name)) =
            (state.find(from)?, state.place(from)?, state.place(to)?);
        if state.find(to).is_ok_and(|there| state.is_dir(there)) {
            return Err(wrong_kind(to));
        }
        state.change(vec![(from_dir, from_name, None), (to_dir, to_name, Some(node))]);
        Ok(())
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let mut state = self.change_call(b)?;
        if !state.exchange_supported {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (a_node, b_node) = (state.find(a)?, state.find(b)?);
        let ((a_dir, a_name), (b_dir, b_name)) = (state.place(a)?, state.place(b)?);
        state.change(vec![(a_dir, a_name, Some(b_node)), (b_dir, b_name, Some(a_node))]);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change_call(path)?;
        let (node, (dir, name)) = (state.find(path)?, state.place(path)?);
        if state.is_dir(node) {
            return Err(wrong_kind(path));
        }
        state.change(vec![(dir, name, None)]);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change_call(path)?;
        let (node, (dir, name)) = (state.find(path)?, state.place(path)?);
        if !state.is_dir(node) {
            return Err(wrong_kind(path));
        }
        state.change(vec![(dir, name, None)]);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.call()?;
        let dir = state.find(path)?;
        let names = state.names(dir).ok_or_else(|| wrong_kind(path))?;
        Ok(names.iter().map(|(name, node)| Entry { name: name.clone(), is_dir: state.is_dir(*node) }).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let state = self.call()?;
        let id = state.find(path)?;
        let size_bytes = match state.nodes.get(&id) {
            Some(Node::File { data, .. }) => data.len() as u64,
            _ => 0,
        };
        Ok(Metadata { is_dir: state.is_dir(id), size_bytes, allocated_bytes: size_bytes, id })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change_call(to)?;
        if state.find(to).is_ok() {
            return Err(exists(to));
        }
        let (node, (dir, name)) = (state.find(from)?, state.place(to)?);
        if state.is_dir(node) {
            return Err(wrong_kind(from));
        }
        state.change(vec![(dir, name, Some(node))]);
        Ok(())
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change_call(to)?;
        if state.find(to).is_ok() {
            return Err(exists(to));
        }
        let (node, (dir, name)) = (state.find(from)?, state.place(to)?);
        let Some(Node::File { data, .. }) = state.nodes.get(&node) else {
            return Err(wrong_kind(from));
        };
        let data = data.clone();
        let copy = state.add(Node::File { data, durable: Vec::new() });
        state.change(vec![(dir, name, Some(copy))]);
        Ok(())
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let supported = self.state().clones_supported;
        if supported { self.copy(from, to) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// One process at a time has this disk.
    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock> {
        if sharing == Sharing::Alone {
            self.state().may_change(path)?;
        }
        Ok(Box::new(()))
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let state = self.call()?;
        let available_bytes = state.capacity_bytes.saturating_sub(state.used_bytes());
        Ok(Space { capacity_bytes: state.capacity_bytes, available_bytes })
    }
}
