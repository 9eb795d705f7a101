//! What the operating system has to bring.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

// Names of packages on Debian and Ubuntu.
pub const TO_BUILD: &[&str] = &["g++"];
pub const FOR_THE_WINDOW: &[&str] = &[
    "libegl1",
    "libgl1",
    "libgl1-mesa-dri",
    "libwayland-client0",
    "libx11-6",
    "libx11-xcb1",
    "libxcursor1",
    "libxi6",
    "libxkbcommon-x11-0",
    "libxkbcommon0",
    "libxrandr2",
];
pub const FOR_THE_TESTS: &[&str] = &["xdotool", "xvfb"];

/// Installs the packages that are missing where this process may, and otherwise prints the line that does.
///
/// A package that cannot be installed is no error: a machine may have what is needed by other means, and says so
/// itself if not.
pub fn ensure_packages(groups: &[&[&str]]) -> Result<()> {
    let wanted = groups.concat();
    let Some(installed) = installed_packages(&wanted)? else {
        eprintln!(
            "note: not Debian or Ubuntu; what these packages hold is needed: {}",
            wanted.join(" ")
        );
        return Ok(());
    };
    let missing = missing_from(&wanted, &installed);
    if missing.is_empty() {
        return Ok(());
    }
    if is_root() && install(&missing).is_ok() {
        return Ok(());
    }
    eprintln!(
        "warning: system packages are missing. To install them:\n\n    sudo apt-get install {}\n",
        missing.join(" ")
    );
    Ok(())
}

/// dpkg's lines on the packages it knows of these; `None` where there is no dpkg.
fn installed_packages(wanted: &[&str]) -> Result<Option<String>> {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\\n"])
        .args(wanted)
        .output();
    match query {
        // The exit status is 1 as soon as one is unknown.
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("dpkg-query could not be started"),
    }
}

fn missing_from<'a>(wanted: &[&'a str], dpkg_lines: &str) -> Vec<&'a str> {
    let installed: Vec<&str> = dpkg_lines
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    wanted
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        .collect()
}

fn install(packages: &[&str]) -> Result<()> {
    eprintln!("Installing system packages: {}", packages.join(" "));
    let commands: [&[&str]; 2] = [
        &["update", "--quiet"],
        &["install", "--yes", "--no-install-recommends"],
    ];
    for (arguments, packages) in commands.into_iter().zip([&[], packages]) {
        let status = Command::new("apt-get")
            .args(arguments)
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("apt-get could not be started")?;
        ensure!(status.success(), "apt-get {} failed", arguments[0]);
    }
    Ok(())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether there is anything to open a window on. The application, of which this is no part, asks the same.
pub fn has_display() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dpkg_calls_installed_is_there() {
        let dpkg = "installed g++\nnot-installed xvfb\nconfig-files xdotool\n";
        let missing = missing_from(&["g++", "xvfb", "xdotool", "libgl1"], dpkg);
        assert_eq!(missing, ["xvfb", "xdotool", "libgl1"]);
    }
}
