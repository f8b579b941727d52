//! `tidegate validate`: everything that is wrong with a spec, before it is saved.

use std::{fs, io::Read as _, path::Path};

use serde_json::json;
use tidegate_model::spec::{self, Problem};

use crate::{
    cli::{Output, ValidateArgs},
    exit::{Exit, Failure},
};

#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
struct Unreadable {
    path: String,
    source: std::io::Error,
}

pub(super) fn run(args: &ValidateArgs) -> Result<Exit, Failure> {
    let text = read(&args.file)?;
    let problems = spec::read(&text).err().unwrap_or_default();
    match args.output {
        Output::Text => print(&args.file, &problems),
        Output::Json => println!("{:#}", json!({ "valid": problems.is_empty(), "problems": problems })),
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::InvalidSpec })
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|source| Failure::usage(Unreadable { path: path.display().to_string(), source }))
}

fn print(path: &Path, problems: &[Problem]) {
    let path = path.display();
    for problem in problems {
        println!("{path}:{problem}");
    }
    match problems.len() {
        0 => println!("{path}: a valid spec"),
        1 => println!("1 problem"),
        several => println!("{several} problems"),
    }
}
