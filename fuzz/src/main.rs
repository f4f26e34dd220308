//! The fuzzer: libFuzzer's loop around one target, named by `EUD_FUZZ_TARGET`. Without a name it
//! lists all, one a line: name, longest input worth trying in bytes, what it reads.
//!
//! Deliberately absent: options of its own. All others are libFuzzer's; `cargo xtask fuzz` gives
//! them.

#![no_main]

use std::io::Write;
use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: choose(),
    |bytes: &[u8]| {
        if let Some(run) = TARGET.get() {
            run(bytes);
        }
    }
);

fn choose() {
    let Ok(name) = std::env::var("EUD_FUZZ_TARGET") else {
        list();
    };
    let Some(target) = eud_fuzz::target(&name) else {
        panic!("EUD_FUZZ_TARGET names no target: `{name}`");
    };
    // It is chosen once.
    let _ = TARGET.set(target.run);
}

fn list() -> ! {
    for target in eud_fuzz::TARGETS {
        let (name, bytes_max, about) = (target.name, target.bytes_max, target.about);
        // Who does not read does not want to know.
        let _ = writeln!(std::io::stdout(), "{name}\t{bytes_max}\t{about}");
    }
    std::process::exit(0);
}
