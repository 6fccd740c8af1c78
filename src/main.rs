//! The binary: everything is in the library.

/// A parsed delivery is many small allocations, and the allocator of musl, for the static build, has one lock for all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hooksluice::cli::run(std::env::args_os())
}
