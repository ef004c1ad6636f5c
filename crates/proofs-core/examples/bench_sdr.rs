//! Measures the SDR kernels against upstream's, in one run and one process, and prints JSON for `make bench`: labels of a
//! 512 MiB layer for 1, 2 and 4 sectors, parents of the 32 GiB graph, tree-d. CPU time of the one thread that works.
//!
//! Upstream needs its SHA instructions at compile time: without
//! `RUSTFLAGS="-C target-feature=+sha,+ssse3,+sse4.1"` it is an order slower, and the comparison is unfair. Each round
//! labels 2^20 nodes in the middle of the layer; `--full` labels all of its second half.
// A measurement on a real machine.
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use filecoin_hashers::poseidon::PoseidonHasher;
use filecoin_hashers::sha256::Sha256Hasher;
use proofs_core::kernels::sdr::{Graph, GraphVersion, Layer, NodeParents, PARENTS, label_nodes};
use proofs_core::kernels::{Cpu, Table, Words, build_tree_d};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use sp_types::{RegisteredSealProof, SectorSize};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::drgraph::Graph as _;
use storage_proofs_core::merkle::{BinaryMerkleTree, create_base_merkle_tree};
use storage_proofs_porep::stacked::StackedBucketGraph;
use storage_proofs_porep::stacked::create_label::single::create_label_exp;

const ROUNDS: usize = 5;
/// Most sectors in lock-step.
const STREAMS: usize = 4;
const SIZE: SectorSize = SectorSize::MiB512;
const NODES: usize = (512 << 20) / 32;
/// Nodes of a layer that fits the first caches: what hashing costs without memory.
const SMALL_NODES: usize = 1 << 10;
const LAYER: u32 = 2;
const REPLICA_ID: [u8; 32] = [9; 32];
/// Nodes that upstream maps of the parents file at a time, its default.
const WINDOW: usize = 2048;

type UpstreamGraph = StackedBucketGraph<PoseidonHasher>;

/// Where upstream looks for parents files; it reads it once.
const PARENT_CACHE: &str = "FIL_PROOFS_PARENT_CACHE";
/// The same, set by this program for itself.
const OWN_CACHE: &str = "SP_BENCH_PARENT_CACHE";

fn main() -> Result<()> {
    let full = std::env::args().any(|arg| arg == "--full");
    let Some(parent_cache) = std::env::var_os(OWN_CACHE) else {
        let dir = tempfile::tempdir()?;
        let mut again = Command::new(std::env::current_exe()?);
        again.args(std::env::args_os().skip(1)).env(OWN_CACHE, dir.path()).env(PARENT_CACHE, dir.path());
        ensure!(again.status()?.success(), "the measurement failed");
        return Ok(());
    };
    let sha = cfg!(target_feature = "sha") || !Cpu::detect().has_sha_ni();
    if !sha {
        eprintln!("upstream was compiled without SHA instructions; the ratios say little");
    }
    let mut lines = parents()?;
    lines.extend(tree_d()?);
    lines.extend(pure_hash());
    lines.extend(Labels::new(if full { NODES / 2 } else { 1 << 20 })?.measure(Path::new(&parent_cache))?);
    println!("{}", json!({ "lines": lines, "upstream_with_sha": sha, "cpu": Cpu::detect().to_string() }));
    Ok(())
}

/// CPU seconds that this thread spends on some work.
fn cpu_seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    seconds_on(ClockId::ThreadCPUTime, work)
}

