//! Where tensors live: which libtorch is loaded, whether it brings a GPU, and which device a run uses.
//!
//! The executable links the CPU's part of libtorch only. Where the part for CUDA lies beside it, it is opened at run
//! time, so that one executable serves machines with and without a GPU.
#![allow(
    unsafe_code,
    reason = "opening a shared library and calling into it: libtorch_cuda, the driver's version, libtorch's version"
)]

use std::ffi::c_int;
use std::fmt::{self, Display};
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device};
use thiserror::Error;

use crate::libtorch;

/// What became of CUDA. Its `Display` says in one line what there is, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaStatus {
    /// As many GPUs can be used.
    Ready { gpus: usize },
    /// This libtorch has no CUDA part.
    NotInstalled { libtorch: PathBuf },
    /// The machine has no NVIDIA driver.
    NoDriver,
    /// The CUDA part is there, and the loader's reason for not opening it.
    NotLoaded { library: PathBuf, reason: String },
    /// Driver and CUDA part are there, and yet no GPU can be used. `built_for` is libtorch's version of CUDA: a driver
    /// for an older one does not serve it.
    NoGpu {
        driver: CudaVersion,
        built_for: CudaVersion,
    },
}

/// As NVIDIA counts it: 1000 major + 10 minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub i64);

impl CudaStatus {
    pub fn is_ready(&self) -> bool {
        matches!(self, CudaStatus::Ready { .. })
    }

    /// What the user can do to get a GPU; `None` where there is nothing to do.
    pub fn remedy(&self) -> Option<String> {
        match self {
            CudaStatus::Ready { .. } => None,
            CudaStatus::NotInstalled { .. } => {
                Some("with an NVIDIA GPU, run `cargo xtask setup --cuda`".to_owned())
            }
            CudaStatus::NoDriver => Some("with an NVIDIA GPU, install NVIDIA's driver".to_owned()),
            CudaStatus::NotLoaded { .. } => Some("run `cargo xtask setup --cuda` again".to_owned()),
            CudaStatus::NoGpu { driver, built_for } if driver < built_for => Some(format!(
                "install an NVIDIA driver for CUDA {built_for} or newer"
            )),
            CudaStatus::NoGpu { .. } => {
                Some("look at `nvidia-smi`, and at the variable CUDA_VISIBLE_DEVICES".to_owned())
            }
        }
    }
}

impl Display for CudaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CudaStatus::Ready { gpus: 1 } => write!(f, "1 GPU"),
            CudaStatus::Ready { gpus } => write!(f, "{gpus} GPUs"),
            CudaStatus::NotInstalled { libtorch } => {
                write!(f, "no libtorch_cuda.so beside {}", libtorch.display())
            }
            CudaStatus::NoDriver => write!(f, "no NVIDIA driver on this machine"),
            CudaStatus::NotLoaded { library, reason } => {
                write!(f, "{} could not be opened ({reason})", library.display())
            }
            CudaStatus::NoGpu { driver, built_for } if driver < built_for => {
                write!(
                    f,
                    "the NVIDIA driver is for CUDA {driver}, libtorch for CUDA {built_for}"
                )
            }
            CudaStatus::NoGpu { .. } => write!(f, "the NVIDIA driver offers no GPU"),
        }
    }
}

impl Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// The libtorch that this process runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorchInfo {
    /// As in "2.11.0".
    pub version: String,
    /// The libtorch_cpu.so that is loaded.
    pub library: PathBuf,
    pub cuda: CudaStatus,
}

/// A device that was asked for and cannot be had.
#[derive(Debug, Error)]
pub enum DeviceError {
    #[error("`{0}` is no device: use cpu, cuda, or cuda:N with N from 0")]
    Unknown(String),
    #[error("no device `{asked}`: {status}")]
    Missing { asked: String, status: CudaStatus },
}

/// Whether this machine's processor computes in bfloat16 itself. Where it does not, libtorch emulates it at a fraction of
/// the speed.
#[must_use]
pub fn processor_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// Opens libtorch's CUDA part where there is one, and says what came of it.
///
/// **To be called before anything else of tch**: libtorch looks for CUDA once. Further calls cost nothing.
pub fn load_cuda() -> &'static CudaStatus {
    static STATUS: OnceLock<CudaStatus> = OnceLock::new();
    STATUS.get_or_init(|| {
        let status = look_for_cuda(&libtorch_cpu());
        // Asked in every case, so that no later call can find another answer.
        let gpus = usize::try_from(Cuda::device_count()).unwrap_or_default();
        if gpus > 0 {
            CudaStatus::Ready { gpus }
        } else {
            status
        }
    })
}

