// Tells the loader where libtorch lies, so that `cargo run` and `cargo test` need no environment variable.
// `crates/care-learn/build.rs` includes this file: both packages have executables that link libtorch.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // From torch-sys, which is a direct dependency for this reason: the folder it linked against, a user's LIBTORCH included.
    let Ok(libtorch) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // A RUNPATH rather than an RPATH, so that LD_LIBRARY_PATH still comes first.
        println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags");
        // Where a package puts libtorch, beside its `bin`.
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/libtorch");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}");
    }
}
