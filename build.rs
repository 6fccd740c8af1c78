//! Only so that a new file under `schemas/` is noticed: the macro that embeds the folder sees it once, when it is expanded.
fn main() {
    println!("cargo::rerun-if-changed=schemas");
}
