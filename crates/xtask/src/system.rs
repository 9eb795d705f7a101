//! What the operating system has to bring: packages, and a display for the tests.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

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
pub const FOR_THE_TESTS: &[&str] = &["mesa-vulkan-drivers", "xdotool", "xvfb"];

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

/// Whether there is an X11 or a Wayland display to open a window on.
pub fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// An X server without a screen, gone when dropped.
pub struct VirtualDisplay {
    server: Child,
    name: String,
}

impl VirtualDisplay {
    /// Starts Xvfb on a free display; `None` where Xvfb is not installed.
    ///
    /// # Errors
    /// If Xvfb ends without a display.
    pub fn start() -> Result<Option<Self>> {
        let server = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1920x1080x24",
                "-nolisten",
                "tcp",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut display = match server {
            Ok(server) => Self {
                server,
                name: String::new(),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("Xvfb could not be started"),
        };
        let mut number = String::new();
        if let Some(output) = display.server.stdout.take() {
            BufReader::new(output).read_line(&mut number)?;
        }
        ensure!(
            !number.trim().is_empty(),
            "Xvfb ended without opening a display"
        );
        display.name = format!(":{}", number.trim());
        Ok(Some(display))
    }

    /// As in the variable DISPLAY.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for VirtualDisplay {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: at worst the server has already ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_what_dpkg_calls_installed_is_there() {
        let dpkg = "installed g++\nnot-installed xvfb\nconfig-files xdotool\n";
        let missing = missing_from(&["g++", "xvfb", "xdotool", "libgl1"], dpkg);
        assert_eq!(missing, ["xvfb", "xdotool", "libgl1"]);
    }

    #[test]
    fn a_virtual_display_answers_until_it_is_dropped() {
        // Where Xvfb is not installed there is nothing to try.
        let Some(display) = VirtualDisplay::start().unwrap() else {
            return;
        };
        let socket = format!("/tmp/.X11-unix/X{}", &display.name()[1..]);
        assert!(UnixStream::connect(&socket).is_ok());
        drop(display);
        assert!(UnixStream::connect(&socket).is_err());
    }
}
