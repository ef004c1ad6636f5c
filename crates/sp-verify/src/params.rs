//! The parameter tools: generate, check, list; the options of all of them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use proofs_core::params::{
    self, Checked, FileReport, Kind, Origin, ParamsError, Report, check, check_structure, default_dir, is_insecure,
};
use serde_json::{Value, json};
use sp_types::{ByteSize, SectorSize};

use crate::progress::Display;
use crate::{fetch, say};

#[derive(Subcommand)]
pub(crate) enum Params {
    /// Make INSECURE development parameters; files that are there and right are kept
    Generate(Selection),
    /// Check that parameters are there, whole and unchanged: exit 0 if all are, 1 otherwise
    ///
    /// Published ones are compared with upstream's digests, development ones with those that every machine makes or that
    /// were recorded when they were made. A digest is published for every kind and size, so parameters that are neither
    /// can be compared with nothing: they do not pass.
    Check(CheckArgs),
    /// List the parameters that are there
    List(Place),
    /// Fetch published parameters: those that are there and right are kept, what has come of others is built on
    Fetch(fetch::FetchArgs),
}

#[derive(Args)]
pub(crate) struct Place {
    /// Directory of the parameters [default: FIL_PROOFS_PARAMETER_CACHE, else the development directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Selection {
    /// Sector size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long)]
    pub(crate) sector_size: SectorSize,
    /// Kinds, separated by commas: porep, window, winning, update
    #[arg(long, value_delimiter = ',', default_value = "window,winning,update,porep")]
    pub(crate) kinds: Vec<Kind>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    selection: Selection,
    /// Look at lengths and keys only, do not digest the files
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(command: &Params) -> anyhow::Result<ExitCode> {
    match command {
        Params::Generate(selection) => generate(selection),
        Params::Check(args) => check_all(args),
        Params::List(place) => list(place),
        Params::Fetch(args) => fetch::run(args),
    }
}

impl Place {
    pub(crate) fn dir(&self) -> Result<PathBuf, ParamsError> {
        self.dir.clone().map_or_else(default_dir, Ok)
    }
}

fn generate(selection: &Selection) -> anyhow::Result<ExitCode> {
    let (size, dir) = (selection.sector_size, selection.place.dir()?);
    let mut reports = Vec::new();
    for kind in &selection.kinds {
        let display = Display::new();
        let report = params::generate(*kind, size, &dir, &|progress| display.show(progress));
        display.done();
        let report = report?;
        if !selection.place.json {
            print_report(&report);
        }
        reports.push(report_json(&report));
    }
    if selection.place.json {
        say(json!({"dir": dir, "insecure": true, "sets": reports}));
    } else {
        say(format!("INSECURE development parameters are in {}", dir.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_report(report: &Report) {
    let made = report.files.iter().filter(|file| file.made).count();
    let bytes = ByteSize(report.files.iter().map(|file| file.length_bytes).sum());
    let what = match made {
        0 => "there already".to_owned(),
        made => format!("{made} of {} files made in {:.1} s", report.files.len(), report.took.as_secs_f64()),
    };
    say(format!("{:<8} {}  {bytes:>10}  {what}", report.kind, report.size));
}

fn report_json(report: &Report) -> Value {
    let file = |file: &FileReport| {
        let FileReport { path, length_bytes, digest, made } = file;
        json!({"path": path, "length_bytes": length_bytes, "digest": digest, "made": made})
    };
    json!({
        "kind": report.kind.name(),
        "sector_size": report.size.name(),
        "constraints": report.constraints,
        "took_ms": report.took.as_millis() as u64,
        "files": report.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn check_all(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let Selection { sector_size, kinds, place } = &args.selection;
    let dir = place.dir()?;
    let look = if args.quick { check_structure } else { check };
    let results: Vec<_> = kinds.iter().map(|kind| (*kind, look(*kind, *sector_size, &dir))).collect();
    let ok = results.iter().all(|(_, result)| problem(result).is_none());
    if place.json {
        let sets: Vec<_> = results.iter().map(|(kind, result)| result_json(*kind, *sector_size, result)).collect();
        say(json!({"dir": dir, "ok": ok, "insecure": is_insecure(&dir), "sets": sets}));
    } else {
        results.iter().for_each(|(kind, result)| print_result(*kind, *sector_size, result));
    }
    Ok(ExitCode::from(u8::from(!ok)))
}

/// What is wrong with a set; none if nothing is.
fn problem(result: &Result<Checked, ParamsError>) -> Option<String> {
    match result {
        Err(error) => Some(error.to_string()),
        Ok(checked) if checked.origin == Origin::Unknown => Some(format!(
            "parameter file {} is neither published nor made by `sp-ctl params generate`: INSECURE, and whether it is whole \
             cannot be told",
            checked.path.display()
        )),
        Ok(_) => None,
    }
}

fn print_result(kind: Kind, size: SectorSize, result: &Result<Checked, ParamsError>) {
    let text = match (problem(result), result) {
        (None, Ok(Checked { layout, origin, .. })) => {
            format!("{:>10}  ok, {}", ByteSize(layout.length_bytes), origin.describe())
        }
        (problem, _) => problem.unwrap_or_default(),
    };
    say(format!("{kind:<8} {size}  {text}"));
}

fn result_json(kind: Kind, size: SectorSize, result: &Result<Checked, ParamsError>) -> Value {
    let problem = problem(result);
    let mut value = json!({"kind": kind.name(), "sector_size": size.name(), "ok": problem.is_none()});
    if let Some(problem) = problem {
        value["error"] = json!(problem);
    }
    if let Ok(checked) = result {
        value["path"] = json!(checked.path);
        value["length_bytes"] = json!(checked.layout.length_bytes);
        value["digest"] = json!(checked.digest);
        value["origin"] = json!(match checked.origin {
            Origin::Published => "published",
            Origin::Development => "development",
            Origin::Unknown => "unknown",
        });
        value["insecure"] = json!(checked.origin.is_insecure());
    }
    value
}

fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let dir = place.dir()?;
    let all = SectorSize::ALL.into_iter().flat_map(|size| Kind::ALL.map(|kind| (kind, size)));
    let found: Vec<_> = all
        .map(|(kind, size)| (kind, size, check_structure(kind, size, &dir)))
        .filter(|(kind, size, result)| {
            // A set that is not there at all is not listed; half of one is, with what is wrong.
            let name = format!("{}.params", params::file_stem(*kind, *size));
            result.is_ok() || dir.join(name).exists()
        })
        .collect();
    if place.json {
        let sets: Vec<_> = found.iter().map(|(kind, size, result)| result_json(*kind, *size, result)).collect();
        say(json!({"dir": dir, "insecure": is_insecure(&dir), "sets": sets}));
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("{}{}", dir.display(), if is_insecure(&dir) { " (INSECURE development parameters)" } else { "" }));
    found.iter().for_each(|(kind, size, result)| print_result(*kind, *size, result));
    if found.is_empty() {
        say("no parameters; `sp-ctl params generate --sector-size 2KiB` makes development ones");
    }
    Ok(ExitCode::SUCCESS)
}
