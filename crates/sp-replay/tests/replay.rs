//! Recordings of a core in a world where much goes wrong: played again they decide the same, and whatever is changed in
//! them is found.
// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

// The world that the core's own tests run in.
#[path = "../../sp-sched-core/tests/rules/world/mod.rs"]
mod world;

use std::cell::RefCell;
use std::rc::Rc;

use sp_replay::{Ending, Recorder, ReplayError, Report, Start, replay};
use sp_sched_core::Core;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Effect;
use sp_sched_core::event::{Event, Request};
use sp_sched_core::model::UnixMs;
use sp_types::{TaskKind, WorkerId};
use world::{Faults, Happening, Role, World};

type Step = (UnixMs, Event, Vec<Effect>);

/// What happened to a core from here on.
struct Tape {
    start: Start,
    steps: Vec<Step>,
}

impl Tape {
    /// The bytes that a scheduler would have written, and where each record of a step begins.
    fn bytes(&self) -> (Vec<u8>, Vec<usize>) {
        let (mut recorder, mut bytes) = Recorder::begin(&self.start);
        let mut at = vec![];
        for (now, event, effects) in &self.steps {
            at.push(bytes.len());
            bytes.extend(recorder.event(*now, event));
            at.push(bytes.len());
            bytes.extend(recorder.effects(effects));
        }
        (bytes, at)
    }

    fn replay(&self) -> Report {
        replay(&self.bytes().0[..]).unwrap()
    }
}

/// Seals sectors while workers die, lie and repeat themselves; the scheduler's second life is recorded.
fn recorded(seed: u64) -> Tape {
    let mut world = World::new(seed);
    let everything = [
        TaskKind::AddPiece,
        TaskKind::PreCommit1,
        TaskKind::PreCommit2,
        TaskKind::Commit1,
        TaskKind::Commit2,
        TaskKind::Finalize,
    ];
    for name in ["w1", "w2", "w3"] {
        world.add_worker(name, Role::Sealing(everything.to_vec()), |_| {});
    }
    world.answer(Request::Pledge { count: 2, priority: None });
    world.run_for(3_000);
    world.kill_scheduler();
    let (config, rows, now) = (world.config.clone(), world.database.rows(), world.clock());
    let effects = Core::restore(config.clone(), rows.clone(), now).1;
    let steps: Rc<RefCell<Vec<Step>>> = Rc::default();
    let seen = steps.clone();
    world.watcher = Some(Box::new(move |now, event, effects| {
        seen.borrow_mut().push((now, event.clone(), effects.to_vec()));
    }));
    world.start_scheduler();
    let (result_twice, task_fails) = (30, 10);
    world.faults = Faults { result_twice, task_fails, refuse_space: 10, chain_fails: 10, ..Faults::default() };
    world.answer(Request::AddPiece {
        data: SectorData::one(PieceData { data_bytes: 1000, digest: [1; 32], name: "piece".to_owned() }),
        priority: None,
    });
    for _ in 0..20 {
        let ms = world.dice.below(4_000);
        world.run_for(ms);
        misfortune(&mut world);
    }
    world.watcher = None;
    Tape { start: Start { build: "test".to_owned(), config, rows, now, effects }, steps: steps.take() }
}

/// One thing goes wrong, the scheduler itself apart.
fn misfortune(world: &mut World) {
    let at = world.dice.below(world.workers.len() as u64) as usize;
    let worker: WorkerId = world.workers.keys().nth(at).unwrap().clone();
    match world.dice.below(4) {
        0 => {
            world.kill_worker(&worker);
            world.after(2_000, Happening::StartWorker(worker));
        }
        1 => world.lose_index(500),
        2 => {
            world.ask(Request::Abort { id: "1".to_owned(), reason: "a whim".to_owned() });
        }
        _ => {
            world.ask(Request::Cordon { worker: worker.to_string(), cordoned: at == 0 });
        }
    }
}

