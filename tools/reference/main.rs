//! Prints a reference: of the configuration, `docs/configuration.md`, or of the commands,
//! `docs/cli.md`; see `make reference`.

mod commands;
mod markdown;

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() {
    let of_commands = std::env::args()
        .nth(1)
        .is_some_and(|what| what == "commands");
    let reference = if of_commands {
        commands::markdown()
    } else {
        markdown::markdown()
    };
    print!("{reference}");
}
