//! What a winning PoSt takes beyond the proving call, from the request to the verified proof.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sp_tests::figures::{Line, Promise, Table, percentile};
use sp_tests::{Role, shelf, wait};
use tokio::runtime::Runtime;

use crate::field::{Field, Judge};
use crate::options::Options;

const WORKER: &str = "winner";

/// Requests that warm everything.
const WARM: usize = 3;

/// Has the executor say what its proving call took, and keeps upstream quiet.
const LOG: (&str, &str) = ("SP_LOG", "sp_executor=info,sp_worker=info");

/// Promised of everything but the proving call.
const REST_MS: f64 = 100.0;

/// A line is in the log by then.
const LOGGED: Duration = Duration::from_secs(10);

/// Measures and prints.
pub(crate) fn measure(options: &Options, runtime: &Runtime, table: &mut Table) -> Result<()> {
    let requests = options.winning;
    table.heading(&format!(
        "winning PoSt, {requests} requests one after another over gRPC, hot; from the request to the proof that the \
         verifier has seen"
    ));
    let mut field = Field::start(runtime, Judge::Real)?;
    field.cluster.add(WORKER, Role::Winning, vec![], vec![(LOG.0.into(), LOG.1.into())])?;
    field.cluster.wait_for_workers(2)?;
    shelf::take_over(&field.cluster, 0..2)?;
    let (mut whole, mut calls, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for request in 0..WARM + requests {
        let asked = Instant::now();
        field.win()?;
        let took_ms = asked.elapsed().as_secs_f64() * 1e3;
        let call_ms = proving_ms(&field, request)?;
        if request >= WARM {
            whole.push(took_ms);
            calls.push(call_ms);
            rest.push(took_ms - call_ms);
        }
    }
    table.show(Line::new("the whole", "ms", whole));
    table.show(Line::new("the proving call", "ms", calls));
    let worst = percentile(&mut rest, 1.0);
    table.show(Line::new("all the rest, p50", "ms", rest).promised(Promise::AtMost(REST_MS)));
    table.show(Line::new("all the rest, worst", "ms", vec![worst]).promised(Promise::AtMost(REST_MS)));
    Ok(())
}

/// What the executor says of its proof with this number.
fn proving_ms(field: &Field<'_>, number: usize) -> Result<f64> {
    let log = field.cluster.log(WORKER);
    let line = wait::until("the executor's word", LOGGED, || {
        let text = std::fs::read_to_string(&log)?;
        Ok(text.lines().filter(|line| line.contains("proof made")).nth(number).map(str::to_owned))
    })
    .with_context(|| field.cluster.tails())?;
    let took = line.split_whitespace().find_map(|word| word.strip_prefix("proved_us="));
    let took: f64 = took.with_context(|| format!("no time in: {line}"))?.parse()?;
    ensure!(took > 0.0, "a proof in no time: {line}");
    Ok(took / 1e3)
}
