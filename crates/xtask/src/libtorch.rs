//! Puts libtorch under `third_party/libtorch`, from the wheels of PyTorch and of NVIDIA on PyPI.
//!
//! They are fetched as pip would, so that a user's own index, proxy and credentials hold, and kept in
//! `third_party/wheels`, where they can be put by hand too. Wheels and the unpacked folder appear by renaming, whole or
//! not at all, so that this may be interrupted anywhere; the next time a wheel is fetched on from where it ended.

use std::env;
use std::fs::TryLockError;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

/// The one that tch 0.24 wants.
const VERSION: &str = "2.11.0";

/// A file on PyPI.
struct Wheel {
    project: &'static str,
    version: &'static str,
    /// Python, ABI and platform, as in the file's name.
    tags: &'static str,
    sha256: &'static str,
    megabytes: u32,
}

impl Wheel {
    const fn new(
        project: &'static str,
        version: &'static str,
        tags: &'static str,
        megabytes: u32,
        sha256: &'static str,
    ) -> Self {
        Self {
            project,
            version,
            tags,
            sha256,
            megabytes,
        }
    }

    fn requirement(&self) -> String {
        format!("{}=={}", self.project, self.version)
    }

    fn file_name(&self) -> String {
        format!(
            "{}-{}-{}.whl",
            self.project.replace('-', "_"),
            self.version,
            self.tags
        )
    }
}

