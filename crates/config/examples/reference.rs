//! Prints the reference of the fleet file; `cargo xtask docs --write` makes `docs/fleet-file.md`
//! of it.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(eud_config::reference().as_bytes())
}
