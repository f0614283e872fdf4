//! CUDA's driver: which devices there are.
//!
//! `cudarc` panics where the library or a function of it is missing, so both are looked for first; what is left of
//! its panics is caught.

use super::LIBCUDA;
use crate::libraries::{elf, find, load};
use cudarc::driver::{CudaContext, DriverError, result};
use std::panic::{UnwindSafe, catch_unwind};

/// The functions that are called here.
const FUNCTIONS: [&str; 5] =
    ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetUuid_v2"];

/// A device as CUDA names it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    /// `GPU-` and a UUID, as NVML writes it.
    pub(super) uuid: String,
}

pub(super) fn devices() -> Result<Vec<Device>, String> {
    let path = find(LIBCUDA).ok_or_else(|| format!("no {LIBCUDA}: NVIDIA's driver is not installed here"))?;
    if let Some(missing) = elf::first_missing_export(&path, &FUNCTIONS)
        .map_err(|reason| format!("{}: {reason}", path.display()))?
    {
        return Err(format!(
            "{} is not the driver of CUDA 11.4 or newer: it has no {missing}",
            path.display()
        ));
    }
    // Once it is loaded by its path, `cudarc` finds it by its name wherever it lies.
    load(&path)?;
    guarded(|| {
        result::init().map_err(|error| said("cuInit", error))?;
        let count = result::device::get_count().map_err(|error| said("cuDeviceGetCount", error))?;
        if count == 0 {
            return Err("CUDA's driver sees no GPU".to_owned());
        }
        let device = |ordinal| {
            let device = result::device::get(ordinal)?;
            let uuid = result::device::get_uuid(device)?.bytes.map(|byte| byte.to_ne_bytes()[0]);
            Ok(Device { name: result::device::get_name(device)?, uuid: uuid_text(uuid) })
        };
        let devices: Result<_, DriverError> = (0..count).map(device).collect();
        devices.map_err(|error| said("cuDeviceGet", error))
    })
}

/// Compute capability and memory of a device, at the price of a context on it.
pub(super) fn facts(ordinal: usize) -> Result<(u32, u64), String> {
    guarded(move || {
        let context = CudaContext::new(ordinal).map_err(|error| said("a context", error))?;
        let (major, minor) =
            context.compute_capability().map_err(|error| said("the compute capability", error))?;
        let bytes = context.total_mem().map_err(|error| said("the memory", error))?;
        Ok(((major * 10 + minor).unsigned_abs(), bytes as u64))
    })
}

fn guarded<T>(call: impl FnOnce() -> Result<T, String> + UnwindSafe) -> Result<T, String> {
    catch_unwind(call).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(format!("CUDA's driver cannot be used: {text}"))
    })
}

fn said(what: &str, error: DriverError) -> String {
    let code = format!("{:?}", error.0);
    match code.as_str() {
        "CUDA_ERROR_NO_DEVICE" => format!("no device: CUDA's driver sees no GPU ({what}: {code})"),
        _ => format!("CUDA's driver refuses {what}: {code}"),
    }
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex[range].concat();
    format!("GPU-{}-{}-{}-{}-{}", part(0..4), part(4..6), part(6..8), part(8..10), part(10..16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_nvml_writes_it() {
        let bytes = std::array::from_fn(|i| 0xf0 + i as u8);
        assert_eq!(uuid_text(bytes), "GPU-f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guarded::<()>(|| panic!("no such {}", "symbol")).unwrap_err();
        assert_eq!(error, "CUDA's driver cannot be used: no such symbol");
    }
}
