//! `sched replay FILE`: the events of a recording, fed to the same core; says whether it decides the same.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use serde::Serialize;
use sp_replay::{Difference, Ending, Report};

use crate::context::Context;
use crate::error::CommandError;
use crate::layout;

/// Feed a recording (`sp-scheduler run --record-events FILE`) to the same core and compare every decision. No scheduler
/// is asked. Exit code 1 when a decision differs or the recording is damaged; a torn tail is reported and ignored.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The recording.
    file: PathBuf,
}

/// What was found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Found {
    identical: bool,
    build: String,
    began_unix_ms: u64,
    until_unix_ms: u64,
    sectors: usize,
    tasks: usize,
    events: u64,
    effects: u64,
    /// closed, open, torn, damaged, or not reached.
    ending: &'static str,
    ending_detail: String,
    /// The event that the scheduler ended with before its decisions were recorded.
    undecided: Option<String>,
    difference: Option<Differs>,
}

#[derive(Debug, Serialize)]
struct Differs {
    event: u64,
    at_unix_ms: u64,
    what: String,
    effect: usize,
    recorded: Option<String>,
    replayed: Option<String>,
}

impl Replay {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let shown = self.file.display();
        let opened = File::open(&self.file).map_err(anyhow::Error::from);
        let file = opened.map_err(|e| CommandError::failed(e).context(format!("cannot open {shown}")))?;
        let report = sp_replay::replay(BufReader::with_capacity(1 << 20, file));
        let report = report.map_err(|e| CommandError::failed(anyhow::Error::from(e)).context(shown.to_string()))?;
        let found = Found::from(report);
        context.show(&found, |_| text(&found))?;
        if found.difference.is_some() {
            return Err(CommandError::failed("the decisions are not the recorded ones")
                .hint("is this the build that recorded? then the core is not a pure function of its events: a bug"));
        }
        if found.ending == "damaged" {
            return Err(CommandError::failed("the recording is damaged; only what is before the damage was played"));
        }
        Ok(())
    }
}

impl From<Report> for Found {
    fn from(report: Report) -> Self {
        let Report {
            build,
            began_unix_ms,
            sectors,
            tasks,
            events,
            effects,
            until_unix_ms,
            undecided,
            ending,
            difference,
        } = report;
        let (ending, ending_detail) = match ending {
            None => ("not reached", String::new()),
            Some(Ending::Closed(reason)) => ("closed", reason),
            Some(Ending::Open) => ("open", "the scheduler was killed, or records still".to_owned()),
            Some(Ending::Torn { bytes }) => ("torn", format!("the last {bytes} bytes are no whole record; ignored")),
            Some(Ending::Damaged { at_byte, reason }) => {
                ("damaged", format!("the record at byte {at_byte} is damaged: {reason}"))
            }
        };
        Self {
            identical: difference.is_none() && ending != "damaged",
            build,
            began_unix_ms,
            until_unix_ms,
            sectors,
            tasks,
            events,
            effects,
            ending,
            ending_detail,
            undecided,
            difference: difference.map(Differs::from),
        }
    }
}

impl From<Difference> for Differs {
    fn from(difference: Difference) -> Self {
        let Difference { event, at_unix_ms, what, effect, recorded, replayed } = difference;
        Self { event, at_unix_ms, what, effect, recorded, replayed }
    }
}

fn text(found: &Found) -> String {
    let Found { build, sectors, tasks, events, effects, .. } = found;
    let lasted = layout::go_duration(found.until_unix_ms.saturating_sub(found.began_unix_ms));
    let mut text =
        format!("recorded by build {build}, from {} on, {lasted} long\n", layout::local_date_time(found.began_unix_ms));
    text += &format!("began with {sectors} sectors and {tasks} tasks\n");
    text += &match &found.difference {
        None => format!("{events} events, {effects} decisions: identical\n"),
        Some(difference) => different(difference, *events, *effects),
    };
    if let Some(event) = &found.undecided {
        text += &format!("the decisions of the last event were not recorded: {event}\n");
    }
    if !found.ending_detail.is_empty() {
        text += &format!("end: {}: {}\n", found.ending, found.ending_detail);
    }
    text
}

fn different(difference: &Differs, events: u64, effects: u64) -> String {
    let Differs { event, at_unix_ms, what, effect, recorded, replayed } = difference;
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing more".to_owned());
    format!(
        "{effects} decisions of {events} events are identical, then\nFIRST DIFFERENCE: event {event} at {}, decision {effect}\n  \
         event:    {what}\n  recorded: {}\n  replayed: {}\n",
        layout::local_date_time(*at_unix_ms),
        side(recorded),
        side(replayed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            build: "1".into(),
            began_unix_ms: 1_000,
            sectors: 2,
            tasks: 3,
            events: 17,
            effects: 40,
            until_unix_ms: 62_000,
            undecided: None,
            ending: Some(Ending::Torn { bytes: 9 }),
            difference: None,
        }
    }

    #[test]
    fn what_is_the_same_and_how_it_ends_is_said() {
        let found = Found::from(report());
        assert!(found.identical);
        let text = text(&found);
        assert!(text.contains("17 events, 40 decisions: identical\n"), "{text}");
        assert!(text.ends_with("end: torn: the last 9 bytes are no whole record; ignored\n"), "{text}");
        let damaged = Ending::Damaged { at_byte: 9, reason: "x".into() };
        assert!(!Found::from(Report { ending: Some(damaged), ..report() }).identical);
    }

    #[test]
    fn both_sides_of_a_difference_are_shown() {
        let difference = Difference {
            event: 17,
            at_unix_ms: 62_000,
            what: "Wake".into(),
            effect: 2,
            recorded: Some("Stop".into()),
            replayed: None,
        };
        let found = Found::from(Report { ending: None, difference: Some(difference), ..report() });
        let text = text(&found);
        assert!(!found.identical && text.contains("event 17 at "), "{text}");
        assert!(text.ends_with("event:    Wake\n  recorded: Stop\n  replayed: nothing more\n"), "{text}");
    }
}