/// Which libtorch is loaded, from where, and what it says of CUDA.
pub fn torch_info() -> TorchInfo {
    TorchInfo {
        version: torch_version(),
        library: libtorch_cpu(),
        cuda: load_cuda().clone(),
    }
}

/// The device to compute on: `asked` is "cpu", "cuda" or "cuda:1"; `None` takes the first GPU if there is one.
///
/// # Errors
/// If `asked` is no device's name, or there is no such GPU.
pub fn pick_device(asked: Option<&str>) -> Result<Device, DeviceError> {
    choose(asked, load_cuda())
}

/// Has the process keep the memory of one training step for the next, which makes steps a seventh quicker on a CPU; what a
/// run leaves is given back at its end. **To be called at the start of the program**, before there is a second thread.
pub fn keep_memory() {
    libtorch::keep_memory();
}

/// Gives libtorch all cores but one, which is left to whatever else is being done: the window, or other programs where
/// there is none. Of two cores it gets both. Returns how many threads it uses.
///
/// The number of threads decides in which order libtorch adds, so it is the same with and without a window, and so is what
/// a seed gives.
pub fn leave_a_core() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    if cores > 2 {
        tch::set_num_threads(cores as i32 - 1);
    }
    tch::get_num_threads() as usize
}

/// Bytes of memory that can be had without swapping; none where the system does not say (Linux does).
#[must_use]
pub fn available_memory() -> Option<u64> {
    available_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// What this process takes of the memory, in bytes, files that are mapped included; none where the system does not say.
pub(crate) fn process_memory() -> Option<u64> {
    field_of(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn available_in(meminfo: &str) -> Option<u64> {
    field_of(meminfo, "MemAvailable:")
}

/// See proc_meminfo(5) and proc_pid_status(5).
fn field_of(text: &str, field: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn choose(asked: Option<&str>, cuda: &CudaStatus) -> Result<Device, DeviceError> {
    let gpus = match cuda {
        CudaStatus::Ready { gpus } => *gpus,
        _ => 0,
    };
    let Some(asked) = asked else {
        return Ok(if gpus > 0 {
            Device::Cuda(0)
        } else {
            Device::Cpu
        });
    };
    let gpu = match asked.split_once(':') {
        None if asked == "cpu" => return Ok(Device::Cpu),
        None if asked == "cuda" => Some(0),
        Some(("cuda", number)) => number.parse().ok(),
        _ => None,
    };
    match gpu {
        None => Err(DeviceError::Unknown(asked.to_owned())),
        Some(gpu) if gpu < gpus => Ok(Device::Cuda(gpu)),
        Some(_) => Err(DeviceError::Missing {
            asked: asked.to_owned(),
            status: cuda.clone(),
        }),
    }
}

/// Why there is no GPU, unless there is one after all.
fn look_for_cuda(libtorch_cpu: &Path) -> CudaStatus {
    let library = libtorch_cpu.with_file_name("libtorch_cuda.so");
    if !library.is_file() {
        return CudaStatus::NotInstalled {
            libtorch: libtorch_cpu.to_owned(),
        };
    }
    // Before libtorch_cuda.so, which takes half a second to open.
    let Ok(driver) = open_for_good(Path::new("libcuda.so.1")) else {
        return CudaStatus::NoDriver;
    };
    match open_for_good(&library) {
        Ok(cuda) => CudaStatus::NoGpu {
            driver: version(&driver, b"cuDriverGetVersion\0"),
            built_for: version(&cuda, b"cudaRuntimeGetVersion\0"),
        },
        Err(error) => CudaStatus::NotLoaded {
            library,
            reason: error.to_string(),
        },
    }
}

/// Opens a library for the rest of the process: what its initialisers have registered cannot be taken back.
fn open_for_good(library: &Path) -> Result<ManuallyDrop<Library>, libloading::Error> {
    // SAFETY: opening runs the library's initialisers. These are NVIDIA's driver and the companion of the libtorch that
    // this process already runs on, both made to be opened so.
    unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) }.map(ManuallyDrop::new)
}

/// What a library's function of this name says; 0.0 if it says nothing.
fn version(library: &Library, function: &[u8]) -> CudaVersion {
    let mut version: c_int = 0;
    // SAFETY: both functions asked for are declared so, in cuda.h and cuda_runtime_api.h, and may be called at any time.
    unsafe {
        if let Ok(get) = library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(function) {
            get(&raw mut version);
        }
    }
    CudaVersion(version.into())
}

/// Of the library that is loaded, whatever headers the executable was compiled with.
fn torch_version() -> String {
    // SAFETY: `uint64_t aoti_torch_abi_version()` in libtorch's shim.h.
    let version: Option<u64> = unsafe {
        Library::this()
            .get::<unsafe extern "C" fn() -> u64>(b"aoti_torch_abi_version\0")
            .ok()
            .map(|version| version())
    };
    match version.map(u64::to_be_bytes) {
        Some([major, minor, patch, ..]) => format!("{major}.{minor}.{patch}"),
        None => "unknown".to_owned(),
    }
}

/// The libtorch_cpu.so that the loader chose.
fn libtorch_cpu() -> PathBuf {
    fs::read_to_string("/proc/self/maps")
        .ok()
        .and_then(|maps| mapped_file(&maps, "libtorch_cpu.so"))
        .unwrap_or_else(|| PathBuf::from("libtorch_cpu.so"))
}

/// The path of the first mapped file of that name; see proc_pid_maps(5).
fn mapped_file(maps: &str, name: &str) -> Option<PathBuf> {
    maps.lines()
        .filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])))
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaded_libtorch_is_found_and_is_the_one_tch_wants() {
        let info = torch_info();
        assert!(
            info.library.is_absolute() && info.library.is_file(),
            "{info:?}"
        );
        assert!(info.version.starts_with("2.11."), "{info:?}");
    }

    #[test]
    fn the_device_is_the_one_asked_for_or_an_error() {
        let none = CudaStatus::NoDriver;
        let two = CudaStatus::Ready { gpus: 2 };
        for (asked, cuda, expected) in [
            (None, &none, Ok(Device::Cpu)),
            (None, &two, Ok(Device::Cuda(0))),
            (Some("cpu"), &two, Ok(Device::Cpu)),
            (Some("cuda"), &two, Ok(Device::Cuda(0))),
            (Some("cuda:1"), &two, Ok(Device::Cuda(1))),
            (Some("cuda:2"), &two, Err("no device `cuda:2`: 2 GPUs")),
            (
                Some("cuda"),
                &none,
                Err("no device `cuda`: no NVIDIA driver on this machine"),
            ),
            (
                Some("gpu"),
                &two,
                Err("`gpu` is no device: use cpu, cuda, or cuda:N with N from 0"),
            ),
            (
                Some("cuda:-1"),
                &two,
                Err("`cuda:-1` is no device: use cpu, cuda, or cuda:N with N from 0"),
            ),
        ] {
            let chosen = choose(asked, cuda).map_err(|error| error.to_string());
            assert_eq!(chosen, expected.map_err(str::to_owned), "{asked:?}");
        }
    }

    #[test]
    fn an_old_driver_is_told_from_a_hidden_gpu() {
        let no_gpu = |driver, built_for| CudaStatus::NoGpu {
            driver: CudaVersion(driver),
            built_for: CudaVersion(built_for),
        };
        assert_eq!(
            no_gpu(12_040, 13_000).to_string(),
            "the NVIDIA driver is for CUDA 12.4, libtorch for CUDA 13.0"
        );
        assert_eq!(
            no_gpu(13_010, 13_000).to_string(),
            "the NVIDIA driver offers no GPU"
        );
    }

    #[test]
    fn the_memory_that_is_available_is_read() {
        let meminfo =
            "MemTotal:       24650000 kB\nMemFree:           12345 kB\nMemAvailable:    2048 kB\n";
        for (text, bytes) in [
            (meminfo, Some(2 << 20)),
            ("MemTotal: 1 kB\n", None),
            ("MemAvailable: much\n", None),
        ] {
            assert_eq!(available_in(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_path_with_spaces_is_read_from_the_memory_map() {
        let maps = "7f0000000000-7f0000001000 rw-p 00000000 00:00 0\n\
             7f1000000000-7f1000001000 r--p 00000000 fe:00 1234    /opt/my torch/lib/libtorch_cpu.so\n";
        assert_eq!(
            mapped_file(maps, "libtorch_cpu.so"),
            Some("/opt/my torch/lib/libtorch_cpu.so".into())
        );
        assert_eq!(mapped_file(maps, "libtorch_cuda.so"), None);
    }
}
