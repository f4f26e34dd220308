//! The keeper as a program of its own: for the tests of this crate.

fn main() {
    std::process::exit(eud_keeper::main());
}
