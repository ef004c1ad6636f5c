//! Layer files against upstream's labels, for every version, size, instruction set and width; and what resuming believes.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use filecoin_hashers::poseidon::PoseidonHasher;
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_porep::stacked::StackedBucketGraph;
use storage_proofs_porep::stacked::create_label::single::{create_label, create_label_exp};
use tempfile::TempDir;

use super::files::layer_path;
use super::*;
use crate::kernels::Cpu;

/// Upstream's labels of all layers, without a parents file.
fn upstream(graph: &TestGraph, layers: usize, replica_id: [u8; 32]) -> Vec<Vec<u8>> {
    let version = match graph.version {
        GraphVersion::V1 => ApiVersion::V1_0_0,
        GraphVersion::V1_1 => ApiVersion::V1_1_0,
    };
    let (nodes, degrees) = (graph.nodes as usize, (BASE_PARENTS, EXPANDER_PARENTS));
    let theirs =
        StackedBucketGraph::<PoseidonHasher>::new_stacked(nodes, degrees.0, degrees.1, graph.porep_id, version)
            .unwrap();
    let mut all: Vec<Vec<u8>> = Vec::new();
    for number in 1..=layers {
        let mut labels = vec![0; nodes * 32];
        for node in 0..nodes {
            match all.last() {
                None => create_label(&theirs, None, replica_id, &mut labels, number, node).unwrap(),
                Some(before) => {
                    create_label_exp(&theirs, None, replica_id, before, &mut labels, number, node).unwrap();
                }
            }
        }
        all.push(labels);
    }
    all
}

struct TestGraph {
    nodes: u64,
    porep_id: [u8; 32],
    version: GraphVersion,
}

/// Sectors of one group, each with a directory.
struct Group {
    dir: PathBuf,
    _removed: Option<TempDir>,
    graph: Graph,
    parents: ParentsFile,
    layers: usize,
    replica_ids: Vec<[u8; 32]>,
}

impl Group {
    fn new(graph: &TestGraph, layers: usize, streams: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let group = Self::at(dir.path(), graph, layers, streams);
        Self { _removed: Some(dir), ..group }
    }

    /// In a directory that may hold an earlier run.
    fn at(dir: &Path, graph: &TestGraph, layers: usize, streams: usize) -> Self {
        let graph = Graph::new(graph.nodes, graph.porep_id, graph.version);
        let parents = make_parents(&graph, Cpu::detect(), dir).unwrap();
        let replica_ids = (0..streams).map(|stream| [9 + stream as u8; 32]).collect();
        let group = Self { dir: dir.to_owned(), _removed: None, graph, parents, layers, replica_ids };
        (0..streams).for_each(|stream| fs::create_dir_all(group.cache(stream)).unwrap());
        group
    }

    fn cache(&self, stream: usize) -> PathBuf {
        self.dir.join(format!("cache-{stream}"))
    }

    fn journal(&self, stream: usize) -> PathBuf {
        self.dir.join(format!("journal-{stream}"))
    }

    fn label(&self, cpu: Cpu) -> Result<(), FileError> {
        let paths: Vec<_> = (0..self.replica_ids.len()).map(|s| (self.cache(s), self.journal(s))).collect();
        let sectors: Vec<_> = paths
            .iter()
            .zip(&self.replica_ids)
            .map(|((cache, journal), id)| GroupSector { replica_id: *id, cache, journal })
            .collect();
        label_group(cpu, &self.graph, &self.parents, self.layers, &sectors)
    }

    fn layer(&self, stream: usize, layer: usize) -> Vec<u8> {
        fs::read(layer_path(&self.cache(stream), layer)).unwrap()
    }
}

