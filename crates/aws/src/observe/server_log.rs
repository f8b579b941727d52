//! The log of an instance's server, read on from where the last reading ended: whom the server refused stands nowhere else.
//!
//! Called for a schema change in quarantine. Must not understand the text, must not keep it (it may quote customers' data),
//! and must not take a failed read for an empty log: [`Aws::server_log`] gives all of a reading or an error, and an error
//! leaves the caller's position as it was.

use std::{collections::BTreeMap, mem};

use jiff::{SignedDuration, Timestamp};

use crate::{
    Aws, ReadError,
    budget::Bucket,
    call::Operation,
    error::{Failure, Kind},
};

const FILES: Operation = Operation { service: "rds", name: "DescribeDBLogFiles", bucket: Bucket::Rds };
const PORTION: Operation =
    Operation { service: "rds", name: "DownloadDBLogFilePortion", bucket: Bucket::Rds };

/// Portions in one reading: it costs the instance something, and a flood of messages must not keep the daemon.
const PORTIONS: usize = 8;
/// Lines asked for in a portion. AWS cuts what is over 1 MB, and these stay below it up to 500 bytes a line.
const LINES: usize = 2_000;
/// A portion below this was not cut, whether AWS counts its 1 MB in thousands or in powers of two.
const SURELY_WHOLE: usize = 900_000;
/// What RDS puts at the end of a portion that it cut at 1 MB, and where a message itself was cut.
const CUT: &str = "[Your log message was truncated]";
/// The marker of a file's beginning.
const BEGINNING: &str = "0";
/// A file that has not been written for this long before the newest was is closed: the server writes one file at a time.
const CLOSED_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// What was read of a server's log so far. No `Debug`: it may hold a piece of a line, and lines quote customers' data.
#[derive(Clone, PartialEq, Eq)]
pub struct LogPosition {
    since: Timestamp,
    at: BTreeMap<String, FilePosition>,
}

/// What was read of one file.
#[derive(Clone, PartialEq, Eq)]
struct FilePosition {
    /// AWS's, opaque: where the next portion begins.
    marker: String,
    /// The beginning of a line whose end was not there yet.
    tail: String,
    /// The size that was listed when the file was read to its end; empty while there is more to read.
    read: Option<i64>,
}

impl LogPosition {
    /// Everything in the files that were written since `since`, by the server's clock, which is real time whatever clock
    /// decisions use. The first file may begin with older lines: each line has its own time.
    pub fn since(since: Timestamp) -> Self {
        Self { since, at: BTreeMap::new() }
    }
}

/// What a reading gave. No `Debug`: it may hold customers' data.
pub struct LogPortion {
    /// Whole lines, as they are in the files, oldest file first.
    pub text: String,
    /// Where the next reading goes on.
    pub position: LogPosition,
    /// False if there was more than one reading takes: the next one is due at once.
    pub complete: bool,
    /// True if a file vanished before it was read to its end: what it said is not known.
    pub lost: bool,
}

/// A listed file.
struct Listed {
    name: String,
    written: Timestamp,
    size: i64,
}

/// A downloaded portion.
struct Portion {
    text: String,
    marker: String,
    more: bool,
    /// True if it begins the file anew.
    anew: bool,
}

impl Aws {
    /// Reads on in the server's log of an instance: a listing, and a few portions of files that grew since `from`.
    ///
    /// A file that vanished (RDS deletes old ones) is forgotten; one whose marker AWS refuses is read from its beginning
    /// again, so a line may come twice.
    ///
    /// # Errors
    /// If any call fails, an unknown instance and one that is not ready included. Nothing was read then.
    pub async fn server_log(&self, instance: &str, from: &LogPosition) -> Result<LogPortion, ReadError> {
        let files = self.log_files(instance, from.since).await?;
        let mut reading = Reading::begin(from, &files);
        let mut left = PORTIONS;
        for file in &files {
            while left > 0
                && let Some(marker) = reading.unread(file)
            {
                left -= 1;
                match self.portion(instance, &file.name, &marker).await? {
                    Some(portion) => reading.take(file, portion),
                    None => reading.forget(&file.name),
                }
            }
        }
        Ok(reading.end(&files))
    }

