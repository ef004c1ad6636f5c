//! Tens of thousands of crashes: at every call of the disk while replicas are published, replaced, brought back, moved and
//! deleted and manifests are written, with many choices of what of the unsynced writes survives; and again at every call of
//! the recovery. Nothing acknowledged is lost, nothing half is visible, and nothing is left over.

use super::*;
use crate::disk::Loss;
use crate::receiver::{Missing, Receiver};

/// Crashes that are asked for.
const POINTS_MIN: usize = 30_000;

/// Choices of what survives one crash, at most; there are fewer where little is unsynced.
const CHOICES_MAX: u64 = 10;

/// The same of a crash of the recovery, of which there are very many more: one of so many calls is chosen, another one after
/// each call of the steps.
const CHOICES_OF_RECOVERY_MAX: u64 = 2;
const RECOVERY_STRIDE: usize = 71;

/// What happens to two stores, each step either before or after a crash as far as anybody can see.
struct Script {
    name: &'static str,
    exchange: bool,
    /// Attempts that the worker still has when it is started again.
    keep: &'static [&'static str],
    steps: &'static [Step],
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The attempt publishes sealed and cache in the first store.
    Publish(&'static str),
    /// Nobody needs what the attempt has left.
    Discard(&'static str),
    /// The result of the attempt does not count.
    Restore(&'static str),
    /// A copy comes to the second store.
    Copy(FileKind),
    /// The replica in the first store goes.
    Delete(FileKind),
    /// A file without a manifest gets one.
    Adopt,
    /// `sectorstore.json` of the first store is written anew.
    Describe(u64),
}

const PUBLISH: &[Step] = &[Step::Publish("1.1"), Step::Discard("1.1"), Step::Publish("2.1"), Step::Discard("2.1")];
const TAKE_BACK: &[Step] = &[Step::Publish("1.1"), Step::Discard("1.1"), Step::Publish("2.1"), Step::Restore("2.1")];
const MOVE: &[Step] = &[
    Step::Publish("1.1"),
    Step::Copy(FileKind::Sealed),
    Step::Copy(FileKind::Cache),
    Step::Delete(FileKind::Sealed),
    Step::Delete(FileKind::Cache),
];
const MANIFESTS: &[Step] = &[Step::Adopt, Step::Describe(7), Step::Publish("1.1"), Step::Describe(8)];

/// The attempts that have their outputs in the first store's work directories, and the one that copies.
const MAKERS: [(&str, u8); 2] = [("1.1", 1), ("2.1", 2)];
const MOVER: &str = "3.1";

const SCRIPTS: &[Script] = &[
    Script { name: "publish", exchange: true, keep: &[], steps: PUBLISH },
    Script { name: "publish without exchange", exchange: false, keep: &[], steps: PUBLISH },
    Script { name: "publish, and go on after a kill", exchange: true, keep: &["1.1", "2.1"], steps: PUBLISH },
    Script { name: "take back", exchange: true, keep: &["2.1"], steps: TAKE_BACK },
    Script { name: "take back without exchange", exchange: false, keep: &["2.1"], steps: TAKE_BACK },
    Script { name: "move", exchange: true, keep: &[], steps: MOVE },
    Script { name: "move, and go on after a kill", exchange: true, keep: &[MOVER], steps: MOVE },
    Script { name: "manifests", exchange: true, keep: &[], steps: MANIFESTS },
];

/// What anybody can see: kind and root of every replica in the first and in the second store, and the first one's weight.
type Visible = (Vec<(FileKind, [u8; 32])>, Vec<(FileKind, [u8; 32])>, u64);

/// Both stores, open.
struct World {
    disk: MemDisk,
    first: Store,
    second: Store,
}

impl World {
    fn open(disk: &MemDisk, keep: &[&str]) -> Result<Self, StoreError> {
        let keep: BTreeSet<_> = keep.iter().map(|text| attempt(text)).collect();
        let open = |root: &str| Store::open_as(Arc::new(disk.clone()), Path::new(root), "w1", &keep);
        Ok(Self { disk: disk.clone(), first: open(ROOT)?, second: open("/second")? })
    }

    fn visible(&self) -> Visible {
        let replicas = |store: &Store| {
            let found = store.replicas().unwrap();
            found.iter().filter(|info| info.id.root != [0; 32]).for_each(|info| store.verify(&info.id).unwrap());
            found.into_iter().map(|info| (info.id.kind, info.id.root)).collect()
        };
        (replicas(&self.first), replicas(&self.second), self.first.meta().weight)
    }

    /// Nothing lies there but what is visible, and the work of those who go on.
    fn assert_tidy(&self, keep: &[&str]) {
        for store in [&self.first, &self.second] {
            let (layout, found) = (store.layout(), store.replicas().unwrap());
            let names = |path: &Path| self.disk.list(path).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>();
            assert!(names(&layout.journal_dir()).is_empty());
            for dir in [layout.work_dir(), layout.owners_dir()] {
                let left: Vec<_> = names(&dir).into_iter().filter(|name| !keep.contains(&name.as_str())).collect();
                assert!(left.is_empty(), "{left:?} in {}", dir.display());
            }
            for kind in FileKind::ALL {
                let there: Vec<_> = found.iter().filter(|info| info.id.kind == kind).collect();
                let manifests = there.iter().filter(|info| info.id.root != [0; 32]).count() * 2;
                assert_eq!(names(&layout.manifest_dir(kind)).len(), manifests, "manifests of {kind}");
                let files = names(&layout.kind_dir(kind)).into_iter().filter(|name| name != "fetching").count();
                assert_eq!(files, there.len(), "{kind}");
            }
        }
    }

    fn take(&self, step: Step) -> Result<(), StoreError> {
        let id = |kind| -> Result<_, StoreError> {
            let missing = StoreError::Missing { sector: SECTOR, kind };
            Ok(self.first.find(SECTOR, kind)?.ok_or(missing)?.id)
        };
        match step {
            Step::Publish(maker) => drop(self.first.publish(attempt(maker), &OUTPUTS)?),
            Step::Discard(maker) => self.first.discard(attempt(maker))?,
            Step::Restore(maker) => drop(self.first.restore(attempt(maker), &[])?),
            Step::Copy(kind) => self.copy(&id(kind)?)?,
            Step::Delete(kind) => drop(self.first.delete(&id(kind)?)?),
            Step::Adopt => drop(self.first.manifest(&id(FileKind::Unsealed)?)?),
            Step::Describe(weight) => {
                let meta = StoreMeta { weight, ..(*self.first.meta()).clone() };
                meta.write(&self.disk, &self.first.layout().meta())?;
                self.first.reload(&BTreeSet::new())?;
            }
        }
        Ok(())
    }

    fn copy(&self, from: &ReplicaId) -> Result<(), StoreError> {
        let work = self.second.work(attempt(MOVER))?;
        let refused = |error| match error {
            crate::receiver::ReceiveError::Store(error) => error,
            other => panic!("{other}"),
        };
        let receiver = Receiver::open(&work, SECTOR, self.first.manifest(from)?).map_err(refused)?;
        for Missing { name, offset, .. } in receiver.missing() {
            let chunk = self.first.read_chunk(from, &name, offset)?;
            receiver.write(&name, offset, &chunk).map_err(refused)?;
        }
        self.second.publish_outputs(attempt(MOVER), &[receiver.finish().map_err(refused)?])?;
        Ok(())
    }
}

impl Script {
    /// The disk before the first step.
    fn prepare(&self) -> MemDisk {
        let disk = MemDisk::default();
        if !self.exchange {
            disk.without_exchange();
        }
        for root in [ROOT, "/second"] {
            let id = StoreId::new(format!("id-{}", root.trim_matches('/'))).unwrap();
            Store::create(&disk, Path::new(root), &StoreMeta::new(&id, true, true)).unwrap();
        }
        let world = World::open(&disk, &[]).unwrap();
        if self.steps.iter().any(|step| matches!(step, Step::Adopt)) {
            let path = world.first.replica_path(SECTOR, FileKind::Unsealed);
            write(&disk, &path, &[9; 6000]);
            disk.open(&path).unwrap().sync().unwrap();
            disk.sync_dir(path.parent().unwrap()).unwrap();
        }
        for (maker, fill) in MAKERS {
            make_outputs(&disk, &world.first, attempt(maker), fill);
        }
        disk
    }

    /// The disk after so many calls, and how many of the steps were acknowledged by then.
    fn run(&self, start: &MemDisk, calls: u64) -> (MemDisk, usize) {
        let disk = start.fork();
        let world = World::open(&disk, &["1.1", "2.1"]).unwrap();
        disk.fail_after(calls);
        let done = self.steps.iter().take_while(|step| world.take(**step).is_ok()).count();
        (disk, done)
    }

    /// What is visible after each number of steps, if nothing goes wrong.
    fn course(&self, start: &MemDisk) -> Vec<Visible> {
        let world = World::open(&start.fork(), &["1.1", "2.1"]).unwrap();
        let mut course = vec![world.visible()];
        for step in self.steps {
            world.take(*step).unwrap();
            course.push(world.visible());
        }
        course
    }

    /// After a crash: everything acknowledged is there, and the next step has happened or it has not.
    fn check(&self, disk: &MemDisk, course: &[Visible], done: usize) {
        let world = World::open(disk, self.keep).unwrap();
        let visible = world.visible();
        let allowed = &course[done..(done + 2).min(course.len())];
        assert!(allowed.contains(&visible), "after {done} steps: {visible:?}, not one of {allowed:?}");
        world.assert_tidy(self.keep);
    }

    /// Every crash there is in this script; gives how many.
    fn crash_everywhere(&self) -> (usize, usize) {
        let start = self.prepare();
        let course = self.course(&start);
        let (mut of_steps, mut of_recovery) = (0, 0);
        for calls in 0.. {
            let (disk, done) = self.run(&start, calls);
            for (loss, crashed) in crashes(&disk, CHOICES_MAX) {
                self.checked(&crashed, &course, done, &format!("call {calls}, {loss:?}"));
                of_steps += 1;
            }
            disk.crash(Loss::Nothing);
            of_recovery += self.crash_in_recovery(&disk, &course, done, calls);
            if done == self.steps.len() {
                return (of_steps, of_recovery);
            }
        }
        unreachable!("it ends with its last step")
    }

    /// The process has died, and then, while it starts again, the machine.
    fn crash_in_recovery(&self, dead: &MemDisk, course: &[Visible], done: usize, calls: u64) -> usize {
        let mut points = 0;
        for second in (calls % RECOVERY_STRIDE as u64..).step_by(RECOVERY_STRIDE) {
            let disk = dead.fork();
            disk.fail_after(second);
            let recovered = World::open(&disk, self.keep).is_ok();
            for (loss, crashed) in crashes(&disk, CHOICES_OF_RECOVERY_MAX) {
                let place = format!("call {calls}, call {second} of the recovery, {loss:?}");
                self.checked(&crashed, course, done, &place);
                points += 1;
            }
            if recovered {
                break;
            }
        }
        points
    }

    fn checked(&self, disk: &MemDisk, course: &[Visible], done: usize, place: &str) {
        let checking = std::panic::AssertUnwindSafe(|| self.check(disk, course, done));
        if let Err(panic) = std::panic::catch_unwind(checking) {
            println!("{}: {place}", self.name);
            std::panic::resume_unwind(panic);
        }
    }
}

/// The disk after each crash that it may have now, every two of them different.
fn crashes(disk: &MemDisk, choices_max: u64) -> Vec<(Loss, MemDisk)> {
    let mut seen = BTreeSet::new();
    let losses = [Loss::Nothing, Loss::Unsynced].into_iter().chain((0..choices_max).map(Loss::Some));
    let crashed = losses.map(|loss| {
        let disk = disk.fork();
        disk.crash(loss);
        (loss, disk)
    });
    crashed.filter(|(_, disk)| seen.insert(disk.fingerprint())).collect()
}

#[test]
fn thirty_thousand_crashes_lose_nothing_and_show_nothing_half() {
    let mut points = 0;
    for script in SCRIPTS {
        let (of_steps, of_recovery) = script.crash_everywhere();
        println!("{}: {of_steps} crashes, {of_recovery} of the recovery", script.name);
        points += of_steps + of_recovery;
    }
    println!("{points} crash points");
    assert!(points >= POINTS_MIN, "only {points} crash points");
}