fn seconds_on(clock: ClockId, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let now = || {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    let start = now();
    work()?;
    Ok(now() - start)
}

/// A row of the table; with `at_least` a promise.
fn line(what: &str, unit: &str, values: &[f64], at_least: Option<f64>) -> Value {
    let line = json!({ "what": what, "unit": unit, "values": values, "at_least": at_least });
    eprintln!("{line}");
    line
}

/// Round by round: how often ours fits into upstream's time.
fn ratios(upstream: &[f64], ours: &[f64]) -> Vec<f64> {
    upstream.iter().zip(ours).map(|(upstream, ours)| upstream / ours).collect()
}

fn upstream_graph(size: SectorSize) -> Result<UpstreamGraph> {
    let porep_id = RegisteredSealProof::v1_1(size).porep_id();
    UpstreamGraph::new_stacked(size.bytes() as usize / 32, 6, 8, porep_id, ApiVersion::V1_1_0)
}

fn our_graph(size: SectorSize) -> Graph {
    Graph::new(size.bytes() / 32, RegisteredSealProof::v1_1(size).porep_id(), GraphVersion::V1_1)
}

/// Parents of nodes in the middle of the graph of 32 GiB sectors.
fn parents() -> Result<Vec<Value>> {
    const COUNT: usize = 1 << 17;
    let (theirs, ours) = (upstream_graph(SectorSize::GiB32)?, our_graph(SectorSize::GiB32));
    let first = ours.nodes() / 2;
    let (mut known, mut found) = (vec![[0; PARENTS]; COUNT], vec![[0; PARENTS]; COUNT]);
    let (mut upstream_ns, mut our_ns) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let upstream = cpu_seconds(|| {
            let mut nodes = (first as usize..).zip(&mut known);
            nodes.try_for_each(|(node, parents)| theirs.parents(node, parents))
        })?;
        let our = cpu_seconds(|| {
            ours.parents(Cpu::detect(), first, &mut found);
            Ok(())
        })?;
        ensure!(known == found, "the parents differ from upstream's");
        upstream_ns.push(upstream * 1e9 / COUNT as f64);
        our_ns.push(our * 1e9 / COUNT as f64);
    }
    Ok(vec![
        line("parents of a node of 32 GiB: upstream", "ns", &upstream_ns, None),
        line("parents of a node of 32 GiB: ours", "ns", &our_ns, None),
        line("parents: upstream to ours, per thread", "x", &ratios(&upstream_ns, &our_ns), Some(3.0)),
    ])
}

/// Tree-d over 16 MiB of data: CPU time of all threads, for upstream has threads of its own.
fn tree_d() -> Result<Vec<Value>> {
    const LEAVES: usize = 1 << 19;
    let data: Vec<u8> =
        (0..LEAVES * 32).map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as u8).collect();
    let (mut upstream_s, mut our_s) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        // Upstream takes a tree that is there already.
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("data"), &data)?;
        let (mut known, mut found) = ([0; 32], [1; 32]);
        upstream_s.push(seconds_on(ClockId::ProcessCPUTime, || {
            let config = filecoin_proofs::StoreConfig::new(dir.path(), "tree-d", 0);
            let tree = create_base_merkle_tree::<BinaryMerkleTree<Sha256Hasher>>(Some(config), LEAVES, &data)?;
            known = tree.root().into();
            Ok(())
        })?);
        our_s.push(seconds_on(ClockId::ProcessCPUTime, || {
            let (data, tree) = (File::open(dir.path().join("data"))?, File::create(dir.path().join("tree"))?);
            found = build_tree_d(Cpu::detect(), &data, LEAVES as u64, &tree)?;
            Ok(())
        })?);
        ensure!(known == found, "tree-d differs from upstream's");
    }
    Ok(vec![
        line("tree-d of 16 MiB: upstream", "cpu-s", &upstream_s, None),
        line("tree-d of 16 MiB: ours", "cpu-s", &our_s, None),
        line("tree-d: upstream to ours, per thread", "x", &ratios(&upstream_s, &our_s), None),
    ])
}

/// Labels where everything lies in the first caches, and with portable code.
fn pure_hash() -> Vec<Value> {
    let graph = Graph::new(SMALL_NODES as u64, [7; 32], GraphVersion::V1_1);
    let mut parents = vec![[0; PARENTS]; SMALL_NODES];
    graph.parents(Cpu::detect(), 0, &mut parents);
    let previous = vec![[3; 8]; SMALL_NODES * STREAMS];
    let mut current = previous.clone();
    let mut measure = |cpu: Cpu, streams: usize, repeat: usize| -> Vec<f64> {
        let layer = layer(&[[9; 8]; STREAMS], &previous, streams, SMALL_NODES);
        let mut round = || {
            cpu_seconds(|| {
                (0..repeat).for_each(|_| label_nodes(cpu, layer, 0, &parents, &mut current));
                Ok(())
            })
        };
        (0..ROUNDS).flat_map(|_| round()).map(|s| s * 1e9 / (repeat * SMALL_NODES * streams) as f64).collect()
    };
    let mut lines = vec![line("a label in cache, portable", "ns", &measure(Cpu::PORTABLE, 1, 8), None)];
    for streams in [1, 2, 4] {
        let values = measure(Cpu::detect(), streams, 64);
        lines.push(line(&format!("a label in cache, streams: {streams}"), "ns", &values, None));
    }
    lines
}

fn layer<'a>(replica_ids: &'a [Words; STREAMS], previous: &'a [Words], streams: usize, nodes: usize) -> Layer<'a> {
    Layer { replica_ids: &replica_ids[..streams], number: LAYER, previous: &previous[..nodes * streams] }
}

