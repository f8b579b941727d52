//! The server logs of instances: the files that are in a folder now, and portions of them.
//!
//! Called by the API's two log operations. An instance has a folder once the live half has reported one. Its files are written
//! by a real server, so their times are the server's, which is real time however fast the sandbox's clock runs. A path is only
//! ever made of a name that the folder itself lists. A modelled instance has no folder: its log is what whoever models its
//! server has written into the world, and it is read by the same rules.

use std::{
    fs::{self, File},
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;

use super::{Instance, World};

/// RDS shows a PostgreSQL server's log files under this folder.
const SHOWN_UNDER: &str = "error/";
/// Most bytes in a portion. Source: the RDS model's text of `DownloadDBLogFilePortion` ("up to 1 MB").
const MOST_BYTES: u64 = 1024 * 1024;
/// What RDS puts where that limit cuts a line. Source: public reports of what the operation answers.
const CUT: &str = " [Your log message was truncated]\n";

/// A log file as it is now.
pub(crate) struct LogFile {
    /// As RDS shows it: `error/postgresql.log.2026-11-23-07`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// When it was last written, in milliseconds since the epoch, by the server's clock.
    pub written: i64,
    source: Source,
}

/// Where the text of a log file is.
enum Source {
    Path(PathBuf),
    World(Arc<Vec<u8>>),
}

/// A log file that the world itself keeps.
#[derive(Clone, Debug)]
pub(crate) struct KeptLog {
    text: Arc<Vec<u8>>,
    written: Timestamp,
}

/// A part of a log file.
pub(crate) struct Portion {
    pub text: String,
    /// The offset of the first byte after it.
    pub end: u64,
    /// True if the file has more after it.
    pub more: bool,
}

impl World {
    /// An instance's server writes its log into files in this folder.
    pub fn report_log_folder(&mut self, id: &str, folder: PathBuf) {
        if let Some(instance) = self.rds.instances.get_mut(id) {
            instance.log_folder = Some(folder);
        }
    }

    /// A modelled instance's server writes whole lines at the end of a log file, at a time of its own clock. The file is named
    /// as in a folder: `postgresql.log.2026-11-23-07`.
    pub fn append_log(&mut self, id: &str, file: &str, at: Timestamp, lines: &str) {
        let Some(instance) = self.rds.instances.get_mut(id) else { return };
        let kept = instance
            .kept_logs
            .entry(file.to_owned())
            .or_insert_with(|| KeptLog { text: Arc::default(), written: at });
        // Copied only while somebody reads it.
        Arc::make_mut(&mut kept.text).extend_from_slice(lines.as_bytes());
        kept.written = kept.written.max(at);
    }

    /// A modelled instance's log file is gone, as when its time is over.
    pub fn drop_log(&mut self, id: &str, file: &str) {
        if let Some(instance) = self.rds.instances.get_mut(id) {
            instance.kept_logs.remove(file);
        }
    }
}

impl Instance {
    /// The log files, by name. A folder that is gone holds none: its server was stopped.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn log_files(&self) -> io::Result<Vec<LogFile>> {
        let Some(folder) = &self.log_folder else { return Ok(self.kept_log_files()) };
        let mut found = Vec::new();
        for entry in gone_is_none(fs::read_dir(folder))?.into_iter().flatten() {
            let entry = entry?;
            // Not followed: a link might lead out of the folder.
            let Some(metadata) = gone_is_none(entry.metadata())? else { continue };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                found.push(LogFile {
                    name: format!("{SHOWN_UNDER}{name}"),
                    size: metadata.len(),
                    written: Timestamp::try_from(metadata.modified()?).map_or(0, Timestamp::as_millisecond),
                    source: Source::Path(entry.path()),
                });
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn kept_log_files(&self) -> Vec<LogFile> {
        let file = |(name, kept): (&String, &KeptLog)| LogFile {
            name: format!("{SHOWN_UNDER}{name}"),
            size: kept.text.len() as u64,
            written: kept.written.as_millisecond(),
            source: Source::World(Arc::clone(&kept.text)),
        };
        self.kept_logs.iter().map(file).collect()
    }
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl LogFile {
    /// The portion that begins at an offset and has at most so many lines; `None` if the file is shorter than that.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn portion_from(&self, offset: u64, lines: usize) -> io::Result<Option<Portion>> {
        let (mut file, size) = self.open()?;
        if offset > size {
            return Ok(None);
        }
        let mut bytes = read(&mut *file, offset)?;
        let last = newlines(&bytes).nth(lines.saturating_sub(1));
        bytes.truncate(last.map_or(bytes.len(), |last| last + 1));
        let at_limit = bytes.len() as u64 == MOST_BYTES && offset + MOST_BYTES < size;
        let cut = at_limit && bytes.last() != Some(&b'\n');
        if cut {
            bytes.truncate(whole_characters(&bytes));
        }
        let end = offset + bytes.len() as u64;
        let mut text = readable(&bytes);
        if cut {
            // [assumption] The notice stands on the line that it cuts, and the next portion goes on with what was cut off.
            text.push_str(CUT);
        }
        Ok(Some(Portion { text, end, more: end < size }))
    }

    /// The most recent lines, in the order in which they were written.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn last_portion(&self, lines: usize) -> io::Result<Portion> {
        let (mut file, size) = self.open()?;
        let offset = size.saturating_sub(MOST_BYTES);
        let bytes = read(&mut *file, offset)?;
        // Each line begins after the newline before it; the file's own last newline begins none.
        let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let before = newlines(body).count().checked_sub(lines);
        let begin = before.and_then(|before| newlines(body).nth(before)).map_or(0, |newline| newline + 1);
        Ok(Portion { text: readable(&bytes[begin..]), end: offset + bytes.len() as u64, more: false })
    }
}

impl LogFile {
    /// Its text, and how long that is now: a real file may have grown since it was listed.
    fn open(&self) -> io::Result<(Box<dyn ReadSeek>, u64)> {
        match &self.source {
            Source::Path(path) => {
                let file = File::open(path)?;
                let size = file.metadata()?.len();
                Ok((Box::new(file), size))
            }
            Source::World(text) => {
                Ok((Box::new(Cursor::new(SharedBytes(Arc::clone(text)))), text.len() as u64))
            }
        }
    }
}

/// What a portion is read from.
trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Shared bytes as a cursor takes them.
struct SharedBytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn read(file: &mut dyn ReadSeek, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn newlines(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}

/// The length without a character that is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}

/// Text that XML can carry: a log may quote whatever a client sent.
fn readable(bytes: &[u8]) -> String {
    let fits = |c: char| (c >= ' ' || "\t\n\r".contains(c)) && !"\u{FFFE}\u{FFFF}".contains(c);
    String::from_utf8_lossy(bytes).chars().map(|c| if fits(c) { c } else { '\u{FFFD}' }).collect()
}
