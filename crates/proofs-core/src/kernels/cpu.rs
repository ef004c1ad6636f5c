//! Which instruction sets kernels may use: found out at run time, or forced lower.

use std::fmt;

/// A set of instruction sets that this machine has.
///
/// Values come from [`detect`](Cpu::detect) and are only ever made smaller: whoever holds one that says SHA-NI may call
/// code that is compiled for SHA-NI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    sha_ni: bool,
    avx2: bool,
    avx512: bool,
}

impl Cpu {
    /// Only what every machine has.
    pub const PORTABLE: Self = Self { sha_ni: false, avx2: false, avx512: false };

    /// Everything that this machine has and a kernel knows to use.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Self {
        let sha_ni = is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
        let avx2 = is_x86_feature_detected!("avx2");
        let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        Self { sha_ni: sha_ni && is_x86_feature_detected!("ssse3"), avx2, avx512 }
    }

    /// Everything that this machine has and a kernel knows to use.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Self {
        Self::PORTABLE
    }

    /// The machine without SHA-NI.
    pub fn without_sha_ni(self) -> Self {
        Self { sha_ni: false, ..self }
    }

    /// The machine without AVX-512.
    pub fn without_avx512(self) -> Self {
        Self { avx512: false, ..self }
    }

    /// This machine whole and cut down step by step, each once: what a test of bit equality goes through.
    pub fn variants() -> Vec<Self> {
        let full = Self::detect();
        let mut all = vec![full, full.without_avx512(), full.without_sha_ni(), Self::PORTABLE];
        all.dedup();
        all
    }

    /// Whether SHA-256 instructions (with SSE4.1) may be used.
    pub fn has_sha_ni(self) -> bool {
        self.sha_ni
    }

    /// Whether AVX2 may be used.
    pub fn has_avx2(self) -> bool {
        self.avx2
    }

    /// Whether AVX-512 F and BW may be used.
    pub fn has_avx512(self) -> bool {
        self.avx512
    }
}

/// `sha-ni avx2 avx512`, or `portable`.
impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = [(self.sha_ni, "sha-ni"), (self.avx2, "avx2"), (self.avx512, "avx512")];
        let names: Vec<_> = sets.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        f.pad(&if names.is_empty() { "portable".to_owned() } else { names.join(" ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_begin_with_the_machine_and_end_portable() {
        let all = Cpu::variants();
        assert_eq!((all.first(), all.last()), (Some(&Cpu::detect()), Some(&Cpu::PORTABLE)));
        assert_eq!(Cpu::PORTABLE.to_string(), "portable");
    }
}