#[test]
fn a_recording_decides_the_same_again() {
    for seed in 0..8 {
        let tape = recorded(seed);
        let report = tape.replay();
        assert_eq!((report.difference.as_ref(), report.undecided.as_ref()), (None, None), "seed {seed}");
        assert_eq!(report.events, tape.steps.len() as u64);
        let effects: usize = tape.steps.iter().map(|(_, _, effects)| effects.len()).sum();
        assert_eq!(report.effects as usize, effects + tape.start.effects.len());
        assert!(report.events > 200 && report.effects > 200 && report.tasks > 0, "seed {seed} is idle: {report:?}");
        assert_eq!(report.ending, Some(Ending::Open), "nobody closed it");
    }
}

#[test]
fn another_decision_is_shown_from_both_sides() {
    let mut tape = recorded(1);
    let at = tape.steps.iter().position(|(_, _, effects)| effects.len() > 2).unwrap();
    let event = at as u64 + 1;
    let lost = tape.steps[at].2.remove(1);
    let difference = tape.replay().difference.unwrap();
    assert_eq!((difference.event, difference.effect), (event, 2));
    assert_ne!(difference.recorded, difference.replayed);
    let shown = difference.replayed.unwrap();
    assert!(format!("{lost:?}").contains(shown.trim_start_matches("... ").trim_end_matches(" ...")), "{shown}");

    tape.steps[at].2.insert(1, lost);
    let last = tape.steps[at].2.pop().unwrap();
    let difference = tape.replay().difference.unwrap();
    assert!(difference.event == event && difference.recorded.is_none() && difference.replayed.is_some());
    tape.steps[at].2.push(last.clone());
    tape.steps[at].2.push(last);
    let difference = tape.replay().difference.unwrap();
    assert!(difference.event == event && difference.recorded.is_some() && difference.replayed.is_none());
}

#[test]
fn an_event_that_is_missing_or_another_start_is_found() {
    let mut tape = recorded(2);
    let acts = |(_, event, effects): &Step| matches!(event, Event::Result { .. }) && effects.len() > 1;
    let at = tape.steps.iter().position(acts).unwrap();
    tape.steps.remove(at);
    assert!(tape.replay().difference.is_some_and(|d| d.event > at as u64));
    let mut tape = recorded(2);
    tape.start.rows.tasks.clear();
    assert!(tape.replay().difference.is_some());
}

#[test]
fn a_tampered_record_is_found_and_nothing_behind_it_is_believed() {
    let tape = recorded(3);
    let (bytes, at) = tape.bytes();
    // The last byte of the record before: inside its content.
    for record in [1, at.len() / 2, at.len() - 1] {
        let mut tampered = bytes.clone();
        tampered[at[record] - 1] ^= 1;
        let report = replay(&tampered[..]).unwrap();
        let Some(Ending::Damaged { at_byte, .. }) = report.ending else { panic!("{report:?}") };
        assert_eq!(at_byte as usize, at[record - 1]);
        assert!(report.difference.is_none() && report.events as usize <= record.div_ceil(2));
    }
}

#[test]
fn a_torn_tail_is_reported_and_the_rest_is_played() {
    let tape = recorded(4);
    let (bytes, at) = tape.bytes();
    let last = *at.last().unwrap();
    let report = replay(&bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(report.ending, Some(Ending::Torn { bytes: (bytes.len() - 1 - last) as u64 }));
    assert!(report.undecided.is_some(), "the last event was played, its decisions are lost");
    assert_eq!((report.events as usize, report.difference), (tape.steps.len(), None));
    let report = replay(&bytes[..last]).unwrap();
    assert_eq!(report.ending, Some(Ending::Open));
    assert!(report.undecided.is_some_and(|event| !event.is_empty()));
}

#[test]
fn what_cannot_be_played_says_why() {
    assert!(matches!(replay(&b"#!/bin/sh\necho hello"[..]), Err(ReplayError::NotARecording)));
    let (bytes, _) = recorded(5).bytes();
    assert!(matches!(replay(&bytes[..40]), Err(ReplayError::NoStart(_))));
    let closed = {
        let tape = recorded(5);
        let (recorder, mut bytes) = Recorder::begin(&tape.start);
        bytes.extend(recorder.end("the scheduler stopped"));
        bytes
    };
    assert_eq!(replay(&closed[..]).unwrap().ending, Some(Ending::Closed("the scheduler stopped".to_owned())));
}
