//! The operator of a day: has the sectors of the shelf taken over, and a few more sealed now and then.

use std::time::Duration;

use sp_net::Env;
use sp_proto::v1;
use tonic::Status;

use super::{Day, shelf};
use crate::operator::{answer, pledge, scheduler};
use crate::rng::Rng;
use crate::stage::Stage;

/// What is refused is tried again after this long: a path is attached before what lies in it is known.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two sectors that are to be sealed, s.
const PLEDGES_S: (u64, u64) = (20, 150);

/// Works for ever.
pub(crate) async fn run(env: Env, day: Day, stage: Stage) {
    let mut seed = [0; 8];
    env.entropy.fill(&mut seed);
    let mut rng = Rng::new(u64::from_le_bytes(seed), "pledges", 0);
    let sectors = day.partitions.iter().flat_map(|partition| &partition.sectors);
    let mut left: Vec<u64> = sectors.map(|(number, _)| *number).collect();
    while let Some(sector) = left.last().copied() {
        match import(&env, sector).await {
            Ok(()) => drop(left.pop()),
            Err(status) => {
                tracing::info!(sector, %status, "not taken over yet");
                env.clock.sleep(AGAIN).await;
            }
        }
    }
    stage.watch.note("operator: all sectors are taken over");
    for _ in 0..day.pledges {
        env.clock.sleep(Duration::from_secs(rng.range(PLEDGES_S.0, PLEDGES_S.1))).await;
        // A sector less matters to nobody.
        let _ = pledge(&env, &stage.watch).await;
    }
    std::future::pending().await
}

async fn import(env: &Env, number: u64) -> Result<(), Status> {
    let comm_r = shelf::seal(number).comm_r();
    let request = v1::ImportSectorRequest { number, comm_r, ..Default::default() };
    answer(env, scheduler(env)?.import_sector(request)).await.map(drop)
}
