//! `tasks enable | disable`: which kinds of tasks a worker gets, as `lotus-worker tasks` has it, and for good.

use clap::Subcommand;
use sp_proto::v1;
use sp_proto::v1::TaskKinds;
use sp_proto::v1::edit_worker_request::Edit;
use sp_types::TaskKind;

use crate::commands::workers::change;
use crate::context::Context;
use crate::error::{CommandError, Exit};

#[derive(Debug, Subcommand)]
pub(crate) enum Tasks {
    /// Let a worker take kinds of tasks again.
    Enable(Switch),
    /// Let a worker take no more of these kinds; what runs goes on.
    Disable(Switch),
}

/// Which kinds of tasks of which worker.
#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// Id of the worker, the start of it, or its name.
    #[arg(long, value_name = "WORKER")]
    worker: String,
    /// Every kind that can be switched: AP PC1 PC2 C2 UNS RU PR2 GSK DC.
    #[arg(long, conflicts_with = "kinds")]
    all: bool,
    /// Short codes of the kinds.
    #[arg(value_name = "TASK", value_parser = parse_kind)]
    kinds: Vec<TaskKind>,
}

fn parse_kind(text: &str) -> Result<TaskKind, String> {
    text.parse().map_err(|e: sp_types::UnknownTask| e.to_string())
}

impl Tasks {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let (switch, enabled) = match self {
            Self::Enable(switch) => (switch, true),
            Self::Disable(switch) => (switch, false),
        };
        let kinds = match switch.all {
            true => TaskKind::ALL.into_iter().filter(|k| k.can_be_switched()).collect(),
            false => switch.kinds,
        };
        if kinds.is_empty() {
            return Err(CommandError::new(Exit::Usage, "no task is named".to_owned())
                .hint("name short codes such as PC1, or --all"));
        }
        let names: Vec<&str> = kinds.iter().map(|k| k.short()).collect();
        let result = format!("{} {}", names.join(" "), if enabled { "enabled" } else { "disabled" });
        let kinds = TaskKinds { kinds: kinds.into_iter().map(|k| v1::TaskKind::from(k) as i32).collect() };
        let edit = if enabled { Edit::Enable(kinds) } else { Edit::Disable(kinds) };
        change(context, switch.worker, edit, &result).await
    }
}
