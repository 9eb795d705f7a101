//! Panics as results: tch panics where libtorch fails, and a decoder may on a malformed file.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread's panics are caught.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Where in the sources the last of them was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a panic said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Panic {
    /// Libtorch's reason, one line without a full stop.
    Torch(String),
    /// A fault of this program: the message's first line, and where.
    Fault(String),
}

/// Runs `f`. Where it panics nothing is printed: whoever calls this says it to the user. Other threads, and this one
/// outside of `f`, panic as they did. What a panic leaves half done must not be used afterwards.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CAUGHT.get() {
                let place = info.location().map(ToString::to_string);
                PLACE.replace(place.unwrap_or_default());
            } else {
                print(info);
            }
        }));
    });
    let outside = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    CAUGHT.set(outside);
    result.map_err(|payload| said_by(payload.as_ref()))
}

fn said_by(payload: &(dyn Any + Send)) -> Panic {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    // tch unwraps its errors, so the message is the error as `Debug` writes it, line ends and quotes escaped.
    match text.split_once("Torch(\"") {
        Some((_, debug)) => {
            let debug = debug.strip_suffix("\")").unwrap_or(debug);
            let lines = debug.replace("\\n", "\n");
            Panic::Torch(torch_reason(&lines.replace("\\\"", "\"")))
        }
        None => {
            let line = text.lines().next().unwrap_or_default();
            Panic::Fault(format!("{line} ({})", PLACE.take()))
        }
    }
}

/// The first line of an error of libtorch, without its full stop; what follows is its own call stack. Of an error in a
/// TorchScript program, whose call stack comes first, the line after that.
pub(crate) fn torch_reason(text: &str) -> String {
    let text = text.strip_prefix("Internal torch error: ").unwrap_or(text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let reason = if first.ends_with("in the TorchScript interpreter.") {
        lines.find_map(|line| line.strip_prefix("RuntimeError: "))
    } else {
        None
    };
    reason.unwrap_or(first).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tch::{Device, Kind, Tensor};

    use super::*;

    const SHAPES: &str =
        "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0";

    fn zeros(n: i64) -> Tensor {
        Tensor::zeros([n], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn libtorchs_reason_is_one_line() {
        let panic = caught(|| zeros(2) + zeros(3)).expect_err("shapes differ");
        assert_eq!(panic, Panic::Torch(SHAPES.to_owned()));
        let error = zeros(2).f_add(&zeros(3)).expect_err("shapes differ");
        assert_eq!(torch_reason(&error.to_string()), SHAPES);
        assert_eq!(caught(|| 5), Ok(5));
    }

    #[test]
    fn a_fault_of_the_program_says_where() {
        let Err(Panic::Fault(text)) = caught::<()>(|| panic!("first line\nsecond line")) else {
            panic!("not a fault")
        };
        assert!(
            text.starts_with("first line (") && text.contains("panics.rs:"),
            "{text}"
        );
    }

    /// In a process of its own, whose standard error can be read.
    #[test]
    fn only_what_is_caught_is_silent() {
        const CHILD: &str = "CARE_PANICS_CHILD";
        const NAME: &str = "panics::tests::only_what_is_caught_is_silent";
        if std::env::var_os(CHILD).is_some() {
            let _ = caught::<()>(|| panic!("caught here"));
            let other = || std::thread::spawn(|| panic!("another thread")).join();
            let _ = caught(other);
            let _ = catch_unwind(|| panic!("outside"));
            return;
        }
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        for (what, printed) in [
            ("caught here", false),
            ("another thread", true),
            ("outside", true),
        ] {
            assert_eq!(said.contains(what), printed, "{what}: {said}");
        }
    }
}
