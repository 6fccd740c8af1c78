fn main() -> std::process::ExitCode {
    hooksluice::cli::run(std::env::args_os())
}
