//! `care weights` and `weights=NAME` from outside, on a store in a temporary folder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use care_data::{BoundingBox, Edit, Project};
use care_learn::backbone::Network;
use care_learn::config::BackboneKind;
use serde_json::Value;

use crate::common::tiny_project;

/// The program, with its data in `folder` and without the proxies of whoever runs the tests.
fn care(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_care"));
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = care(folder, arguments, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The line that says what went wrong.
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().last().unwrap().to_owned()
}

fn list(folder: &Path) -> Value {
    serde_json::from_str(&done(folder, &["weights", "list", "--json"])).unwrap()
}

#[test]
fn weights_come_in_are_listed_and_trained_from() {
    let (root, dir) = tiny_project(true);
    let folder = root.path();
    let empty = list(folder);
    assert_eq!(empty["weights"].as_array().map(Vec::len), Some(0));
    assert_eq!(empty["to_get"].as_array().map(Vec::len), Some(10));
    assert_eq!(empty["to_get"][0]["file"], "resnet18-f37072fd.pth");

    let network = Network::new(BackboneKind::SmallResnet, 5, 0, tch::Device::Cpu);
    let bytes = network.to_bytes().unwrap();
    std::fs::write(folder.join("mine.safetensors"), bytes).unwrap();
    std::fs::write(folder.join("page.pth"), "<!DOCTYPE html>").unwrap();
    let said = done(folder, &["weights", "add", "mine.safetensors"]);
    assert!(
        said.contains("--set backbone=small_resnet --set weights=mine"),
        "{said}"
    );
    let line = failed(&care(folder, &["weights", "add", "page.pth"], &[]));
    assert!(line.contains("page.pth"), "{line}");
    let listed = list(folder);
    assert_eq!(listed["weights"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["weights"][0]["name"], "mine");
    assert_eq!(listed["weights"][0]["backbone"], "small_resnet");
    assert_eq!(listed["weights"][0]["classes"], 5);

    let mut project = Project::open(&dir).unwrap();
    let images: Vec<_> = project.images().iter().map(|image| image.id).collect();
    for image in images {
        let annotation = project.new_box(image, BoundingBox::new(5.0, 5.0, 20.0, 20.0).unwrap());
        project.apply(Edit::AddBox { annotation }).unwrap();
    }
    drop(project);
    let train = |weights: &str| {
        let weights = format!("weights={weights}");
        let set = [
            "input_size=56",
            "stage1_epochs=1",
            "stage2_epochs=1",
            &weights,
        ];
        let mut arguments = vec!["train", "tiny.care"];
        arguments.extend(set.iter().flat_map(|set| ["--set", set]));
        care(folder, &arguments, &[])
    };
    let line = failed(&train("yours"));
    assert!(line.contains("yours") && line.contains("mine"), "{line}");
    let output = train("mine");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the classifier layer is new"), "{said}");
    let config = std::fs::read_to_string(dir.join("runs/0001/config.toml")).unwrap();
    assert!(
        config.contains("care-studio/weights/mine.safetensors"),
        "{config}"
    );
}

/// A proxy that refuses: it was asked, and what to do without a network is said.
#[test]
fn the_proxy_is_asked_and_offline_says_what_to_bring() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let request = lines.next().unwrap().unwrap();
        for _ in lines.map_while(|line| line.ok().filter(|line| !line.is_empty())) {}
        let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(refusal).unwrap();
        request
    });
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["weights", "get", "resnet18"];
    let output = care(folder.path(), &arguments, &[("HTTPS_PROXY", &proxy)]);
    let line = failed(&output);
    assert_eq!(
        asked.join().unwrap(),
        "CONNECT download.pytorch.org:443 HTTP/1.1"
    );
    let store = folder.path().join("data/care-studio/weights");
    for says in [
        "bring https://download.pytorch.org/models/resnet18-f37072fd.pth",
        &store.to_string_lossy(),
    ] {
        assert!(line.contains(says), "{line}");
    }
    assert_eq!(std::fs::read_dir(store).unwrap().count(), 0, "nothing half");

    let output = care(folder.path(), &["weights", "get", "alexnet"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mobilenet_v2"));
}
