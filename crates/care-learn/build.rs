//! Compiles `src/libtorch.cpp` against the headers of the libtorch that torch-sys links.

use std::path::Path;

mod run_path {
    include!("../../build.rs");

    pub fn say() {
        main();
    }
}

fn main() {
    run_path::say();
    println!("cargo::rerun-if-changed=src/libtorch.cpp");
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("src/libtorch.cpp")
        .include(Path::new(&lib).with_file_name("include"))
        // As torch-sys compiles what it shares with libtorch.
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        // Its headers have warnings of their own.
        .warnings(false)
        .compile("care_libtorch");
}
