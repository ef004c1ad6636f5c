//! `--keep`: the cluster stays; what to try with it, and how to stop it.

use crate::demo::cluster::Cluster;
use crate::error::CommandError;
use crate::{output, sibling};

/// Prints commands that work on this cluster.
pub(in crate::demo) fn show(cluster: &Cluster) -> Result<(), CommandError> {
    let plain = |failure: crate::demo::error::DemoError| failure.into_plain();
    let (scheduler, index) = (cluster.address("scheduler").map_err(plain)?, cluster.address("index").map_err(plain)?);
    let seal = cluster.address("seal-b").map_err(plain)?;
    let program = sibling::path("sp-ctl")?;
    let program = program.display();
    let dir = cluster.dir.display();
    output::print_aside(&format!(
        "\nThe cluster stays up; data and logs are in {dir}\n\
         \n\
         Try:\n\
         \x20 export SP_CTL_SCHEDULER=http://{scheduler}\n\
         \x20 {program} info\n\
         \x20 {program} sealing workers\n\
         \x20 {program} sectors pledge\n\
         \x20 {program} sealing jobs --reasons\n\
         \x20 {program} sectors status 0 --log\n\
         \x20 {program} sectors proof 0 --json | {program} verify -\n\
         \x20 {program} proving compute window-post 0 --json | {program} verify -\n\
         \x20 {program} proving check 0\n\
         \x20 {program} storage list\n\
         \x20 {program} storage find 0\n\
         \n\
         Any gRPC client can ask:\n\
         \x20 grpcurl -plaintext {scheduler} list\n\
         \x20 grpcurl -plaintext {scheduler} describe sp.v1.Scheduler\n\
         \x20 grpcurl -plaintext {scheduler} sp.v1.Scheduler/ListSectors\n\
         \x20 grpcurl -plaintext -d '{{\"number\": 0, \"log\": true}}' {scheduler} sp.v1.Scheduler/SectorStatus\n\
         \x20 grpcurl -plaintext {index} sp.v1.Index/ListStores\n\
         \x20 grpcurl -plaintext {seal} grpc.health.v1.Health/Check\n\
         \n\
         Stop it with:\n\
         \x20 {program} demo --stop {dir}\n"
    ))
}
