//! The tree of nouns and verbs, and the options that all of them share.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    audit, explain, info, params, proving, sched, sealing, sectors, storage, tasks, verify, workers,
};
use crate::context::Context;
use crate::demo;
use crate::error::CommandError;

/// Talk to an sp-cluster: seal sectors, prove them, and see who does what.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 unavailable.
#[derive(Debug, Parser)]
#[command(name = "sp-ctl", version, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    noun: Noun,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where the scheduler listens.
    #[arg(long, global = true, value_name = "URL", env = "SP_CTL_SCHEDULER", default_value = "http://127.0.0.1:1788")]
    pub(crate) scheduler: String,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// List every worker, what it does and how full it is; or decide about one.
    Workers(workers::WorkersNoun),
    /// Say where a task is and why, and for every worker why it is not there.
    Explain(explain::Explain),
    /// Switch kinds of tasks on or off for a worker.
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    /// Show the cluster: epoch, sectors per state, workers per class.
    Info(info::Info),
    /// Sealing workers and the jobs they do.
    #[command(subcommand)]
    Sealing(sealing::Sealing),
    /// Look at the scheduler's decisions afterwards.
    #[command(subcommand)]
    Sched(sched::Sched),
    /// Make sectors, look at them, get their data back.
    #[command(subcommand)]
    Sectors(sectors::Sectors),
    /// Deadlines, proofs of spacetime and the workers that compute them.
    #[command(subcommand)]
    Proving(proving::Proving),
    /// Paths that hold sector files.
    #[command(subcommand)]
    Storage(storage::Storage),
    /// Compare what is said of storage paths with what lies on them, and name what is wrong.
    ///
    /// Looks at the paths that this host can see, and changes nothing: files that are listed and not there, there and not
    /// listed, or of another root or length; finished sectors without the files that prove them; what attempts that are
    /// over have left; space that stays reserved for nobody. What is wrong counts only when two looks a second apart agree.
    /// The exit code is 1 when there is something.
    Audit(audit::Audit),
    /// Proof parameters on this machine (runs sp-verify).
    #[command(disable_help_flag = true)]
    Params(params::Params),
    /// Check a proof with the upstream verifier (runs sp-verify).
    #[command(disable_help_flag = true)]
    Verify(verify::Verify),
    /// Run a whole cluster on this machine: seal, prove, lose workers, recover.
    Demo(demo::Demo),
}

impl Cli {
    pub(crate) async fn run(self) -> Result<(), CommandError> {
        let context = Context::new(self.global);
        match self.noun {
            Noun::Workers(noun) => noun.run(&context).await,
            Noun::Explain(verb) => verb.run(&context).await,
            Noun::Tasks(noun) => noun.run(&context).await,
            Noun::Info(verb) => verb.run(&context).await,
            Noun::Sealing(noun) => noun.run(&context).await,
            Noun::Sched(noun) => noun.run(&context),
            Noun::Sectors(noun) => noun.run(&context).await,
            Noun::Proving(noun) => noun.run(&context).await,
            Noun::Storage(noun) => noun.run(&context).await,
            Noun::Audit(verb) => verb.run(&context).await,
            Noun::Params(verb) => verb.run(&context),
            Noun::Verify(verb) => verb.run(&context),
            Noun::Demo(verb) => verb.run().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_wrapped_program_pass_through() {
        let cli = Cli::parse_from(["sp-ctl", "params", "check", "--sector-size", "2KiB", "--json"]);
        let Noun::Params(params) = cli.noun else { panic!("params expected") };
        assert_eq!(params.arguments(), ["check", "--sector-size", "2KiB", "--json"]);
    }

    #[test]
    fn json_reaches_the_wrapped_program_wherever_it_stands() {
        for line in ["sp-ctl --json params list", "sp-ctl params --json list", "sp-ctl params list --json"] {
            let cli = Cli::parse_from(line.split(' '));
            let Noun::Params(params) = &cli.noun else { panic!("params expected") };
            assert!(cli.global.json || params.arguments().iter().any(|argument| argument == "--json"), "{line}");
        }
        for line in ["sp-ctl --json verify FILE", "sp-ctl verify --json FILE", "sp-ctl verify FILE --json"] {
            let cli = Cli::parse_from(line.split(' '));
            let Noun::Verify(verify) = &cli.noun else { panic!("verify expected") };
            assert!(cli.global.json || verify.arguments().iter().any(|argument| argument == "--json"), "{line}");
            assert!(verify.arguments().iter().any(|argument| argument == "FILE"), "{line}");
        }
    }
}