/// A layer of 512 MiB sectors: ours for four streams, upstream's for one. Fewer streams use the beginning of ours.
struct Labels {
    /// Nodes that are labelled in a round, and the first of them.
    count: usize,
    first: usize,
    graph: UpstreamGraph,
    parents: Vec<NodeParents>,
    previous: Table,
    current: Table,
    upstream_previous: Vec<u8>,
    upstream_current: Vec<u8>,
}

impl Labels {
    fn new(count: usize) -> Result<Self> {
        let first = NODES / 2;
        let mut parents = vec![[0; PARENTS]; count];
        our_graph(SIZE).parents(Cpu::detect(), first as u64, &mut parents);
        let (mut previous, mut current) = (Table::zeroed(NODES * STREAMS)?, Table::zeroed(NODES * STREAMS)?);
        // What the labels are does not matter, only that both sides have the same.
        for (i, (previous, current)) in previous.iter_mut().zip(current.iter_mut()).enumerate() {
            let word = (i as u32).wrapping_mul(0x9e37_79b9);
            (*previous, *current) = ([word; 8], [!word; 8]);
        }
        let bytes = |labels: &[Words]| labels[..NODES].as_flattened().iter().flat_map(|w| w.to_be_bytes()).collect();
        let (upstream_previous, upstream_current) = (bytes(&previous), bytes(&current));
        let graph = upstream_graph(SIZE)?;
        Ok(Self { count, first, graph, parents, previous, current, upstream_previous, upstream_current })
    }

    fn measure(mut self, parent_cache: &Path) -> Result<Vec<Value>> {
        self.write_parents(&File::create(parent_cache.join(our_graph(SIZE).parents_file_name()))?)?;
        let widths = [1, 2, 4];
        let (mut upstream, mut ours) = (vec![], vec![vec![]; widths.len()]);
        for _ in 0..ROUNDS {
            upstream.push(self.upstream()?);
            for (streams, ours) in widths.iter().zip(&mut ours) {
                ours.push(self.ours(*streams)?);
                ensure!(*streams > 1 || self.same_labels(), "the labels differ from upstream's");
            }
        }
        let what = "a label of a 512 MiB layer";
        let mut lines = vec![line(&format!("{what}: upstream"), "ns", &upstream, None)];
        for ((streams, ours), promise) in widths.iter().zip(&ours).zip([1.0, 1.8, 2.3]) {
            lines.push(line(&format!("{what}: ours, streams: {streams}"), "ns", ours, None));
            let what = format!("labels, streams {streams}: upstream to ours, per thread");
            lines.push(line(&what, "x", &ratios(&upstream, ours), Some(promise)));
        }
        Ok(lines)
    }

    /// Writes the parents that are needed where upstream looks for them; the rest of the file is a hole.
    fn write_parents(&self, file: &File) -> Result<()> {
        file.set_len((NODES * PARENTS * 4) as u64)?;
        let bytes: Vec<u8> = self.parents.as_flattened().iter().flat_map(|parent| parent.to_le_bytes()).collect();
        file.write_all_at(&bytes, (self.first * PARENTS * 4) as u64).context("cannot write the parents")
    }

    /// Nanoseconds per label.
    fn upstream(&mut self) -> Result<f64> {
        let mut cache = self.graph.parent_cache()?;
        // Upstream reads its windows in order, and skips none.
        (0..self.first).step_by(WINDOW).try_for_each(|node| cache.read(node as u32).map(drop))?;
        let (previous, current, layer) = (&self.upstream_previous, &mut self.upstream_current, LAYER as usize);
        let seconds = cpu_seconds(|| {
            (self.first..self.first + self.count).try_for_each(|node| {
                create_label_exp(&self.graph, Some(&mut cache), REPLICA_ID, previous, current, layer, node)
            })
        })?;
        Ok(seconds * 1e9 / self.count as f64)
    }

    /// Nanoseconds per label.
    fn ours(&mut self, streams: usize) -> Result<f64> {
        let replica_ids = [[0x0909_0909; 8]; STREAMS];
        let layer = layer(&replica_ids, &self.previous, streams, NODES);
        let current = &mut self.current[..NODES * streams];
        let seconds = cpu_seconds(|| {
            label_nodes(Cpu::detect(), layer, self.first as u64, &self.parents, current);
            Ok(())
        })?;
        Ok(seconds * 1e9 / (self.count * streams) as f64)
    }

    /// Whether the labels of one stream are upstream's.
    fn same_labels(&self) -> bool {
        let theirs = self.upstream_current.as_chunks::<32>().0;
        let range = self.first..self.first + self.count;
        self.current[range.clone()].iter().zip(&theirs[range]).all(|(ours, theirs)| {
            ours.iter().zip(theirs.as_chunks::<4>().0).all(|(word, bytes)| word.to_be_bytes() == *bytes)
        })
    }
}