/// Labels a group on every instruction set of `cpus` and compares every file.
fn same_as_upstream(graph: &TestGraph, layers: usize, widths: &[usize], cpus: &[Cpu]) {
    let most = widths.iter().copied().max().unwrap();
    let known: Vec<_> = (0..most).map(|stream| upstream(graph, layers, [9 + stream as u8; 32])).collect();
    for cpu in cpus {
        for streams in widths {
            let group = Group::new(graph, layers, *streams);
            group.label(*cpu).unwrap();
            for (stream, known) in known.iter().take(*streams).enumerate() {
                for (i, known) in known.iter().enumerate() {
                    let text = format!("layer {} of {stream} of {streams}, {} nodes, {cpu}", i + 1, graph.nodes);
                    assert!(group.layer(stream, i + 1) == *known, "{text}");
                }
            }
        }
    }
}

const VERSIONS: [GraphVersion; 2] = [GraphVersion::V1, GraphVersion::V1_1];

/// The instruction sets that labels know.
fn label_cpus() -> [Cpu; 2] {
    [Cpu::detect(), Cpu::PORTABLE]
}

/// 2, 4, 16 and 32 KiB: every version, width and instruction set.
#[test]
fn layers_of_small_sectors_are_upstreams() {
    for nodes in [64, 128, 512, 1024] {
        for version in VERSIONS {
            same_as_upstream(&TestGraph { nodes, porep_id: [7; 32], version }, 3, &[1, 2, 3, 4], &label_cpus());
        }
    }
}

#[test]
fn layers_of_8_mib_are_upstreams() {
    let graph = TestGraph { nodes: 1 << 18, porep_id: [6; 32], version: GraphVersion::V1_1 };
    same_as_upstream(&graph, 2, &[1, 2], &[Cpu::detect()]);
}

#[test]
#[ignore = "minutes; make test-long runs it"]
fn layers_of_8_mib_are_upstreams_in_every_way() {
    for version in VERSIONS {
        let graph = TestGraph { nodes: 1 << 18, porep_id: [6; 32], version };
        same_as_upstream(&graph, 2, &[1, 2, 3, 4], &label_cpus());
    }
}

