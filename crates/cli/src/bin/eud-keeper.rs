//! `eud-keeper`: the parent of one run's command. All of it is in the crate `eud-keeper`.

fn main() -> std::process::ExitCode {
    eud_keeper::main()
}
