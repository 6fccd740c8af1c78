//! Commands, output, exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

/// `serve --config FILE` until the other commands are here.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "--config") else {
        eprintln!("usage: hooksluice serve --config FILE");
        return ExitCode::from(2);
    };
    let path = PathBuf::from(&arguments[at + 1]);
    let loaded = match crate::config::load(&path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::from(2);
        }
    };
    if let Err(error) = crate::telemetry::logs::start(&loaded.config.log) {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let served = runtime.block_on(crate::serve::serve(Some(path), loaded, |ingress, admin| {
        println!("hooksluice is ready: ingress={ingress} admin={admin}");
    }));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
