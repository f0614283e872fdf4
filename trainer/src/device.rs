//! Where a run trains, and in which precision.

use crate::error::{Error, Result};
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

/// The precision of activations and of the weights that they meet. The weights that the optimizer changes, their
/// gradients, norms, softmax and the loss are float32 in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32.
    #[default]
    F32,
    /// bfloat16. Made for CUDA; a CPU computes it in float32 and rounds, several times slower.
    Bf16,
}

impl Precision {
    /// As Candle names it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// Where a process stands among the ranks of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its number among them, from 0.
    pub rank: usize,
    /// How many they are.
    pub ranks: usize,
    /// Whether they are connected by GPUs, of which each then needs one.
    pub over_gpus: bool,
}

impl Default for Local {
    /// A process by itself.
    fn default() -> Self {
        Self { rank: 0, ranks: 1, over_gpus: false }
    }
}

/// Where a name such as `cpu`, `cuda` or `cuda:0` points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cpu,
    /// The GPU of the rank.
    Own,
    Cuda(usize),
}

fn place(name: &str) -> Result<Place> {
    let number = |text: &str| text.parse().ok();
    match (name, name.strip_prefix("cuda:").and_then(number)) {
        ("cpu", _) => Ok(Place::Cpu),
        ("cuda", _) => Ok(Place::Own),
        (_, Some(ordinal)) => Ok(Place::Cuda(ordinal)),
        _ => Err(Error::Config(format!(
            "run.device is \"{name}\", expected \"cpu\", \"cuda\" or \"cuda:0\" (or another number)"
        ))),
    }
}

/// What kind of device a name points to, whichever of its kind it is.
pub(crate) fn kind(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// The GPU of a rank, by its number on its machine: the one with that number, or the only one that it sees.
pub(crate) fn gpu_of(rank: usize, gpus: usize) -> Result<usize> {
    match gpus {
        0 => Err(Error::Config("no GPU can be seen\n\nhint: set run.device = \"cpu\"".into())),
        1 => Ok(0),
        _ if rank < gpus => Ok(rank),
        _ => Err(Error::Config(format!(
            "rank {rank} of this machine has no GPU, since {gpus} can be seen\n\nhint: start at most {gpus} ranks on a \
             machine"
        ))),
    }
}

/// The GPU that a name means for one of the ranks of a machine, `None` for the CPU.
fn choose(name: &str, local: Local, gpus: impl FnOnce() -> Result<usize>) -> Result<Option<usize>> {
    let refused = |what: String| {
        Err(Error::Config(format!(
            "run.device is \"{name}\", but {what}\n\nhint: set run.device = \"cuda\", which is another GPU for each rank \
             of a machine"
        )))
    };
    match place(name)? {
        Place::Cpu if local.over_gpus => refused("ranks over NCCL train on GPUs".into()),
        Place::Cpu => Ok(None),
        Place::Own => gpu_of(local.rank, gpus()?).map(Some),
        Place::Cuda(_) if local.ranks > 1 => {
            refused(format!("{} ranks on this machine would share that GPU", local.ranks))
        }
        Place::Cuda(ordinal) => Ok(Some(ordinal)),
    }
}

/// How many GPUs this process sees.
fn gpus() -> Result<usize> {
    #[cfg(feature = "cuda")]
    let count = candle_core::cuda_backend::cudarc::driver::CudaContext::device_count();
    #[cfg(not(feature = "cuda"))]
    let count: std::result::Result<i32, std::convert::Infallible> = Ok(0);
    let count = count.map_err(candle_core::Error::wrap)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Checks a device by its name, without opening it.
///
/// # Errors
/// [`Error::Config`] naming the setting and the remedy.
pub fn check(name: &str) -> Result<()> {
    match place(name)? {
        Place::Own | Place::Cuda(_) if cfg!(not(feature = "cuda")) => Err(Error::Config(format!(
            "run.device is \"{name}\", but this program was built without CUDA\n\n\
             hint: cargo build --release --features cuda (needs nvcc), or set run.device = \"cpu\""
        ))),
        _ => Ok(()),
    }
}

/// Opens a device by its name: `cpu`, a GPU such as `cuda:0`, or `cuda` for the only or the first one.
///
/// # Errors
/// As [`check`]; if CUDA cannot open the device.
pub fn open(name: &str) -> Result<Device> {
    open_at(name, Local::default())
}

/// Opens the device that a name means for one of the ranks of a machine; `cuda` is another GPU for each.
///
/// # Errors
/// As [`open`]; [`Error::Config`] for a name that would put several ranks on one GPU, or ranks over NCCL on none.
pub fn open_at(name: &str, local: Local) -> Result<Device> {
    check(name)?;
    match choose(name, local, gpus)? {
        None => Ok(Device::Cpu),
        Some(ordinal) => Ok(Device::new_cuda(ordinal)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_used_is_refused_with_a_remedy() {
        let said = |name| check(name).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said("cpu"), "");
        assert!(said("gpu").contains("run.device is \"gpu\", expected \"cpu\""));
        assert!(said("cuda:x").contains("expected"));
        if cfg!(not(feature = "cuda")) {
            assert!(said("cuda:1").contains("cargo build --release --features cuda"));
            assert!(said("cuda").contains("cargo build --release --features cuda"));
        }
    }

    #[test]
    fn each_rank_of_a_machine_has_a_gpu_of_its_own() {
        const ALONE: Local = Local { rank: 0, ranks: 1, over_gpus: false };
        const THIRD: Local = Local { rank: 2, ranks: 4, over_gpus: false };
        const THIRD_OVER_GPUS: Local = Local { over_gpus: true, ..THIRD };
        for (name, local, gpus, expected) in [
            ("cpu", ALONE, 0, Ok(None)),
            ("cpu", THIRD, 0, Ok(None)),
            (
                "cpu",
                THIRD_OVER_GPUS,
                4,
                Err("ranks over NCCL train on GPUs\n\nhint: set run.device = \"cuda\""),
            ),
            ("cuda", ALONE, 8, Ok(Some(0))),
            ("cuda", ALONE, 0, Err("no GPU can be seen")),
            ("cuda", THIRD, 4, Ok(Some(2))),
            ("cuda", THIRD_OVER_GPUS, 4, Ok(Some(2))),
            ("cuda", THIRD, 1, Ok(Some(0))),
            ("cuda", THIRD, 2, Err("rank 2 of this machine has no GPU, since 2 can be seen")),
            ("cuda:3", ALONE, 4, Ok(Some(3))),
            (
                "cuda:0",
                THIRD,
                4,
                Err("4 ranks on this machine would share that GPU\n\nhint: set run.device = \"cuda\""),
            ),
            ("cuda:0", THIRD_OVER_GPUS, 4, Err("would share that GPU")),
            ("cuda:0", Local { over_gpus: true, ..ALONE }, 1, Ok(Some(0))),
        ] {
            let chosen = choose(name, local, || Ok(gpus)).map_err(|error| error.to_string());
            match (&chosen, expected) {
                (Ok(chosen), Ok(expected)) => assert_eq!(*chosen, expected, "{name} {local:?} of {gpus}"),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
                _ => panic!("{name} {local:?} of {gpus}: {chosen:?}, expected {expected:?}"),
            }
        }
        assert_eq!([kind("cpu"), kind("cuda"), kind("cuda:3")], ["cpu", "cuda", "cuda"]);
    }
}
