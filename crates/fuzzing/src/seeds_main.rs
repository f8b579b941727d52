//! Lays a target's seeds and words out as libFuzzer wants them: `fuzz-seeds TARGET FOLDER`. Called by `cargo xtask fuzz`.

use std::{env, fs, io, path::Path, process::ExitCode};

use tidegate_fuzzing::{Target, words};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [target, folder] = arguments.as_slice() else {
        eprintln!("fuzz-seeds: usage: fuzz-seeds TARGET FOLDER");
        return ExitCode::from(2);
    };
    let Some(target) = Target::named(target) else {
        eprintln!("fuzz-seeds: no such target");
        return ExitCode::from(2);
    };
    let seeds = match target.seeds() {
        Ok(seeds) => seeds,
        Err(error) => {
            eprintln!("fuzz-seeds: {error}");
            return ExitCode::FAILURE;
        }
    };
    match lay_out(Path::new(folder), &seeds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz-seeds: write seeds: {error}");
            ExitCode::FAILURE
        }
    }
}

fn lay_out(folder: &Path, seeds: &[Vec<u8>]) -> io::Result<()> {
    let into = folder.join("seeds");
    fs::create_dir_all(&into)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(into.join(format!("{number:04}")), seed)?;
    }
    // The characters of words are none that a dictionary would have to escape.
    let dictionary: String = words(seeds).iter().map(|word| format!("\"{word}\"\n")).collect();
    fs::write(folder.join("words.dict"), dictionary)
}