    /// The server's log files that were written since then, oldest first.
    async fn log_files(&self, instance: &str, since: Timestamp) -> Result<Vec<Listed>, ReadError> {
        let mut files = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let request = self.read.rds.describe_db_log_files().db_instance_identifier(instance);
            let request = request.filename_contains("postgresql.log");
            let request = request.file_last_written(since.as_millisecond()).set_marker(marker.take());
            let page =
                self.calls.call(FILES, request.send()).await.map_err(|f| ReadError::new(FILES.name, f))?;
            for details in page.describe_db_log_files.unwrap_or_default() {
                let file = details.log_file_name.zip(details.size).zip(details.last_written);
                let ((name, size), written) = file.ok_or_else(|| malformed(FILES))?;
                // Where csvlog is on too, each message is in two files.
                if !name.ends_with(".csv") {
                    let written = Timestamp::from_millisecond(written).map_err(|_| malformed(FILES))?;
                    files.push(Listed { name, written, size });
                }
            }
            marker = page.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                files.sort_by(|one, other| (one.written, &one.name).cmp(&(other.written, &other.name)));
                return Ok(files);
            }
        }
    }

    /// The portion at a marker; `None` if the file is gone.
    async fn portion(&self, instance: &str, file: &str, marker: &str) -> Result<Option<Portion>, ReadError> {
        let mut from = marker;
        let mut answer = self.lines(instance, file, from, LINES).await;
        if answer.as_ref().is_err_and(refuses_marker) && from != BEGINNING {
            from = BEGINNING;
            answer = self.lines(instance, file, from, LINES).await;
        }
        if let Ok(portion) = &answer
            && let Some(fewer) = lines_that_fit(&portion.text)
        {
            answer = self.lines(instance, file, from, fewer).await;
        }
        match answer {
            Ok(portion) => Ok(Some(Portion { anew: from == BEGINNING, ..portion })),
            Err(failure) if failure.code.starts_with("DBLogFileNotFound") => Ok(None),
            Err(failure) => Err(ReadError::new(PORTION.name, failure)),
        }
    }

    async fn lines(&self, instance: &str, file: &str, from: &str, lines: usize) -> Result<Portion, Failure> {
        let request = self.read.rds.download_db_log_file_portion().db_instance_identifier(instance);
        let request = request.log_file_name(file).marker(from);
        let request = request.number_of_lines(i32::try_from(lines).unwrap_or(i32::MAX));
        let output = self.calls.call(PORTION, request.send()).await?;
        let text = output.log_file_data.unwrap_or_default();
        let more = output.additional_data_pending.unwrap_or(false);
        let marker = match output.marker.filter(|marker| !marker.is_empty()) {
            Some(marker) => marker,
            // Nothing new: the old one still holds.
            None if text.is_empty() && !more => from.to_owned(),
            None => return Err(Failure { code: "no marker".to_owned(), kind: Kind::Malformed }),
        };
        Ok(Portion { text, marker, more, anew: false })
    }
}

fn malformed(operation: Operation) -> ReadError {
    ReadError::new(operation.name, Failure { code: "a missing member".to_owned(), kind: Kind::Malformed })
}

/// The model names no code for it, so it is the general one, under both of its names.
fn refuses_marker(failure: &Failure) -> bool {
    failure.code.starts_with("InvalidParameter") || failure.code.starts_with("ValidationError")
}

/// For a portion that was cut at 1 MB, a number of lines that fit. Whether AWS gives the rest of the cut line with the next
/// portion is not documented, and was seen both ways, so the cut is avoided; a single line over 1 MB stays cut.
fn lines_that_fit(text: &str) -> Option<usize> {
    let cut = text.len() >= SURELY_WHOLE && text.trim_end().ends_with(CUT);
    Some(text.lines().count() / 2).filter(|fewer| cut && *fewer > 0)
}

/// A reading under way.
struct Reading {
    text: String,
    since: Timestamp,
    at: BTreeMap<String, FilePosition>,
    lost: bool,
}

impl Reading {
    /// Every listed file gets its position; files that are not listed any more are forgotten.
    fn begin(from: &LogPosition, files: &[Listed]) -> Self {
        let mut reading = Self { text: String::new(), since: from.since, at: from.at.clone(), lost: false };
        for name in from.at.keys().filter(|name| !files.iter().any(|file| file.name == **name)) {
            reading.forget(name);
        }
        for file in files {
            reading.at.entry(file.name.clone()).or_insert_with(|| FilePosition {
                marker: BEGINNING.to_owned(),
                tail: String::new(),
                read: None,
            });
        }
        reading
    }

    /// The marker at which there is more to read in a file.
    fn unread(&self, file: &Listed) -> Option<String> {
        let at = self.at.get(&file.name)?;
        (at.read != Some(file.size)).then(|| at.marker.clone())
    }

    fn take(&mut self, file: &Listed, portion: Portion) {
        let Some(at) = self.at.get_mut(&file.name) else { return };
        at.marker = portion.marker;
        at.read = (!portion.more).then_some(file.size);
        let mut text = mem::take(&mut at.tail);
        if portion.anew {
            text.clear();
        }
        text.push_str(&portion.text);
        at.tail = text.split_off(text.rfind('\n').map_or(0, |newline| newline + 1));
        self.text.push_str(&text);
    }

    /// A file is gone. The beginning of a line that it left counts as a line: its end will not come.
    fn forget(&mut self, name: &str) {
        let Some(at) = self.at.remove(name) else { return };
        self.lost |= at.read.is_none();
        if !at.tail.is_empty() {
            self.text.push_str(&at.tail);
            self.text.push('\n');
        }
    }

    /// Once everything is read, closed files need not be listed any more.
    fn end(self, files: &[Listed]) -> LogPortion {
        let complete = files.iter().all(|file| self.unread(file).is_none());
        let newest = files.last().filter(|_| complete).map(|file| file.written);
        let open = newest.and_then(|newest| newest.checked_sub(CLOSED_AFTER).ok());
        let since = open.map_or(self.since, |open| self.since.max(open));
        let position = LogPosition { since, at: self.at };
        LogPortion { text: self.text, position, complete, lost: self.lost }
    }
}
