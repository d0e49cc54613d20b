//! The reference of the commands: a hand-written prologue, and the help of each command.

use clap::{Command, CommandFactory};
use portcullis::Cli;

const PROLOGUE: &str = include_str!("commands.md");

/// The reference, in Markdown.
#[must_use]
pub(crate) fn markdown() -> String {
    let mut cli = Cli::command();
    cli.build();
    let note = "<!-- Made by `make reference`. Change the doc comments in src/cli, or \
                tools/reference/commands.md, and run it again. -->";
    let mut text = format!("{note}\n\n{PROLOGUE}");
    for command in cli.get_subcommands_mut() {
        if command.get_name() != "help" {
            text.push_str(&section(command));
        }
    }
    text
}

fn section(command: &mut Command) -> String {
    let name = command.get_name().to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    let help = help.join("\n");
    format!(
        "\n## portcullis {name}\n\n```text\n{}\n```\n",
        help.trim_end()
    )
}
