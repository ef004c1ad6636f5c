//! The runs themselves: the same seed is the same run.

use sp_sim::scenario;

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 4] {
        let [first, second] = [scenario::run(seed), scenario::run(seed)];
        assert_eq!(first, second, "seed {seed} ran in two ways");
    }
}
