//! The keeper as a program of its own: for the tests of this crate.

fn main() {
    let words: Vec<_> = std::env::args_os().collect();
    std::process::exit(eud_keeper::main(&words));
}
