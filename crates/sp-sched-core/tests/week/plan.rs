//! What a week is made of: machines, partitions and troubles, all of it from one number.

use sp_types::DeadlineIndex;

use crate::dice::Dice;

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
pub const WEEK: u64 = 7 * DAY;

/// Reading and proving a partition never takes longer: of what an ordinary machine needs at the worst.
pub const TRY_MS: u64 = 8 * MINUTE;

/// A machine has a window PoSt worker, and most of them one that seals besides.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub seals: bool,
    /// What reading and proving usually take here.
    pub read_ms: u64,
    pub prove_ms: u64,
}

/// Something that goes wrong, when, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub at_ms: u64,
    pub for_ms: u64,
    pub what: What,
}

/// What goes wrong. Machines are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A machine loses its power: nobody says goodbye, and it boots anew.
    PowerCut(usize),
    /// Its window PoSt worker is killed: the connection breaks.
    Crash(usize),
    /// Nothing reaches it, and it goes on computing. Quiet: the connection does not even break.
    CutOff { machine: usize, quiet: bool },
    /// Its challenge reads get no answer.
    Hang(usize),
    /// Its proofs are wrong.
    Lie(usize),
    /// The scheduler is killed.
    Scheduler,
    /// All machines lose their power.
    Site,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub machines: Vec<Machine>,
    /// Of each deadline.
    pub partitions: Vec<u32>,
    /// By time.
    pub troubles: Vec<Trouble>,
    /// PoSt workers run on the machines that seal; else on as many of their own.
    pub shared: bool,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let most = match dice.below(20) {
            0..10 => dice.between(1, 4),
            10..17 => dice.between(5, 12),
            _ => dice.between(13, 40),
        };
        let partitions = (0..DeadlineIndex::COUNT).map(|_| dice.between(1, most) as u32).collect();
        // A worker proves seven or more in the time of a deadline; the rest is for those that are away.
        let count = 1 + most / 6 + dice.below(3);
        let sealing = dice.between(1, 2);
        let machine = |at: u64| Machine {
            seals: at < sealing,
            read_ms: dice.between(20, 90) * SECOND,
            prove_ms: dice.between(60, 150) * SECOND,
        };
        let machines: Vec<Machine> = (0..count).map(machine).collect();
        let troubles = troubles(&mut dice, machines.len());
        Self { seed, machines, partitions, troubles, shared: true }
    }

    /// The same week with the PoSt workers on machines of their own.
    pub fn apart(self) -> Self {
        Self { shared: false, ..self }
    }

    /// The same week, and nothing goes wrong.
    pub fn quiet(self) -> Self {
        Self { troubles: Vec::new(), ..self }
    }
}

fn troubles(dice: &mut Dice, machines: usize) -> Vec<Trouble> {
    let mut all = Vec::new();
    // Some weeks are bad, some are not.
    let mean = HOUR << dice.below(7);
    for machine in 0..machines {
        let mut at_ms = dice.around(mean);
        while at_ms < WEEK {
            let (what, for_ms) = misfortune(dice, machine);
            all.push(Trouble { at_ms, for_ms, what });
            at_ms += for_ms + dice.around(mean);
        }
    }
    let mean = dice.between(6, 80) * HOUR;
    let mut at_ms = dice.around(mean);
    while at_ms < WEEK {
        let for_ms = dice.between(2, 600) * SECOND;
        all.push(Trouble { at_ms, for_ms, what: What::Scheduler });
        at_ms += for_ms + dice.around(mean);
    }
    if dice.below(4) == 0 {
        let (at_ms, for_ms) = (dice.below(WEEK), dice.between(5, 180) * MINUTE);
        all.push(Trouble { at_ms, for_ms, what: What::Site });
    }
    all.sort_by_key(|trouble| trouble.at_ms);
    all
}

fn misfortune(dice: &mut Dice, machine: usize) -> (What, u64) {
    match dice.below(10) {
        0..2 => (What::PowerCut(machine), dice.between(2, 180) * MINUTE),
        2..5 => (What::Crash(machine), dice.between(3, 900) * SECOND),
        5 => (What::CutOff { machine, quiet: true }, dice.between(5, 3_600) * SECOND),
        6 => (What::CutOff { machine, quiet: false }, dice.between(5, 3_600) * SECOND),
        7..9 => (What::Hang(machine), dice.between(1, 240) * MINUTE),
        _ => (What::Lie(machine), dice.between(10, 360) * MINUTE),
    }
}
