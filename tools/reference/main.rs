//! Prints the reference of the configuration, `docs/configuration.md`; see `make reference`.

mod markdown;

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() {
    print!("{}", markdown::markdown());
}
