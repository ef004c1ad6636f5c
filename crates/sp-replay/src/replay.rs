//! Plays a recording: the same start and the same events to the same core, and whether it decides the same.

use std::io::{self, Read};

use sp_sched_core::Core;
use sp_sched_core::effect::Effect;

use crate::excerpt;
use crate::frame::{Ending, Next, Unframer};
use crate::record::{Record, Start};

/// What playing a recording has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The build that recorded.
    pub build: String,
    /// When the core began.
    pub began_unix_ms: u64,
    /// Sectors that were durable then.
    pub sectors: usize,
    /// Tasks that were durable then.
    pub tasks: usize,
    /// Events played.
    pub events: u64,
    /// Effects compared.
    pub effects: u64,
    /// Time of the last event.
    pub until_unix_ms: u64,
    /// The last event has no decisions: the scheduler ended while the core had it.
    pub undecided: Option<String>,
    /// How the recording ends; none when a difference was found before its end.
    pub ending: Option<Ending>,
    /// The first decision that is not the recorded one.
    pub difference: Option<Difference>,
}

/// A decision that is not the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which event, 1 for the first; 0 is the start.
    pub event: u64,
    /// When it was handed to the core.
    pub at_unix_ms: u64,
    /// The event, in words.
    pub what: String,
    /// Which of its effects, 1 for the first.
    pub effect: usize,
    /// As recorded; none when the recording has no such effect.
    pub recorded: Option<String>,
    /// As played; none when the core wants nothing more.
    pub replayed: Option<String>,
}

/// Why a recording cannot be played at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("the recording cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("this is no recording of a scheduler's events; `sp-scheduler run --record-events FILE` makes one")]
    NotARecording,
    /// There is not even a start.
    #[error("the recording ends before the start of its scheduler is whole: there is nothing to play ({0})")]
    NoStart(String),
    /// Written by a build whose events are others.
    #[error("record {record} means nothing to this build: {reason}; play it with the build that recorded it ({build})")]
    Unknown {
        /// Which record, 1 for the start.
        record: u64,
        /// What is wrong.
        reason: String,
        /// The build that recorded, as far as is known.
        build: String,
    },
}

/// Plays a recording up to its end, or to the first decision that is not the recorded one.
pub fn replay(source: impl Read) -> Result<Report, ReplayError> {
    let mut records = Records::new(source)?;
    let start = match records.next()? {
        Ok(Record::Start(start)) => start.into_owned(),
        Ok(other) => return Err(records.unexpected(&other)),
        Err(ending) => return Err(ReplayError::NoStart(format!("{ending:?}"))),
    };
    records.build.clone_from(&start.build);
    let Start { build, config, rows, now, effects } = start;
    let (sectors, tasks) = (rows.sectors.len(), rows.tasks.len());
    let (core, began) = Core::restore(config, rows, now);
    let report = Report {
        build,
        began_unix_ms: now.0,
        sectors,
        tasks,
        events: 0,
        effects: 0,
        until_unix_ms: now.0,
        undecided: None,
        ending: None,
        difference: None,
    };
    let mut player = Player { core, report };
    if player.agrees(&effects, &began, || "the start".to_owned()) {
        player.play(&mut records)?;
    }
    Ok(player.report)
}

/// The core and what is found.
struct Player {
    core: Core,
    report: Report,
}

impl Player {
    fn play(&mut self, records: &mut Records<impl Read>) -> Result<(), ReplayError> {
        loop {
            let (now, event) = match records.next()? {
                Ok(Record::Event { now, event }) => (now, event.into_owned()),
                Ok(Record::End(reason)) => {
                    self.report.ending = Some(Ending::Closed(reason.into_owned()));
                    return Ok(());
                }
                Ok(other) => return Err(records.unexpected(&other)),
                Err(ending) => {
                    self.report.ending = Some(ending);
                    return Ok(());
                }
            };
            self.report.events += 1;
            self.report.until_unix_ms = now.0;
            let said = event.clone();
            let replayed = self.core.step(now, event);
            let recorded = match records.next()? {
                Ok(Record::Effects(effects)) => effects,
                Ok(other) => return Err(records.unexpected(&other)),
                Err(ending) => {
                    self.report.undecided = Some(excerpt::beginning(&format!("{said:?}")));
                    self.report.ending = Some(ending);
                    return Ok(());
                }
            };
            if !self.agrees(&recorded, &replayed, || format!("{said:?}")) {
                return Ok(());
            }
        }
    }

    /// Compares what came of an event; notes the first difference.
    fn agrees(&mut self, recorded: &[Effect], replayed: &[Effect], what: impl FnOnce() -> String) -> bool {
        let same = recorded.iter().zip(replayed).take_while(|(recorded, replayed)| recorded == replayed).count();
        self.report.effects += same as u64;
        if same == recorded.len() && same == replayed.len() {
            return true;
        }
        let text = |effects: &[Effect]| effects.get(same).map(|effect| format!("{effect:?}"));
        let (recorded, replayed) = match (text(recorded), text(replayed)) {
            (Some(recorded), Some(replayed)) => {
                let (recorded, replayed) = excerpt::around_difference(&recorded, &replayed);
                (Some(recorded), Some(replayed))
            }
            (recorded, replayed) => {
                (recorded.map(|text| excerpt::beginning(&text)), replayed.map(|text| excerpt::beginning(&text)))
            }
        };
        self.report.difference = Some(Difference {
            event: self.report.events,
            at_unix_ms: self.report.until_unix_ms,
            what: excerpt::beginning(&what()),
            effect: same + 1,
            recorded,
            replayed,
        });
        false
    }
}

/// Reads records.
struct Records<R> {
    frames: Unframer<R>,
    read: u64,
    build: String,
}

impl<R: Read> Records<R> {
    fn new(source: R) -> Result<Self, ReplayError> {
        let frames = Unframer::new(source)?.ok_or(ReplayError::NotARecording)?;
        Ok(Self { frames, read: 0, build: "it names itself in the first record".to_owned() })
    }

    /// The next record, or how the recording ends.
    fn next(&mut self) -> Result<Result<Record<'static>, Ending>, ReplayError> {
        let content = match self.frames.next()? {
            Next::Content(content) => content,
            Next::End(ending) => return Ok(Err(ending)),
        };
        self.read += 1;
        rmp_serde::from_slice(&content).map(Ok).map_err(|e| self.unknown(e.to_string()))
    }

    fn unexpected(&self, record: &Record) -> ReplayError {
        let name = match record {
            Record::Start(_) => "a start",
            Record::Event { .. } => "an event",
            Record::Effects(_) => "decisions",
            Record::End(_) => "the end",
        };
        self.unknown(format!("{name} does not belong here"))
    }

    fn unknown(&self, reason: String) -> ReplayError {
        ReplayError::Unknown { record: self.read, reason, build: self.build.clone() }
    }
}