/// Upstream's own known answers: the last label of 11 layers (`storage-proofs-porep`, `create_label/multi.rs`).
#[test]
fn known_answers() {
    let (v1, v1_1) = ((GraphVersion::V1, [0; 32]), (GraphVersion::V1_1, [123; 32]));
    let known: [(u64, _, [u64; 4]); 4] = [
        (64, v1, [0xd3fa_a96b_9a0f_ba04, 0xea81_a283_d106_485e, 0xe3d5_1b9a_fa5a_c2b3, 0x0462_f4f4_f1a6_8d37]),
        (128, v1, [0x7e19_1e52_c4a8_da86, 0x5ae8_a1c9_e6fa_c148, 0xce23_9f3b_88a8_94b8, 0x234c_00d1_dc1d_53be]),
        (64, v1_1, [0xabb3_f38b_b70d_efcf, 0x777a_2e4d_7769_119f, 0x3448_959d_4954_90bc, 0x0602_1188_c7a7_1cb5]),
        (128, v1_1, [0x22ab_81cf_68c4_676d, 0x7a77_a82f_c7c9_c189, 0xc6c0_3d32_c1e4_2d23, 0x0f77_7c18_cc2c_55bd]),
    ];
    for (nodes, (version, porep_id), limbs) in known {
        for cpu in label_cpus() {
            let group = Group::new(&TestGraph { nodes, porep_id, version }, 11, 1);
            group.label(cpu).unwrap();
            let last: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
            assert_eq!(*group.layer(0, 11).last_chunk::<32>().unwrap(), *last, "{nodes} nodes, {version:?}, {cpu}");
        }
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// Damages layer 3 of 5 in one of two sectors in every way that a crash or a disk may, and labels again.
#[test]
fn resuming_believes_only_what_the_journal_and_the_file_agree_on() {
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Damage); 7] = [
        ("missing", |layer, _| fs::remove_file(layer).unwrap()),
        ("preallocated", |layer, _| fs::write(layer, [0; 512 * 32]).unwrap()),
        ("cut off", |layer, _| fs::File::options().write(true).open(layer).unwrap().set_len(511 * 32).unwrap()),
        ("too long", |layer, _| fs::File::options().write(true).open(layer).unwrap().set_len(513 * 32).unwrap()),
        ("flipped", |layer, _| {
            let mut bytes = fs::read(layer).unwrap();
            bytes[5000] ^= 1;
            fs::write(layer, bytes).unwrap();
        }),
        ("not in the journal", |_, journal| {
            let text = fs::read_to_string(journal).unwrap();
            fs::write(journal, &text[..text.find("layer 3").unwrap() + 20]).unwrap();
        }),
        ("wrong in the journal", |_, journal| {
            let text = fs::read_to_string(journal).unwrap();
            let at = text.find("layer 3").unwrap() + 10;
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            fs::write(journal, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
        }),
    ];
    let graph = TestGraph { nodes: 512, porep_id: [7; 32], version: GraphVersion::V1_1 };
    let group = Group::new(&graph, 5, 2);
    group.label(Cpu::detect()).unwrap();
    let good: Vec<_> = (0..2).flat_map(|stream| (1..=5).map(move |layer| (stream, layer))).collect();
    let good: Vec<_> = good.into_iter().map(|(s, l)| (s, l, group.layer(s, l))).collect();
    for (what, damage) in damages {
        let inodes = |layer| [0, 1].map(|stream| inode(&layer_path(&group.cache(stream), layer)));
        let (believed, redone) = (inodes(2), inodes(4));
        damage(&layer_path(&group.cache(1), 3), &group.journal(1));
        group.label(Cpu::detect()).unwrap();
        for (stream, layer, bytes) in &good {
            assert!(group.layer(*stream, *layer) == *bytes, "{what}: layer {layer} of sector {stream}");
        }
        assert_eq!(believed, inodes(2), "{what}: layer 2 was made again");
        assert_ne!(redone, inodes(4), "{what}: layer 4 was not made again");
    }
    let before = inode(&layer_path(&group.cache(0), 5));
    group.label(Cpu::detect()).unwrap();
    assert_eq!(before, inode(&layer_path(&group.cache(0), 5)), "all layers were sound");
}

#[test]
fn a_layer_that_cannot_be_written_ends_the_group() {
    let graph = TestGraph { nodes: 512, porep_id: [7; 32], version: GraphVersion::V1_1 };
    let group = Group::new(&graph, 3, 1);
    fs::create_dir(layer_path(&group.cache(0), 1)).unwrap();
    let error = group.label(Cpu::detect()).unwrap_err();
    assert!(error.path.ends_with("sc-02-data-layer-1.dat"), "{error}");
}

/// A process is killed again and again amidst its layers, and started again where it was; each is killed later.
#[test]
fn a_killed_group_goes_on() {
    const DIR: &str = "SP_TEST_GROUP_DIR";
    let graph = TestGraph { nodes: 1 << 15, porep_id: [7; 32], version: GraphVersion::V1_1 };
    if let Some(dir) = env::var_os(DIR) {
        return Group::at(Path::new(&dir), &graph, 6, 2).label(Cpu::detect()).unwrap();
    }
    let known = Group::new(&graph, 6, 2);
    known.label(Cpu::detect()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let name = "kernels::sdr::tests::a_killed_group_goes_on";
    let mut killed = 0;
    for round in 1.. {
        let mut child = Command::new(env::current_exe().unwrap());
        let mut child = child.args([name, "--exact"]).env(DIR, dir.path()).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(30 * round));
        let finished = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let Some(status) = finished else {
            killed += 1;
            continue;
        };
        assert!(status.success());
        break;
    }
    assert!(killed > 0, "it was never killed");
    let group = Group::at(dir.path(), &graph, 6, 2);
    for (stream, layer) in (0..2).flat_map(|stream| (1..=6).map(move |layer| (stream, layer))) {
        assert!(group.layer(stream, layer) == known.layer(stream, layer), "layer {layer} of {stream}");
    }
}
