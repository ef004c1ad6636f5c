//! `params fetch`: published parameters, brought from a gateway, a web server or a directory.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use proofs_core::params::fetch::{FetchOptions, Fetched, Source, Wanted, fetch};
use serde_json::{Value, json};
use sp_types::ByteSize;

use crate::params::Selection;
use crate::progress::Display;
use crate::say;

#[derive(Args)]
#[command(
    after_help = "Every file is digested while it comes, compared with the published digest, and visible only when \
    it is right. Broken connections go on where they broke; an interrupted fetch goes on when it is run again. The directory must be \
    named, and holds no development parameters. HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are heeded."
)]
pub(crate) struct FetchArgs {
    #[command(flatten)]
    selection: Selection,
    /// Where from: a directory with the files under upstream's names, which are copied, or the URL of a web server over
    /// one [default: the gateway that IPFS_GATEWAY names, else https://proofs.filecoin.io/ipfs/]
    #[arg(long, value_name = "DIR|URL")]
    from: Option<Source>,
    /// Fetch the verifying keys alone, some MiB: all that is needed where proofs are verified and none is made
    #[arg(long)]
    keys_only: bool,
    /// Fetch what this file lists for the sector size; it has the format of upstream's parameters.json
    #[arg(long, value_name = "FILE", conflicts_with = "kinds")]
    manifest: Option<PathBuf>,
}

pub(crate) fn run(args: &FetchArgs) -> anyhow::Result<ExitCode> {
    // Absolute, as it is shown to be used elsewhere.
    let dir = std::path::absolute(args.selection.place.dir()?).context("the directory")?;
    let wanted = wanted(args)?;
    let display = Display::new();
    let options = match &args.from {
        Some(source) => FetchOptions::new(source.clone(), display.every()),
        None => FetchOptions::from_gateway(display.every())?,
    };
    let fetched = fetch(&wanted, &dir, &options, &|progress| display.show_fetch(progress));
    display.done();
    let fetched = fetched?;
    if args.selection.place.json {
        let files: Vec<_> = fetched.iter().map(file_json).collect();
        say(json!({"dir": dir, "from": options.source.to_string(), "files": files}));
        return Ok(ExitCode::SUCCESS);
    }
    for (file, wanted) in fetched.iter().zip(&wanted) {
        let what = if file.fetched { "fetched" } else { "there already" };
        say(format!("{}  {:>10}  {what}", wanted.label, ByteSize(file.length_bytes)));
    }
    say(format!(
        "published parameters are in {0}; name it with --parameters {0} or FIL_PROOFS_PARAMETER_CACHE",
        dir.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The files that are asked for.
fn wanted(args: &FetchArgs) -> anyhow::Result<Vec<Wanted>> {
    let Selection { sector_size, kinds, .. } = &args.selection;
    let mut wanted = match &args.manifest {
        None => Wanted::published(kinds, *sector_size),
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Wanted::from_manifest(&text, *sector_size).with_context(|| format!("{} is no manifest", path.display()))?
        }
    };
    wanted.retain(|file| !args.keys_only || file.name.ends_with(".vk"));
    if wanted.is_empty() {
        bail!(
            "there is nothing to fetch for {sector_size} sectors; `--sector-size` must be one that the manifest lists"
        );
    }
    Ok(wanted)
}

fn file_json(file: &Fetched) -> Value {
    let Fetched { name, path, length_bytes, digest, fetched } = file;
    json!({"name": name, "path": path, "length_bytes": length_bytes, "digest": digest, "fetched": fetched})
}
