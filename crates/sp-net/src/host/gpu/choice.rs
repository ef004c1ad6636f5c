//! `--gpus`: which of the GPUs that it sees a worker may take.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use sp_types::{GpuDevice, GpuId};

use super::list;
use super::name::{BadGpu, GpuName};

/// What the flag says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GpuChoice {
    /// Whatever there is.
    #[default]
    All,
    /// No GPU: the driver is not even asked.
    None,
    /// So many, the first in the driver's order.
    Count(usize),
    /// These.
    List(Vec<GpuName>),
}

/// `all`, `none`, a count such as `2`, or a list: `0,1`, `GPU-8932f937`, `device=0`. A bare number is a count, as for
/// containers; one index alone is written `device=0`.
impl FromStr for GpuChoice {
    type Err = BadGpu;

    fn from_str(text: &str) -> Result<Self, BadGpu> {
        let text = text.trim();
        let names = |list: &str| list.split(',').map(GpuName::parse).collect::<Result<_, _>>().map(Self::List);
        if let Some(list) = text.strip_prefix("device=") {
            return names(list);
        }
        match text.parse() {
            Ok(0) => return Err(BadGpu::Zero),
            Ok(count) => return Ok(Self::Count(count)),
            Err(_) => {}
        }
        match text.to_ascii_lowercase().as_str() {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => names(text),
        }
    }
}

impl<'de> Deserialize<'de> for GpuChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl GpuChoice {
    /// The ids that this means among the devices here; none is no limit. Whoever names devices gets them or an error.
    pub fn resolve(&self, devices: &[GpuDevice]) -> Result<Option<Vec<GpuId>>, BadGpu> {
        let mut ids: Vec<GpuId> = match self {
            Self::All => return Ok(None),
            Self::None => vec![],
            Self::Count(count) => {
                let first = devices.get(..*count);
                let first = first.ok_or_else(|| BadGpu::TooFew { wanted: *count, shown: list(devices) })?;
                first.iter().map(|gpu| gpu.id.clone()).collect()
            }
            Self::List(names) => {
                let found = names.iter().map(|name| name.find(devices).map(|gpu| gpu.id.clone()));
                found.collect::<Result<_, _>>()?
            }
        };
        let mut seen = std::collections::BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        Ok(Some(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn every_form_means_what_it_says() {
        let devices = fake(&["GPU-aaaa", "GPU-aabb", "GPU-cccc"]);
        let chosen = |text: &str| -> Result<Option<Vec<String>>, BadGpu> {
            let ids = text.parse::<GpuChoice>()?.resolve(&devices)?;
            Ok(ids.map(|ids| ids.iter().map(ToString::to_string).collect()))
        };
        let cases: [(&str, Option<&[&str]>); 10] = [
            ("all", None),
            ("ALL", None),
            ("none", Some(&[])),
            ("2", Some(&["GPU-aaaa", "GPU-aabb"])),
            ("device=2", Some(&["GPU-cccc"])),
            ("device=GPU-c,0", Some(&["GPU-cccc", "GPU-aaaa"])),
            ("1,0", Some(&["GPU-aabb", "GPU-aaaa"])),
            ("0, 0,GPU-aaaa", Some(&["GPU-aaaa"])),
            ("GPU-cccc", Some(&["GPU-cccc"])),
            ("3", Some(&["GPU-aaaa", "GPU-aabb", "GPU-cccc"])),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
            assert_eq!(chosen(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "4", "device=3", "0,7", "0,,1", "GPU-a", "some", "-1", "MIG-GPU-aaaa/1/0", "0:0"] {
            let error = chosen(bad).expect_err(bad).to_string();
            assert!(!error.is_empty());
        }
        assert!(chosen("0").expect_err("both").to_string().contains("device=0"));
        assert!(chosen("4").expect_err("too many").to_string().starts_with("4 GPUs are asked for; there is: 0 (GPU"));
    }
}
