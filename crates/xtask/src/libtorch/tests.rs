use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use zip::ZipWriter;
use zip::write::FileOptions;

use super::*;

/// A wheel of these members, each holding its own name.
fn wheel_of(members: &[&str]) -> Vec<u8> {
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    for member in members {
        zip.start_file(*member, FileOptions::default()).unwrap();
        zip.write_all(member.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn sha256_of(bytes: &[u8]) -> &'static str {
    format!("{:x}", Sha256::digest(bytes)).leak()
}

/// pip is out of reach.
fn installer_in(folder: &Path) -> Installer {
    Installer {
        third_party: folder.join("third party"),
        python: Box::new(|| Command::new("no-such-python")),
    }
}

/// What a server does when it is asked for the wheel.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// As asked for, whole or from some byte on.
    Right,
    /// Half of what is left, and then the connection ends.
    Half,
    /// All of it, whatever was asked for.
    NoRange,
    /// Other bytes, as many.
    Wrong,
    Missing,
}

/// A package index on this machine that holds one wheel. Answers one request after another, the last answer again and
/// again, and says from which byte on the wheel was asked for.
fn index(name: String, wheel: Vec<u8>, answers: Vec<Answer>) -> (String, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/simple/", listener.local_addr().unwrap());
    let (asked, received) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut last = Answer::Right;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            let range = lines
                .map_while(|line| line.ok().filter(|line| !line.is_empty()))
                .filter_map(|line| {
                    let line = line.to_lowercase();
                    line.strip_prefix("range: bytes=")?
                        .strip_suffix('-')?
                        .parse::<usize>()
                        .ok()
                })
                .last();
            let (status, headers, body, length);
            if request.contains("/simple/") {
                let page = format!("<a href=\"/files/{name}\">{name}</a>").into_bytes();
                length = page.len();
                (status, headers, body) = ("200 OK", "Content-Type: text/html".into(), page);
            } else {
                last = answers.next().unwrap_or(last);
                asked.send(range.unwrap_or(0)).unwrap();
                let from = match (last, range) {
                    (Answer::NoRange, _) | (_, None) => 0,
                    (_, Some(from)) => from,
                };
                let rest = wheel.get(from..).unwrap_or_default();
                headers = match wheel.len() {
                    n if from < n => format!("Content-Range: bytes {from}-{}/{n}", n - 1),
                    n => format!("Content-Range: bytes */{n}"),
                };
                length = rest.len();
                (status, body) = match last {
                    Answer::Missing => ("404 Not Found", Vec::new()),
                    _ if from >= wheel.len() => ("416 Range Not Satisfiable", Vec::new()),
                    Answer::Half => ("206 Partial Content", rest[..length / 2].to_vec()),
                    Answer::Wrong => ("206 Partial Content", vec![0; length]),
                    _ if from == 0 => ("200 OK", rest.to_vec()),
                    _ => ("206 Partial Content", rest.to_vec()),
                };
            }
            let head = format!(
                "HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            // Whoever asked may have gone.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    (url, received)
}

/// pip as it comes, of which this machine's settings are kept away.
fn pip_with(settings: &[(&'static str, String)]) -> Box<dyn Fn() -> Command> {
    let settings = settings.to_vec();
    Box::new(move || {
        let mut command = Command::new("python3");
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PIP_") {
                command.env_remove(name);
            }
        }
        command
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("NO_PROXY", "127.0.0.1")
            .envs(settings.iter().cloned());
        command
    })
}

#[test]
fn members_go_where_torch_sys_and_the_loader_look() {
    for (member, cpu, cuda) in [
        (
            "torch/include/torch/csrc/api/include/torch/all.h",
            Some("include/torch/csrc/api/include/torch/all.h"),
            None,
        ),
        (
            "torch/lib/libtorch_cpu.so",
            Some("lib/libtorch_cpu.so"),
            None,
        ),
        (
            "nvidia/cu13/lib/libcudart.so.13",
            Some("lib/libcudart.so.13"),
            None,
        ),
        (
            "torch/lib/libtorch_cuda.so",
            None,
            Some("lib/libtorch_cuda.so"),
        ),
        (
            "nvidia/cudnn/lib/libcudnn.so.9",
            None,
            Some("lib/libcudnn.so.9"),
        ),
        ("torch/lib/libtorch_python.so", None, None),
        ("torch/lib/libtorch.so", None, None),
        ("torch/_C.cpython-311-x86_64-linux-gnu.so", None, None),
        ("nvidia/cudnn/include/cudnn.h", None, None),
    ] {
        let member = Path::new(member);
        assert_eq!(
            WheelSet::Cpu.destination(member),
            cpu.map(PathBuf::from),
            "{member:?}"
        );
        assert_eq!(
            WheelSet::Cuda.destination(member),
            cuda.or(cpu).map(PathBuf::from),
            "{member:?}"
        );
    }
}

#[test]
fn every_wheel_is_pinned_once() {
    let wheels = WheelSet::Cuda.wheels();
    for (index, wheel) in wheels.iter().enumerate() {
        assert!(
            wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit()),
            "{}",
            wheel.project
        );
        assert!(
            wheels[..index]
                .iter()
                .all(|other| other.project != wheel.project && other.sha256 != wheel.sha256)
        );
    }
}

#[test]
fn wheels_brought_by_hand_are_enough_and_are_unpacked_once() {
    let folder = tempfile::tempdir().unwrap();
    let installer = installer_in(folder.path());
    let wheels: Vec<Wheel> = [
        &[
            "torch/include/torch/torch.h",
            "torch/lib/libc10.so",
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libgomp.so.1",
        ][..],
        &[
            "nvidia/cu13/lib/libcudart.so.13",
            "nvidia/cu13/lib/libcupti.so.13",
        ],
    ]
    .into_iter()
    .zip(["torch", "nvidia-cuda"])
    .map(|(members, project)| {
        let bytes = wheel_of(members);
        let wheel = Wheel::new(project, "1", "py3-none-any", 1, sha256_of(&bytes));
        fs::create_dir_all(installer.wheel_folder()).unwrap();
        fs::write(installer.wheel_folder().join(wheel.file_name()), bytes).unwrap();
        wheel
    })
    .collect();
    let wheels: Vec<&Wheel> = wheels.iter().collect();
    // As an interrupted set-up leaves it.
    let libtorch = installer.third_party.join("libtorch");
    fs::create_dir_all(installer.third_party.join("libtorch.new/lib/half")).unwrap();
    fs::create_dir_all(libtorch.join("stale")).unwrap();

    installer.ensure_installed(&wheels, WheelSet::Cpu).unwrap();

    assert_eq!(
        fs::read_to_string(libtorch.join("build-version")).unwrap(),
        VERSION
    );
    assert_eq!(
        fs::read_to_string(libtorch.join("lib/libtorch_cpu.so")).unwrap(),
        "torch/lib/libtorch_cpu.so"
    );
    assert!(libtorch.join("include/torch/torch.h").is_file());
    for leftover in [
        "libtorch/stale",
        "libtorch/lib/half",
        "libtorch.new",
        "libtorch.old",
    ] {
        assert!(!installer.third_party.join(leftover).exists(), "{leftover}");
    }
    fs::remove_dir_all(installer.wheel_folder()).unwrap();
    installer.ensure_installed(&wheels, WheelSet::Cpu).unwrap();
}

#[test]
fn an_interrupted_wheel_is_fetched_on_and_a_damaged_one_anew() {
    use Answer::*;
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|i| (i.wrapping_mul(i) >> 8) as u8)
        .collect();
    let wheel = Wheel::new("big", "1", "py3-none-any", 1, sha256_of(&bytes));
    let all = bytes.len();
    let damaged = vec![7; all];
    // What an earlier set-up left, what the index answers, from which bytes on it is asked, and whether it ends well.
    let cases: [(&[u8], &[Answer], &[usize], bool); 3] = [
        (
            &bytes[..400_000],
            &[Half, Half, NoRange],
            &[400_000, 700_000, 850_000],
            true,
        ),
        (&damaged, &[Right], &[all, 0], true),
        (
            &[&*bytes, &*bytes].concat(),
            &[Right, Wrong, Missing],
            &[2 * all, 0, 0],
            false,
        ),
    ];
    std::thread::scope(|scope| {
        for (left, answers, expected, ends_well) in cases {
            let (bytes, wheel) = (&bytes, &wheel);
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let (url, asked) = index(wheel.file_name(), bytes.clone(), answers.to_vec());
                let installer = Installer {
                    python: pip_with(&[("PIP_INDEX_URL", url)]),
                    ..installer_in(folder.path())
                };
                let file = installer.wheel_folder().join(wheel.file_name());
                let part = installer.wheel_folder().join(wheel.file_name() + ".part");
                fs::create_dir_all(installer.wheel_folder()).unwrap();
                fs::write(&part, left).unwrap();

                let result = installer.fetch(&[wheel]);

                assert_eq!(result.is_ok(), ends_well, "{answers:?}: {result:?}");
                assert_eq!(
                    asked.try_iter().collect::<Vec<_>>(),
                    expected,
                    "{answers:?}"
                );
                if ends_well {
                    assert!(fs::read(&file).unwrap() == *bytes && !part.exists());
                } else {
                    assert!(!file.exists());
                    assert!(result.unwrap_err().to_string().contains(&wheel.file_name()));
                }
            });
        }
    });
}