/// libtorch_cpu.so itself needs the last two, GPU or not.
#[rustfmt::skip]
const CPU_WHEELS: &[Wheel] = &[
    Wheel::new("torch", VERSION, "cp311-cp311-manylinux_2_28_x86_64", 531,
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"),
    Wheel::new("nvidia-cuda-cupti", "13.0.85", "py3-none-manylinux_2_25_x86_64", 11,
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
    Wheel::new("nvidia-cuda-runtime", "13.0.96", "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64", 2,
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
];

/// The others that the torch wheel names as its requirements, Python's own apart.
#[rustfmt::skip]
const CUDA_WHEELS: &[Wheel] = &[
    Wheel::new("nvidia-cublas", "13.1.0.3", "py3-none-manylinux_2_27_x86_64", 423,
        "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"),
    Wheel::new("nvidia-cuda-nvrtc", "13.0.88", "py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64", 90,
        "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
    Wheel::new("nvidia-cudnn-cu13", "9.19.0.56", "py3-none-manylinux_2_27_x86_64", 366,
        "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"),
    Wheel::new("nvidia-cufft", "12.0.0.61", "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64", 214,
        "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"),
    Wheel::new("nvidia-cufile", "1.15.1.6", "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64", 1,
        "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"),
    Wheel::new("nvidia-curand", "10.4.0.35", "py3-none-manylinux_2_27_x86_64", 60,
        "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
    Wheel::new("nvidia-cusolver", "12.0.4.66", "py3-none-manylinux_2_27_x86_64", 201,
        "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112"),
    Wheel::new("nvidia-cusparse", "12.6.3.3", "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64", 146,
        "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"),
    Wheel::new("nvidia-cusparselt-cu13", "0.8.0", "py3-none-manylinux2014_x86_64", 170,
        "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd"),
    Wheel::new("nvidia-nccl-cu13", "2.28.9", "py3-none-manylinux_2_18_x86_64", 196,
        "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"),
    Wheel::new("nvidia-nvjitlink", "13.0.88", "py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64", 41,
        "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b"),
    Wheel::new("nvidia-nvshmem-cu13", "3.4.5", "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64", 60,
        "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80"),
    Wheel::new("nvidia-nvtx", "13.0.85", "py3-none-manylinux1_x86_64.manylinux_2_5_x86_64", 1,
        "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"),
];

/// Fetches a wheel into a file, going on where the file ends.
const FETCH: &str = include_str!("fetch.py");
/// Its exit status where pip's inside is not as it expects.
const OTHER_PIP: i32 = 3;

/// What pip has to be told so as to pick these wheels whatever Python it runs on.
const PIP_TARGET: &str = "--no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
     --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 \
     --platform manylinux2014_x86_64";

const CPU_LIBRARIES: [&str; 5] = [
    "libc10.so",
    "libcudart.so.13",
    "libcupti.so.13",
    "libgomp.so.1",
    "libtorch_cpu.so",
];

/// Of use to Python only; libtorch.so is written anew, below.
const PYTHON_LIBRARIES: [&str; 4] = [
    "libshm.so",
    "libtorch.so",
    "libtorch_global_deps.so",
    "libtorch_python.so",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WheelSet {
    Cpu,
    /// Serves machines without a GPU as well.
    Cuda,
}

impl WheelSet {
    fn wheels(self) -> Vec<&'static Wheel> {
        let more = match self {
            WheelSet::Cpu => &[],
            WheelSet::Cuda => CUDA_WHEELS,
        };
        CPU_WHEELS.iter().chain(more).collect()
    }

    /// Where in the libtorch folder a wheel's member belongs; `None` if it is not needed.
    ///
    /// All libraries lie in one folder: each looks for the others beside itself.
    fn destination(self, member: &Path) -> Option<PathBuf> {
        if let Ok(header) = member.strip_prefix("torch/include") {
            return Some(Path::new("include").join(header));
        }
        let name = member.file_name()?.to_str()?;
        let is_library = member.parent()?.ends_with("lib") && name.contains(".so");
        let wanted = match self {
            WheelSet::Cpu => CPU_LIBRARIES.contains(&name),
            WheelSet::Cuda => !PYTHON_LIBRARIES.contains(&name),
        };
        (is_library && wanted).then(|| Path::new("lib").join(name))
    }

    fn is_installed(self, libtorch: &Path) -> bool {
        let last = match self {
            WheelSet::Cpu => "lib/libtorch_cpu.so",
            WheelSet::Cuda => "lib/libtorch_cuda.so",
        };
        fs::read_to_string(libtorch.join("build-version"))
            .is_ok_and(|version| version.trim() == VERSION)
            && libtorch.join(last).is_file()
    }
}

/// The libtorch that the user chose over ours, in a way that torch-sys understands.
fn users_own(workspace: &Path) -> Option<String> {
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Some("Python's, by LIBTORCH_USE_PYTORCH".to_owned());
    }
    let chosen = PathBuf::from(env::var_os("LIBTORCH")?);
    // Our own folder is there too, from .cargo/config.toml.
    (chosen != workspace.join("third_party/libtorch"))
        .then(|| format!("{}, by LIBTORCH", chosen.display()))
}

/// Puts libtorch in place unless it is there already, or the user has one.
///
/// # Errors
/// If this is not Linux on x86_64; if pip cannot fetch a wheel, with the names of the files to bring; if the disk is
/// full or cannot be written to.
pub fn ensure_installed(workspace: &Path, set: WheelSet) -> Result<()> {
    if let Some(own) = users_own(workspace) {
        eprintln!("Using your own libtorch: {own}.");
        return Ok(());
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "this set-up knows Linux on x86_64 only; elsewhere, set LIBTORCH to the folder of a libtorch {VERSION}"
    );
    Installer {
        third_party: workspace.join("third_party"),
        python: Box::new(|| Command::new("python3")),
    }
    .ensure_installed(&set.wheels(), set)
}

struct Installer {
    third_party: PathBuf,
    /// Starts a Python that has pip.
    python: Box<dyn Fn() -> Command>,
}

impl Installer {
    fn ensure_installed(&self, wheels: &[&Wheel], set: WheelSet) -> Result<()> {
        let libtorch = self.third_party.join("libtorch");
        if set.is_installed(&libtorch) {
            return Ok(());
        }
        fs::create_dir_all(self.wheel_folder())?;
        let _lock = self.lock()?;
        // Another process may have done it while this one waited.
        if set.is_installed(&libtorch) {
            return Ok(());
        }
        self.fetch(wheels)?;
        self.unpack(wheels, set, &libtorch)?;
        eprintln!("libtorch {VERSION} is in {}", libtorch.display());
        Ok(())
    }

    fn wheel_folder(&self) -> PathBuf {
        self.third_party.join("wheels")
    }

    /// One set-up at a time, until the file is dropped.
    fn lock(&self) -> Result<File> {
        let lock = File::create(self.third_party.join(".lock"))?;
        match lock.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("Another set-up is running: waiting for it ...");
                lock.file().lock()?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context("third_party cannot be locked");
            }
        }
        Ok(lock)
    }

    /// Brings what is not in the wheel folder yet.
    fn fetch(&self, wheels: &[&Wheel]) -> Result<()> {
        let mut missing = Vec::new();
        for &wheel in wheels {
            if !self.is_intact(wheel)? {
                missing.push(wheel);
            }
        }
        for (done, wheel) in missing.iter().enumerate() {
            eprintln!(
                "Fetching {} of {}: {} ({} MB)",
                done + 1,
                missing.len(),
                wheel.requirement(),
                wheel.megabytes
            );
            if let Err(error) = self.download(wheel) {
                bail!("{error:#}\n\n{}", self.how_to_bring(&missing[done..]));
            }
        }
        Ok(())
    }

    /// Whether the wheel folder holds the very file.
    fn is_intact(&self, wheel: &Wheel) -> Result<bool> {
        has_hash(&self.wheel_folder().join(wheel.file_name()), wheel.sha256)
    }

    /// Fetches a wheel, once more from its beginning where what came is damaged.
    fn download(&self, wheel: &Wheel) -> Result<()> {
        let name = wheel.file_name();
        let part = self.wheel_folder().join(format!("{name}.part"));
        for _ in 0..2 {
            let status = (self.python)()
                .args(["-c", FETCH])
                .arg(&part)
                .args([&name, &wheel.requirement()])
                .args(PIP_TARGET.split(' '))
                .status()
                .context("python3 could not be started")?;
            if status.code() == Some(OTHER_PIP) {
                self.download_by_pip(wheel, &part)?;
            } else {
                ensure!(status.success(), "{name} could not be fetched");
            }
            if has_hash(&part, wheel.sha256)? {
                return Ok(fs::rename(&part, self.wheel_folder().join(&name))?);
            }
            fs::remove_file(&part)?;
        }
        bail!("twice, another file than the one expected came under the name {name}");
    }

    /// Fetches a wheel in one go, by any pip.
    fn download_by_pip(&self, wheel: &Wheel, into: &Path) -> Result<()> {
        let incoming = self.wheel_folder().join(".incoming");
        remove_folder(&incoming)?;
        let status = (self.python)()
            .args(["-m", "pip", "download", "--dest"])
            .arg(&incoming)
            .args(PIP_TARGET.split(' '))
            .arg(wheel.requirement())
            .status()
            .context("python3 could not be started")?;
        ensure!(
            status.success(),
            "python3 -m pip could not fetch {}",
            wheel.requirement()
        );
        fs::rename(incoming.join(wheel.file_name()), into)?;
        remove_folder(&incoming)
    }

    fn how_to_bring(&self, wheels: &[&Wheel]) -> String {
        let files: String = wheels
            .iter()
            .map(|wheel| format!("    {}\n", wheel.file_name()))
            .collect();
        let requirements: Vec<String> = wheels.iter().map(|wheel| wheel.requirement()).collect();
        format!(
            "Without a network, bring from PyPI\n\n{files}\nput them into\n\n    {}\n\nand run this again. \
             On a machine that has a network, this fetches them:\n\n    python3 -m pip download {PIP_TARGET} {}",
            self.wheel_folder().display(),
            requirements.join(" "),
        )
    }

    fn unpack(&self, wheels: &[&Wheel], set: WheelSet, libtorch: &Path) -> Result<()> {
        let staging = self.third_party.join("libtorch.new");
        let replaced = self.third_party.join("libtorch.old");
        remove_folder(&staging)?;
        remove_folder(&replaced)?;
        for wheel in wheels {
            let name = wheel.file_name();
            eprintln!("Unpacking {name}");
            unpack_wheel(&self.wheel_folder().join(&name), set, &staging)
                .with_context(|| format!("{name} cannot be unpacked"))?;
        }
        for library in CPU_LIBRARIES {
            ensure!(
                staging.join("lib").join(library).is_file(),
                "no wheel holds {library}"
            );
        }
        // torch-sys links `torch` by this name, and checks the version.
        fs::write(staging.join("lib/libtorch.so"), "INPUT(libtorch_cpu.so)\n")?;
        fs::write(staging.join("build-version"), VERSION)?;
        if libtorch.exists() {
            fs::rename(libtorch, &replaced)?;
        }
        fs::rename(&staging, libtorch)?;
        remove_folder(&replaced)
    }
}

/// Whether a file is there and has this SHA-256.
fn has_hash(path: &Path, sha256: &str) -> Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    let intact = format!("{:x}", digest.finalize()) == sha256;
    if !intact {
        eprintln!(
            "{} is damaged: its SHA-256 is not the one expected.",
            path.display()
        );
    }
    Ok(intact)
}

fn unpack_wheel(wheel: &Path, set: WheelSet, into: &Path) -> Result<()> {
    let mut archive = ZipArchive::new(File::open(wheel)?)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        let Some(destination) = member
            .enclosed_name()
            .and_then(|name| set.destination(name))
        else {
            continue;
        };
        if member.is_dir() {
            continue;
        }
        let destination = into.join(destination);
        if let Some(folder) = destination.parent() {
            fs::create_dir_all(folder)?;
        }
        io::copy(&mut member, &mut File::create(destination)?)?;
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
