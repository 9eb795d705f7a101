//! Fetches a file over HTTP: on from where it was broken off, and checked by its hash.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use ureq::Agent;

/// Takes the proxy from the environment (`HTTPS_PROXY`, `NO_PROXY` and the like).
#[must_use]
pub fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        // A connection that has died without a word is noticed then. One that is merely slow costs a further request.
        .timeout_recv_body(Some(Duration::from_secs(300)))
        .user_agent(concat!("care-studio/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Fetches `url` into the file `into`, which appears whole or not at all. What has come is kept in `into` with `.part`
/// appended, from whose end the next try goes on. `sha256` are the hash's first digits in lower case; `progress` hears how many
/// bytes there are, and of how many where the server says that.
///
/// # Errors
/// Where the server cannot be reached or has no such file, the folder cannot be written to, another program is
/// fetching the same file, or the file that came has another hash.
pub fn fetch(
    agent: &Agent,
    url: &str,
    sha256: &str,
    into: &Path,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<()> {
    if let Some(folder) = into.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let mut part = into.as_os_str().to_owned();
    part.push(".part");
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&part)
        .with_context(|| format!("{} cannot be written", Path::new(&part).display()))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => bail!("another program is fetching it already"),
        // Not every file system can lock.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    loop {
        let resumed = length(&file)? > 0;
        let received = receive(agent, url, &mut file, progress);
        if received.is_err() && length(&file)? == 0 {
            fs::remove_file(&part)?;
        }
        received?;
        file.rewind()?;
        if hash(&mut file)?.starts_with(sha256) {
            break;
        }
        // What lay there from an earlier try may have been something else: once more, from the beginning.
        file.set_len(0)?;
        if !resumed {
            fs::remove_file(&part)?;
            bail!(
                "another file came than the one expected: its SHA-256 does not begin with {sha256}"
            );
        }
    }
    drop(file);
    Ok(fs::rename(&part, into)?)
}

/// Whether a file has a hash that begins with these digits.
///
/// # Errors
/// Where the file cannot be read.
pub fn has_hash(path: &Path, sha256: &str) -> io::Result<bool> {
    Ok(hash(&mut File::open(path)?)?.starts_with(sha256))
}

fn hash(reader: &mut impl Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(format!("{:x}", digest.finalize())),
            n => digest.update(&buffer[..n]),
        }
    }
}

