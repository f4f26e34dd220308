//! The keeper without the package that ships it: for this crate's tests and measurements.

fn main() -> std::process::ExitCode {
    eud_keeper::main()
}
