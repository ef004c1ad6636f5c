//! What is recorded: where the core began, then every event with its time, and what the core wanted done for it.
//!
//! Every record names its fields and variants, so that a new variant of an event needs nothing here, and one that this
//! build does not know is refused by name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sp_sched_core::Config;
use sp_sched_core::effect::Effect;
use sp_sched_core::event::Event;
use sp_sched_core::model::{Rows, UnixMs};

use crate::frame::Framer;

/// Where a core begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The build that recorded.
    pub build: String,
    /// Settings.
    pub config: Config,
    /// What was durable.
    pub rows: Rows,
    /// When.
    pub now: UnixMs,
    /// What the core wanted done at once.
    pub effects: Vec<Effect>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record<'a> {
    /// The first one.
    Start(Box<Cow<'a, Start>>),
    /// Handed to the core. Recorded before, so that an event that the core dies of is there.
    Event { now: UnixMs, event: Cow<'a, Event> },
    /// What came of it.
    Effects(Cow<'a, [Effect]>),
    /// The last one, with the reason.
    End(Cow<'a, str>),
}

/// Turns what happens into the bytes of a recording, in order.
#[derive(Debug)]
pub struct Recorder {
    framer: Framer,
}

impl Recorder {
    /// A recording that begins here, and its first bytes.
    pub fn begin(start: &Start) -> (Self, Vec<u8>) {
        let (framer, mut bytes) = Framer::new();
        let mut recorder = Self { framer };
        bytes.extend(recorder.write(&Record::Start(Box::new(Cow::Borrowed(start)))));
        (recorder, bytes)
    }

    /// An event on its way to the core.
    pub fn event(&mut self, now: UnixMs, event: &Event) -> Vec<u8> {
        self.write(&Record::Event { now, event: Cow::Borrowed(event) })
    }

    /// What the core wants done for the event before.
    pub fn effects(&mut self, effects: &[Effect]) -> Vec<u8> {
        self.write(&Record::Effects(Cow::Borrowed(effects)))
    }

    /// Nothing follows.
    pub fn end(mut self, reason: &str) -> Vec<u8> {
        self.write(&Record::End(Cow::Borrowed(reason)))
    }

    fn write(&mut self, record: &Record) -> Vec<u8> {
        let content =
            rmp_serde::to_vec_named(record).expect("records are plain data: every part of one can be written");
        self.framer.frame(&content).expect("no record is 4 GiB long: the rows of a start are the longest there are")
    }
}