fn length(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// What is missing of a file. A connection that ends is made again as long as that brings the file further.
fn receive(
    agent: &Agent,
    url: &str,
    file: &mut File,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<()> {
    loop {
        let before = length(file)?;
        match receive_once(agent, url, file, progress) {
            Err(_) if length(file)? > before => {}
            result => return result,
        }
    }
}

fn receive_once(
    agent: &Agent,
    url: &str,
    file: &mut File,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<()> {
    let have = length(file)?;
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call()?;
    let from_there = format!("bytes {have}-");
    let is_rest = response
        .headers()
        .get("Content-Range")
        .and_then(|range| range.to_str().ok())
        .is_some_and(|range| range.starts_with(&from_there));
    let mut done = match response.status().as_u16() {
        // A server that knows no ranges sends everything.
        200 => 0,
        206 if is_rest => have,
        // All of it is there, or more than that: its hash will say.
        416 if have > 0 => return Ok(()),
        _ => bail!("the server answered {}", response.status()),
    };
    if done == 0 {
        file.set_len(0)?;
    }
    let total = response.body().content_length().map(|rest| done + rest);
    let mut reader = response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        progress(done, total);
        match reader.read(&mut buffer)? {
            0 => break,
            n => file
                .write_all(&buffer[..n])
                .context("it cannot be written")?,
        }
        done = length(file)?;
    }
    let is_whole = total.is_none_or(|total| total == done);
    ensure!(is_whole, "the connection ended at {done} bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// What a server does when it is asked for the file.
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

    /// A server on this machine that has one file. Gives these answers, the last again and again, and says from which
    /// byte on it was asked for the file.
    fn server(bytes: Vec<u8>, answers: &[Answer]) -> (String, Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/models/file", listener.local_addr().unwrap());
        let (asked, received) = channel();
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            for (i, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let range = lines
                    .map_while(|line| line.ok().filter(|line| !line.is_empty()))
                    .filter_map(|line| {
                        let line = line.to_lowercase();
                        let range = line.strip_prefix("range: bytes=")?;
                        range.strip_suffix('-')?.parse::<usize>().ok()
                    })
                    .last();
                if asked.send(range.unwrap_or(0)).is_err() {
                    return;
                }
                let answer = answers[i.min(answers.len() - 1)];
                let from = match answer {
                    Answer::NoRange => 0,
                    _ => range.unwrap_or(0),
                };
                let rest = bytes.get(from..).unwrap_or_default();
                let found = match from {
                    0 => "200 OK",
                    _ => "206 Partial Content",
                };
                let (status, body) = match answer {
                    Answer::Missing => ("404 Not Found", Vec::new()),
                    _ if rest.is_empty() => ("416 Range Not Satisfiable", Vec::new()),
                    Answer::Half => (found, rest[..rest.len() / 2].to_vec()),
                    Answer::Wrong => (found, vec![0; rest.len()]),
                    _ => (found, rest.to_vec()),
                };
                let (last, n, length) = (bytes.len() - 1, bytes.len(), rest.len());
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Range: bytes {from}-{last}/{n}\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n"
                );
                // Whoever asked may have gone.
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body);
            }
        });
        (url, received)
    }

    /// Without the proxies of whoever runs the tests.
    fn direct() -> Agent {
        let config = Agent::config_builder().http_status_as_error(false);
        config.proxy(None).build().into()
    }

    #[test]
    fn what_was_broken_off_goes_on() {
        use Answer::{Half, Missing, NoRange, Right, Wrong};
        let bytes: Vec<u8> = (0..300_000u32)
            .map(|i| (i.wrapping_mul(i) >> 7) as u8)
            .collect();
        let sha256 = hash(&mut &bytes[..]).unwrap();
        let n = bytes.len();
        let right = &bytes[..];
        // What lies there from an earlier try, what the server does, what it is asked for, and whether the file comes.
        for (there, answers, asked, result) in [
            (None, &[Right][..], &[0][..], Ok(())),
            (None, &[Half, Half, Right], &[0, n / 2, n * 3 / 4], Ok(())),
            (Some(&right[..1000]), &[Right], &[1000], Ok(())),
            (Some(&right[..1000]), &[NoRange], &[1000], Ok(())),
            (Some(right), &[Right], &[n], Ok(())),
            // Another file's beginning.
            (Some(&[7; 500][..]), &[Right], &[500, 0], Ok(())),
            (None, &[Wrong], &[0], Err("SHA-256")),
            (None, &[Missing], &[0], Err("404")),
            (Some(&right[..1000]), &[Missing], &[1000], Err("404")),
            (None, &[Half, Missing], &[0, n / 2], Err("404")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let into = dir.path().join("store").join("file");
            let part = dir.path().join("store").join("file.part");
            if let Some(there) = there {
                fs::create_dir_all(into.parent().unwrap()).unwrap();
                fs::write(&part, there).unwrap();
            }
            let (url, requests) = server(bytes.clone(), answers);
            let last = Cell::new((0, None));
            let fetched = fetch(&direct(), &url, &sha256[..8], &into, &|done, total| {
                last.set((done, total));
            });
            let what = format!("{:?} {answers:?}", there.map(<[u8]>::len));
            assert_eq!(requests.try_iter().collect::<Vec<_>>(), asked, "{what}");
            match result {
                Ok(()) => {
                    fetched.unwrap();
                    assert!(fs::read(&into).unwrap() == bytes, "{what}");
                    assert!(!part.exists(), "{what}");
                    if asked != [n] {
                        assert_eq!(last.get(), (n as u64, Some(n as u64)), "{what}");
                    }
                }
                Err(says) => {
                    let error = format!("{:#}", fetched.unwrap_err());
                    assert!(error.contains(says), "{what}: {error}");
                    assert!(!into.exists(), "{what}");
                    // What may be of use to the next try stays.
                    let kept = fs::read(&part).ok();
                    let useful = asked.last().copied().filter(|n| *n > 0);
                    assert_eq!(kept.map(|kept| kept.len()), useful, "{what}");
                }
            }
        }
    }

    #[test]
    fn nobody_answers() {
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("file");
        let url = format!("http://{address}/file");
        assert!(fetch(&direct(), &url, "00", &into, &|_, _| {}).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let part = File::create(dir.path().join("file.part")).unwrap();
        part.lock().unwrap();
        let into = dir.path().join("file");
        let error = fetch(&direct(), "http://127.0.0.1:1/", "00", &into, &|_, _| {}).unwrap_err();
        assert!(error.to_string().contains("already"), "{error}");
    }
}
