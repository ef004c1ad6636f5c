//! PC1's labels of a group of sectors: all layers, resumable, with the disk kept off the path of the hashing.
//!
//! Three threads. One reads the parents ahead and checks them; one labels; one writes the layer before to disk while the
//! next is computed from it. Memory is two layers per sector and a few MiB.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::files::{FileError, read_layer, write_layer};
use super::journal::Journal;
use super::label::{Layer, MAX_STREAMS, label_nodes};
use super::{Graph, NodeParents, ParentsFile};
use crate::kernels::sha256::{Words, from_bytes};
use crate::kernels::{Cpu, Table};

/// Nodes whose parents are read at a time, and batches that are read ahead.
const BATCH_NODES: usize = 1 << 13;
const BATCHES_AHEAD: usize = 4;

/// One sector of a group.
#[derive(Debug, Clone, Copy)]
pub struct GroupSector<'a> {
    /// The replica id.
    pub replica_id: [u8; 32],
    /// Where the layer files go.
    pub cache: &'a Path,
    /// The journal of its finished layers, outside of `cache`. After the last layer the caller may remove it.
    pub journal: &'a Path,
}

/// Labels `layers` layers of one to four sectors over `graph`, whose parents are `parents`, on the calling thread.
///
/// Layers that journal and files agree on, in every sector of the group, are taken over; labelling goes on at the first
/// that is missing or wrong in any. Every layer is durable before it is in the journal, and all are when this returns.
/// Needs memory of two sectors per sector. Errors name the file.
///
/// # Panics
/// If the group is empty or has more than [`MAX_STREAMS`] sectors.
pub fn label_group(
    cpu: Cpu,
    graph: &Graph,
    parents: &ParentsFile,
    layers: usize,
    sectors: &[GroupSector<'_>],
) -> Result<(), FileError> {
    assert!((1..=MAX_STREAMS).contains(&sectors.len()), "a group of {} sectors", sectors.len());
    let replica_ids: Vec<Words> = sectors.iter().map(|sector| from_bytes(&sector.replica_id)).collect();
    let (mut journals, mut done) = (Vec::new(), layers);
    for (sector, replica_id) in sectors.iter().zip(&replica_ids) {
        let journal = Journal::open(sector.journal, replica_id)?;
        done = done.min(journal.sound_layers(sector.cache)?);
        journals.push(journal);
    }
    journals.iter_mut().try_for_each(|journal| journal.keep(done))?;
    if done == layers {
        return Ok(());
    }
    let memory = || memory_for(graph, sectors);
    let mut current = memory()?;
    let mut previous = None;
    if done > 0 {
        let mut labels = memory()?;
        for (stream, sector) in sectors.iter().enumerate() {
            read_layer(sector.cache, done, &mut labels, stream, sectors.len())?;
        }
        previous = Some(Arc::new(labels));
    }
    thread::scope(|scope| {
        let (parents_in, batches) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move || read_parents(parents, graph.nodes(), layers - done, &parents_in));
        let (finished, to_write) = channel();
        let (written_in, written) = channel();
        scope.spawn(move || write_layers(sectors, journals, &to_write, &written_in));
        let mut writer = Writer { finished, written, busy: false };
        for number in done + 1..=layers {
            let before: &[Words] = previous.as_ref().map_or(&[], |labels: &Arc<Table>| labels);
            let layer = Layer { replica_ids: &replica_ids, number: number as u32, previous: before };
            label_layer(cpu, layer, graph.nodes(), &batches, &mut current, &mut writer)?;
            writer.wait()?;
            let spare = previous.take().and_then(Arc::into_inner);
            let labels = Arc::new(current);
            writer.start(number, &labels);
            previous = Some(labels);
            if number < layers {
                current = spare.map_or_else(memory, Ok)?;
            } else {
                break;
            }
        }
        writer.wait()
    })
}

/// Memory for a layer of all sectors, [node][sector].
fn memory_for(graph: &Graph, sectors: &[GroupSector<'_>]) -> Result<Table, FileError> {
    let failed = |e: io::Error| io::Error::new(e.kind(), format!("no memory for a layer: {e}"));
    let table = Table::zeroed(graph.nodes() as usize * sectors.len());
    table.map_err(|e| FileError::at(sectors[0].cache)(failed(e)))
}

fn label_layer(
    cpu: Cpu,
    layer: Layer<'_>,
    nodes: u64,
    batches: &Receiver<Result<Vec<NodeParents>, FileError>>,
    current: &mut [Words],
    writer: &mut Writer,
) -> Result<(), FileError> {
    let mut first = 0;
    while first < nodes {
        let parents = batches.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
        assert!(!parents.is_empty(), "the reader of the parents ended early");
        label_nodes(cpu, layer, first, &parents, current);
        first += parents.len() as u64;
        writer.poll()?;
    }
    Ok(())
}

/// Sends the parents of all nodes, `layers` times over, in batches. Ends early when nobody listens any more.
fn read_parents(
    parents: &ParentsFile,
    nodes: u64,
    layers: usize,
    batches: &SyncSender<Result<Vec<NodeParents>, FileError>>,
) {
    let mut bytes = Vec::new();
    for _ in 0..layers {
        for first in (0..nodes).step_by(BATCH_NODES) {
            let count = (nodes - first).min(BATCH_NODES as u64) as usize;
            if batches.send(parents.read(first, count, &mut bytes)).is_err() {
                return;
            }
        }
    }
}

/// Writes every layer that comes, sector by sector, and says so.
fn write_layers(
    sectors: &[GroupSector<'_>],
    mut journals: Vec<Journal<'_>>,
    to_write: &Receiver<(usize, Arc<Table>)>,
    written: &Sender<Result<(), FileError>>,
) {
    for (number, labels) in to_write {
        let mut streams = sectors.iter().zip(&mut journals).enumerate();
        let result = streams.try_for_each(|(stream, (sector, journal))| {
            journal.record(write_layer(sector.cache, number, &labels, stream, sectors.len())?)
        });
        // The labelling thread takes the memory back when it hears of it.
        drop(labels);
        if written.send(result).is_err() {
            return;
        }
    }
}

/// The writing thread, as the labelling thread sees it. It has one layer at a time.
struct Writer {
    finished: Sender<(usize, Arc<Table>)>,
    written: Receiver<Result<(), FileError>>,
    busy: bool,
}

impl Writer {
    fn start(&mut self, number: usize, labels: &Arc<Table>) {
        self.busy = self.finished.send((number, Arc::clone(labels))).is_ok();
    }

    /// Whether something went wrong meanwhile: a full disk should be known soon.
    fn poll(&mut self) -> Result<(), FileError> {
        if !self.busy {
            return Ok(());
        }
        let Ok(result) = self.written.try_recv() else { return Ok(()) };
        self.busy = false;
        result
    }

    fn wait(&mut self) -> Result<(), FileError> {
        if !std::mem::take(&mut self.busy) {
            return Ok(());
        }
        self.written.recv().expect("the writing thread answers for every layer")
    }
}
