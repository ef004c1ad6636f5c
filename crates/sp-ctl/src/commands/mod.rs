//! One file per verb, one directory per noun. A verb asks, then prints; layouts shared by verbs lie in `layout`.

pub(crate) mod audit;
pub(crate) mod explain;
pub(crate) mod info;
pub(crate) mod params;
pub(crate) mod proving;
pub(crate) mod sched;
pub(crate) mod sealing;
pub(crate) mod sectors;
pub(crate) mod storage;
pub(crate) mod tasks;
pub(crate) mod verify;
pub(crate) mod workers;
