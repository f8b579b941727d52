//! RDS's two operations on server logs. They read and change nothing.
//!
//! Source: the RDS model's texts. What they do not say is marked [assumption].

use std::io;

use super::{identifier, instance_not_found, invalid, page};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        rds::{Instance, InstanceStatus, LogFile},
    },
};

/// Most lines in a portion.
const MOST_LINES: usize = 10_000;
/// The marker of a file's beginning.
const BEGINNING: &str = "0";

pub(super) fn describe_files(world: &World, input: &Node) -> Result<Node, ApiError> {
    let files = files(world, input)?;
    super::filters(input, &[])?;
    let part = input.opt_text("FilenameContains")?.unwrap_or("");
    let since = input.opt_int("FileLastWritten")?.unwrap_or(0);
    let larger_than = input.opt_int("FileSize")?;
    let passes = |file: &&LogFile| {
        // [assumption] A file that was written at that very millisecond is one of them.
        file.name.contains(part)
            && file.written >= since
            && larger_than.is_none_or(|size| i64::try_from(file.size).is_ok_and(|own| own > size))
    };
    // [assumption] Pages are as those of the other operations.
    let (found, next) = page(input, files.iter().filter(passes), |file| &file.name)?;
    let shown = found.into_iter().map(|file| {
        Node::map([
            ("LogFileName", (&file.name).into()),
            ("LastWritten", file.written.into()),
            ("Size", i64::try_from(file.size).unwrap_or(i64::MAX).into()),
        ])
    });
    Ok(Node::map([("DescribeDBLogFiles", Node::list(shown)), ("Marker", next.into())]))
}

pub(super) fn download_portion(world: &World, input: &Node) -> Result<Node, ApiError> {
    let files = files(world, input)?;
    let name = input.text("LogFileName")?;
    let file = files.iter().find(|file| file.name == name).ok_or_else(|| file_not_found(name))?;
    let lines = lines(input)?;
    let portion = match input.opt_text("Marker")? {
        None => file.last_portion(lines).map(Some),
        Some(marker) => file.portion_from(offset(file, marker)?, lines),
    };
    let portion = portion.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => file_not_found(name),
        _ => unreadable(&error),
    })?;
    let portion = portion.ok_or_else(invalid_marker)?;
    Ok(Node::map([
        ("LogFileData", portion.text.into()),
        ("Marker", marker(file, portion.end).into()),
        ("AdditionalDataPending", portion.more.into()),
    ]))
}

/// The log files of the instance that is asked for.
fn files(world: &World, input: &Node) -> Result<Vec<LogFile>, ApiError> {
    let id = identifier(input.text("DBInstanceIdentifier")?);
    let instance = world.rds.instances.get(&id).ok_or_else(|| instance_not_found(&id))?;
    has_server(instance)?;
    instance.log_files().map_err(|error| unreadable(&error))
}

/// [assumption] An instance that is being created is refused with the only code that the model has for one that cannot
/// answer now; its text speaks of paused Aurora instances.
fn has_server(instance: &Instance) -> Result<(), ApiError> {
    match instance.status {
        InstanceStatus::Available | InstanceStatus::BackingUp => Ok(()),
        InstanceStatus::Creating => Err(ApiError::new(
            "DBInstanceNotReady",
            format!("The DB instance {} is not ready to have its log files read.", instance.id),
        )),
    }
}

/// [assumption] More lines than the most are the most.
fn lines(input: &Node) -> Result<usize, ApiError> {
    match input.opt_int("NumberOfLines")? {
        None => Ok(MOST_LINES),
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .map(|number| number.min(MOST_LINES))
            .ok_or_else(|| invalid("Invalid value for number of lines. Must be greater than 0")),
    }
}

/// [assumption] A marker is the hour in the file's name and an offset: `15:1048576`. Clients must not read it.
fn marker(file: &LogFile, offset: u64) -> String {
    format!("{}:{offset}", hour(file))
}

fn offset(file: &LogFile, marker: &str) -> Result<u64, ApiError> {
    if marker == BEGINNING {
        return Ok(0);
    }
    let (of, offset) = marker.split_once(':').ok_or_else(invalid_marker)?;
    if of != hour(file) {
        return Err(invalid_marker());
    }
    offset.parse().map_err(|_| invalid_marker())
}

fn hour(file: &LogFile) -> &str {
    file.name.rsplit(['-', '/']).next().unwrap_or_default()
}

fn file_not_found(name: &str) -> ApiError {
    ApiError::new("DBLogFileNotFoundFault", format!("DBLog File: {name}, is not found on the DB instance"))
        .status(404)
}

/// [assumption] The model has no error of its own for it.
fn invalid_marker() -> ApiError {
    invalid("Invalid value for marker.")
}

fn unreadable(error: &io::Error) -> ApiError {
    ApiError::new("InternalFailure", format!("the log cannot be read: {}", error.kind())).status(500)
}
