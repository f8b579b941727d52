//! The catalogue: which local command stands for an image.

use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf};

use serde::Deserialize;

/// Images and the commands behind them.
///
/// ```toml
/// [images."shop:v1"]
/// command = ["target/debug/shop", "--version", "1"]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Commands by image name.
    #[serde(default)]
    pub images: BTreeMap<String, Program>,
    /// Relative programs are looked up from here; the present folder if absent.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program and its arguments. It listens on HOST:PORT of its environment and stops on SIGTERM.
    pub command: Vec<String>,
    /// Variables besides those of the task definition, which win over these.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// The catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It cannot be read.
    #[error("read the catalogue {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what is expected; the message has line and column.
    #[error("read the catalogue: {0}")]
    Toml(String),
    /// An image has no command.
    #[error("image {image} of the catalogue has an empty command")]
    Empty {
        /// Which.
        image: String,
    },
}

impl Catalogue {
    /// Reads a catalogue file.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    pub fn load(path: &Path) -> Result<Self, CatalogueError> {
        let text = fs::read_to_string(path)
            .map_err(|source| CatalogueError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Parses a catalogue.
    ///
    /// # Errors
    /// If it is not valid.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self =
            toml::from_str(text).map_err(|error| CatalogueError::Toml(error.to_string()))?;
        match catalogue.images.iter().find(|(_, program)| program.command.is_empty()) {
            Some((image, _)) => Err(CatalogueError::Empty { image: image.clone() }),
            None => Ok(catalogue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_a_command() {
        let catalogue =
            Catalogue::parse("[images.\"shop:v1\"]\ncommand = [\"shop\", \"--version\", \"1\"]\n").unwrap();
        assert_eq!(catalogue.images["shop:v1"].command, ["shop", "--version", "1"]);
    }

    #[test]
    fn a_misspelled_key_is_refused_with_its_line() {
        let error = Catalogue::parse("[images.\"shop:v1\"]\ncomand = [\"shop\"]\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("comand"), "{error}");
    }

    #[test]
    fn an_empty_command_is_refused_by_image() {
        let error = Catalogue::parse("[images.a]\ncommand = []\n").unwrap_err();
        assert_eq!(error.to_string(), "image a of the catalogue has an empty command");
    }
}
