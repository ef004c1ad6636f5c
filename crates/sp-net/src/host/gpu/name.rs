//! How people and variables name a GPU: by its place in the driver's order, or by its UUID or the beginning of it.

use sp_types::GpuDevice;

use super::list;

/// A GPU that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGpu {
    /// A slice of a device.
    #[error(
        "`{0}` is a part of a GPU (MIG), and this build takes whole GPUs only: name one by its index or its UUID \
         GPU-... (`nvidia-smi -L` shows both), or use none"
    )]
    Part(String),
    /// No name of anything.
    #[error("`{0}` is no GPU: write an index such as 0, or a UUID GPU-... (`nvidia-smi -L` shows both)")]
    Unreadable(String),
    /// `0` could be a count and an index.
    #[error("`0` could mean no GPU and the first GPU: write none, or device=0")]
    Zero,
    /// Not on this machine.
    #[error("there is no GPU `{name}` here; there is: {shown}")]
    Missing {
        /// What was asked for.
        name: String,
        /// What there is.
        shown: String,
    },
    /// The beginning of several.
    #[error("`{name}` is the beginning of several UUIDs; write more of it; there is: {shown}")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What there is.
        shown: String,
    },
    /// More than there are.
    #[error("{wanted} GPUs are asked for; there is: {shown}")]
    TooFew {
        /// What was asked for.
        wanted: usize,
        /// What there is.
        shown: String,
    },
}

/// One GPU by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuName {
    /// Place in the driver's order.
    Index(u32),
    /// A UUID or its beginning, or a PCI id as [`sp_types::GpuId`] writes it.
    Id(String),
}

impl GpuName {
    /// Reads one name.
    pub(super) fn parse(text: &str) -> Result<Self, BadGpu> {
        let name = text.trim();
        let upper = name.to_ascii_uppercase();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // `0:1` is the second slice of the first device.
        let slice = name.split_once(':').is_some_and(|(gpu, part)| digits(gpu) && digits(part));
        if upper.starts_with("MIG") || slice {
            return Err(BadGpu::Part(name.to_owned()));
        }
        if digits(name)
            && let Ok(index) = name.parse()
        {
            return Ok(Self::Index(index));
        }
        if (upper.starts_with("GPU-") || upper.starts_with("PCI-")) && name.len() > 4 {
            return Ok(Self::Id(name.to_owned()));
        }
        Err(BadGpu::Unreadable(name.to_owned()))
    }

    /// The device of this name.
    pub(super) fn find<'a>(&self, devices: &'a [GpuDevice]) -> Result<&'a GpuDevice, BadGpu> {
        let is_meant = |gpu: &&GpuDevice| match self {
            Self::Index(index) => gpu.index == *index,
            // Whole at once or by its beginning; letters of either case.
            Self::Id(id) => gpu.id.as_str().get(..id.len()).is_some_and(|start| start.eq_ignore_ascii_case(id)),
        };
        let mut meant = devices.iter().filter(is_meant);
        let name = || match self {
            Self::Index(index) => index.to_string(),
            Self::Id(id) => id.clone(),
        };
        match (meant.next(), meant.next()) {
            (Some(gpu), None) => Ok(gpu),
            (None, _) => Err(BadGpu::Missing { name: name(), shown: list(devices) }),
            (Some(_), Some(_)) => Err(BadGpu::Ambiguous { name: name(), shown: list(devices) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn names_are_indices_and_uuids_and_never_slices() {
        let id = |text: &str| Ok(GpuName::Id(text.to_owned()));
        let part = |text: &str| Err(BadGpu::Part(text.to_owned()));
        let unreadable = |text: &str| Err(BadGpu::Unreadable(text.to_owned()));
        let cases = [
            ("0", Ok(GpuName::Index(0))),
            (" 12 ", Ok(GpuName::Index(12))),
            ("GPU-8932f937", id("GPU-8932f937")),
            ("gpu-8", id("gpu-8")),
            ("PCI-0000-65-00.0", id("PCI-0000-65-00.0")),
            ("MIG-GPU-8932f937/1/0", part("MIG-GPU-8932f937/1/0")),
            ("mig-1c2f", part("mig-1c2f")),
            ("0:1", part("0:1")),
            ("GPU-", unreadable("GPU-")),
            ("-1", unreadable("-1")),
            ("", unreadable("")),
            ("first", unreadable("first")),
            ("99999999999", unreadable("99999999999")),
        ];
        for (text, expected) in cases {
            assert_eq!(GpuName::parse(text), expected, "{text:?}");
        }
        let refused = BadGpu::Part("MIG-x".into()).to_string();
        assert!(refused.contains("`MIG-x`") && refused.contains("whole GPUs"), "{refused}");
    }

    #[test]
    fn a_beginning_must_fit_one_device() {
        let devices = fake(&["GPU-aaaa", "GPU-aabb", "GPU-cccc"]);
        let find = |text: &str| GpuName::parse(text).expect(text).find(&devices).map(|gpu| gpu.index);
        assert_eq!((find("1"), find("GPU-c"), find("gpu-AABB"), find("GPU-aaaa")), (Ok(1), Ok(2), Ok(1), Ok(0)));
        assert!(matches!(find("GPU-aa"), Err(BadGpu::Ambiguous { .. })));
        for missing in ["3", "GPU-d", "GPU-aaaa0"] {
            let error = find(missing).expect_err(missing).to_string();
            assert!(error.contains(missing) && error.contains("0 (GPU-aaaa, NVIDIA A40), 1 (GPU-aabb"), "{error}");
        }
    }
}