#[test]
fn a_folder_of_wheels_serves_as_well_as_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = Wheel::new("big", "1", "py3-none-any", 1, sha256_of(b"bytes"));
    fs::write(folder.path().join(wheel.file_name()), "bytes").unwrap();
    let installer = Installer {
        python: pip_with(&[
            ("PIP_NO_INDEX", "1".to_owned()),
            ("PIP_FIND_LINKS", folder.path().display().to_string()),
        ]),
        ..installer_in(folder.path())
    };
    fs::create_dir_all(installer.wheel_folder()).unwrap();
    installer.fetch(&[&wheel]).unwrap();
    let fetched = installer.wheel_folder().join(wheel.file_name());
    assert_eq!(fs::read(fetched).unwrap(), b"bytes");
}

#[test]
fn a_pip_that_is_made_otherwise_is_left_to_do_it_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, text) in [
        ("METADATA", "Metadata-Version: 2.1\nName: big\nVersion: 1\n"),
        ("WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"),
    ] {
        zip.start_file(format!("big-1.dist-info/{name}"), FileOptions::default())
            .unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    let wheel = Wheel::new("big", "1", "py3-none-any", 1, sha256_of(&bytes));
    fs::write(folder.path().join(wheel.file_name()), &bytes).unwrap();
    let links = folder.path().display().to_string();
    let installer = Installer {
        python: Box::new(move || {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", "[ $1 = -c ] && exit 3; exec python3 \"$@\"", "sh"])
                .env("PIP_NO_INDEX", "1")
                .env("PIP_FIND_LINKS", &links);
            shell
        }),
        ..installer_in(folder.path())
    };
    fs::create_dir_all(installer.wheel_folder()).unwrap();
    installer.fetch(&[&wheel]).unwrap();
    let there = fs::read_dir(installer.wheel_folder()).unwrap();
    let there: Vec<_> = there.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, [&*wheel.file_name()]);
}

#[test]
fn what_pip_cannot_bring_is_named_with_the_place_to_put_it() {
    let folder = tempfile::tempdir().unwrap();
    let installer = installer_in(folder.path());
    fs::create_dir_all(installer.wheel_folder()).unwrap();
    fs::write(
        installer.wheel_folder().join(CPU_WHEELS[0].file_name()),
        "cut off",
    )
    .unwrap();

    let error = installer
        .ensure_installed(&WheelSet::Cpu.wheels(), WheelSet::Cpu)
        .unwrap_err()
        .to_string();

    assert!(
        error.contains(&installer.wheel_folder().display().to_string()),
        "{error}"
    );
    for wheel in CPU_WHEELS {
        assert!(error.contains(&wheel.file_name()), "{error}");
    }
    assert!(!installer.third_party.join("libtorch").exists());
}
