//! Whether whoever judges a proving day would notice: proofs that reach no chain are missed by everybody.

use sp_sim::day;

#[test]
fn what_is_missed_while_everybody_is_there_is_found() {
    let complaint = day::run_losing_proofs(1).expect_err("nothing is proven");
    assert!(complaint.lines().next().is_some_and(|line| line.contains("law L6")), "{complaint}");
}
