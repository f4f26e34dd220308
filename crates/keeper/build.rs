//! Links `eud-keeper-alone` at a fixed address.
//!
//! Every daemon has a keeper, so its memory is counted in pages. A position-independent program has
//! to write relocations into its own copy of some; one at a fixed address shares them with all
//! others.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    // A static build chooses with `-C relocation-model`; the linker refuses both at once.
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    if is_linux && !is_static {
        println!("cargo::rustc-link-arg-bin=eud-keeper-alone=-no-pie");
    }
}
