//! The log of an instance's server: RDS's two operations on a folder of real files, the daemon's reading through them, and
//! a real server that refuses.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    net::TcpListener,
    time::{Duration, SystemTime},
};

use aws_sdk_rds::operation::{
    describe_db_log_files::builders::DescribeDBLogFilesFluentBuilder,
    download_db_log_file_portion::DownloadDbLogFilePortionOutput,
};
use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tidegate_aws::{Aws, LogPortion, LogPosition};
use tidegate_model::Why;
use tidegate_sandbox::{
    live::{
        Live, LiveSettings,
        cluster::{Cluster, ClusterError, Setup},
        database::{self, Seed},
        tasks::Catalogue,
    },
    world::{Mode, World, rds::NewInstance},
};

use crate::support::{Stage, code, start};

const INSTANCE: &str = "ecommerce-db";
const CUT: &str = "[Your log message was truncated]";

/// The story's world with a folder of log files.
struct Logged {
    stage: Stage,
    folder: TempDir,
}

impl Logged {
    fn new() -> Self {
        let (stage, folder) = (Stage::story(), tempfile::tempdir().unwrap());
        stage.sandbox.world().report_log_folder(INSTANCE, folder.path().to_owned());
        Self { stage, folder }
    }

    /// Appends to the file of an hour, as the server does that many minutes after the beginning.
    fn write(&self, hour: u32, text: &str, minute: u64) {
        let path = self.folder.path().join(format!("postgresql.log.2026-11-23-{hour:02}"));
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_modified(SystemTime::from(start()) + Duration::from_secs(minute * 60)).unwrap();
    }

    fn remove(&self, hour: u32) {
        fs::remove_file(self.folder.path().join(format!("postgresql.log.2026-11-23-{hour:02}"))).unwrap();
    }

    /// A portion of a file, as any client asks for it.
    async fn portion(
        &self,
        hour: u32,
        marker: Option<&str>,
        lines: Option<i32>,
    ) -> DownloadDbLogFilePortionOutput {
        let request = self.stage.rds().download_db_log_file_portion().db_instance_identifier(INSTANCE);
        let request = request.log_file_name(format!("error/postgresql.log.2026-11-23-{hour:02}"));
        request.set_marker(marker.map(str::to_owned)).set_number_of_lines(lines).send().await.unwrap()
    }

    /// The names that are listed, with one filter.
    async fn listed(
        &self,
        filter: impl FnOnce(DescribeDBLogFilesFluentBuilder) -> DescribeDBLogFilesFluentBuilder,
    ) -> Vec<String> {
        let request = self.stage.rds().describe_db_log_files().db_instance_identifier(INSTANCE);
        let output = filter(request).send().await.unwrap();
        let name =
            |file: &aws_sdk_rds::types::DescribeDbLogFilesDetails| file.log_file_name().unwrap().to_owned();
        output.describe_db_log_files().iter().map(name).collect()
    }

    async fn downloads(&self) -> usize {
        let requests = self.stage.sandbox.requests();
        requests.iter().filter(|request| request.operation == "DownloadDBLogFilePortion").count()
    }
}

/// Everything from the beginning of the world on.
fn beginning() -> LogPosition {
    LogPosition::since(start())
}

async fn read(aws: &Aws, from: &LogPosition) -> LogPortion {
    match aws.server_log(INSTANCE, from).await {
        Ok(portion) => portion,
        Err(error) => panic!("{error}"),
    }
}

fn numbered(lines: std::ops::Range<u32>) -> String {
    lines.map(|line| format!("line {line}\n")).collect()
}

#[tokio::test]
async fn an_instance_without_a_server_has_an_empty_log() {
    let stage = Stage::story();
    let listed = stage.rds().describe_db_log_files().db_instance_identifier(INSTANCE).send().await.unwrap();
    assert!(listed.describe_db_log_files().is_empty());
    let portion = read(&stage.aws(), &beginning()).await;
    assert!(portion.text.is_empty() && portion.complete && !portion.lost);
    assert!(stage.effects().is_empty(), "reads have no effect");
}

#[tokio::test]
async fn log_files_are_listed_with_their_size_and_the_time_of_their_last_line() {
    let logged = Logged::new();
    logged.write(7, "one\n", 1);
    logged.write(8, "one more\n", 61);
    let request = logged.stage.rds().describe_db_log_files().db_instance_identifier(INSTANCE);
    let output = request.send().await.unwrap();
    let [old, new] = output.describe_db_log_files() else { panic!("two files") };
    assert_eq!(old.log_file_name(), Some("error/postgresql.log.2026-11-23-07"));
    assert_eq!((old.size(), new.size()), (Some(4), Some(9)));
    let at = |minute: i64| (start() + SignedDuration::from_mins(minute)).as_millisecond();
    assert_eq!((old.last_written(), new.last_written()), (Some(at(1)), Some(at(61))));

    let only_new = ["error/postgresql.log.2026-11-23-08"];
    assert_eq!(logged.listed(|all| all.file_last_written(at(2))).await, only_new);
    assert_eq!(logged.listed(|all| all.file_size(4)).await, only_new);
    assert_eq!(logged.listed(|all| all.filename_contains("-08")).await, only_new);
    assert_eq!(logged.listed(|all| all.file_last_written(at(61))).await, only_new);
    assert!(logged.listed(|all| all.file_last_written(at(61) + 1)).await.is_empty());
    assert_eq!(logged.listed(|all| all.max_records(20)).await.len(), 2);
}

#[tokio::test]
async fn a_file_is_downloaded_in_portions_from_its_beginning_or_its_last_lines_from_its_end() {
    let logged = Logged::new();
    logged.write(7, &numbered(0..5), 1);
    let first = logged.portion(7, Some("0"), Some(2)).await;
    assert_eq!(
        (first.log_file_data(), first.additional_data_pending()),
        (Some("line 0\nline 1\n"), Some(true))
    );
    let second = logged.portion(7, first.marker(), Some(2)).await;
    assert_eq!(second.log_file_data(), Some("line 2\nline 3\n"));
    let last = logged.portion(7, second.marker(), Some(2)).await;
    assert_eq!((last.log_file_data(), last.additional_data_pending()), (Some("line 4\n"), Some(false)));
    let nothing = logged.portion(7, last.marker(), None).await;
    assert_eq!((nothing.log_file_data(), nothing.marker()), (Some(""), last.marker()));
    logged.write(7, "half a line", 2);
    assert_eq!(logged.portion(7, last.marker(), None).await.log_file_data(), Some("half a line"));

    assert_eq!(logged.portion(7, None, Some(2)).await.log_file_data(), Some("line 4\nhalf a line"));
    assert_eq!(
        logged.portion(7, None, None).await.log_file_data(),
        Some(&*format!("{}half a line", numbered(0..5)))
    );
    logged.write(8, &numbered(0..10_001), 61);
    let most = logged.portion(8, Some("0"), None).await;
    assert_eq!(
        (most.log_file_data(), most.additional_data_pending()),
        (Some(&*numbered(0..10_000)), Some(true))
    );
}

#[tokio::test]
async fn a_portion_of_more_than_a_megabyte_is_cut_with_a_notice_and_the_next_goes_on_there() {
    let logged = Logged::new();
    // Two bytes a character, after one: the cut falls into a character.
    let long = format!("x{}\nend\n", "é".repeat(700_000));
    logged.write(7, &long, 1);
    let first = logged.portion(7, Some("0"), None).await;
    let second = logged.portion(7, first.marker(), None).await;
    let (head, tail) = (first.log_file_data().unwrap(), second.log_file_data().unwrap());
    let head = head.strip_suffix(&format!(" {CUT}\n")).unwrap();
    assert!(head.len() <= 1024 * 1024);
    assert!(format!("{head}{tail}") == long, "nothing is missing");
    assert_eq!(second.additional_data_pending(), Some(false));
}

#[tokio::test]
async fn what_xml_cannot_carry_is_replaced_and_the_rest_is_as_it_was() {
    let logged = Logged::new();
    logged.write(7, "a <b> & \"c\" \u{1} \u{1b}[0m\ttab é\n", 1);
    let portion = logged.portion(7, Some("0"), None).await;
    assert_eq!(portion.log_file_data(), Some("a <b> & \"c\" \u{FFFD} \u{FFFD}[0m\ttab é\n"));
}

#[tokio::test]
async fn only_files_that_are_listed_can_be_downloaded() {
    let logged = Logged::new();
    logged.write(7, "one\n", 1);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), logged.folder.path().join("link")).unwrap();
    fs::create_dir(logged.folder.path().join("folder")).unwrap();
    let secret = outside.path().join("secret").display().to_string();
    let up = format!("error/../../{}/secret", outside.path().file_name().unwrap().display());
    for name in [
        "error/postgresql.log.2026-11-23-08",
        "postgresql.log.2026-11-23-07",
        "error/./postgresql.log.2026-11-23-07",
        "error/link",
        "error/folder",
        "error/",
        "error/../../../../etc/passwd",
        "",
        &secret,
        &up,
    ] {
        let request = logged.stage.rds().download_db_log_file_portion().db_instance_identifier(INSTANCE);
        assert_eq!(code(request.log_file_name(name).send().await), "DBLogFileNotFoundFault", "{name}");
    }
    assert_eq!(logged.listed(|all| all).await, ["error/postgresql.log.2026-11-23-07"]);
}

#[tokio::test]
async fn wrong_calls_get_the_codes_of_aws() {
    let logged = Logged::new();
    logged.write(7, "one\n", 1);
    let rds = logged.stage.rds();
    let listing = rds.describe_db_log_files().db_instance_identifier("none").send().await;
    assert_eq!(code(listing), "DBInstanceNotFound");
    let file = rds.download_db_log_file_portion().log_file_name("error/postgresql.log.2026-11-23-07");
    assert_eq!(code(file.clone().db_instance_identifier("none").send().await), "DBInstanceNotFound");
    let file = file.db_instance_identifier(INSTANCE);
    for marker in ["nonsense", "07:nonsense", "07:5", "08:0", "07:-1"] {
        assert_eq!(code(file.clone().marker(marker).send().await), "InvalidParameterValue", "{marker}");
    }
    assert_eq!(code(file.number_of_lines(0).send().await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_reading_goes_on_where_the_last_one_ended() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    logged.write(7, &numbered(0..3), 1);
    let first = read(&aws, &beginning()).await;
    assert_eq!((first.text.as_str(), first.complete), ("line 0\nline 1\nline 2\n", true));
    let before = logged.downloads().await;
    let nothing = read(&aws, &first.position).await;
    assert!(nothing.text.is_empty() && nothing.complete);
    assert_eq!(logged.downloads().await, before, "a file that did not grow is not downloaded");

    logged.write(7, "line 3\n", 2);
    logged.write(8, "line 4\n", 61);
    let grown = read(&aws, &nothing.position).await;
    assert_eq!(grown.text, "line 3\nline 4\n", "the older file first");
    let again = read(&aws, &first.position).await;
    assert_eq!(again.text, grown.text, "a position may be used twice");
}

#[tokio::test]
async fn a_line_is_given_once_it_is_whole() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    logged.write(7, "whole\nERROR:  permission", 1);
    let first = read(&aws, &beginning()).await;
    assert_eq!(first.text, "whole\n");
    logged.write(7, " denied for", 1);
    let second = read(&aws, &first.position).await;
    assert_eq!(second.text, "");
    logged.write(7, " table\nnext", 2);
    let third = read(&aws, &second.position).await;
    assert_eq!(third.text, "ERROR:  permission denied for table\n");
    logged.remove(7);
    logged.write(8, "one more\n", 61);
    let last = read(&aws, &third.position).await;
    assert_eq!(last.text, "next\none more\n", "a piece whose end will not come is not kept back");
    assert!(last.complete && !last.lost);
}

#[tokio::test]
async fn a_flood_takes_several_readings_and_none_misses_a_line() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    let all = numbered(0..50_000);
    logged.write(7, &all, 1);
    let (mut position, mut text, mut readings) = (beginning(), String::new(), 0);
    loop {
        let portion = read(&aws, &position).await;
        text.push_str(&portion.text);
        position = portion.position;
        readings += 1;
        if portion.complete {
            break;
        }
    }
    assert!(text == all, "every line once, in order");
    assert_eq!(readings, 4, "2,000 lines a portion, 8 portions a reading");
}

#[tokio::test]
async fn lines_are_not_lost_where_a_portion_would_be_cut() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    let all: String = (0..1_000).map(|line| format!("{line} {}\n", "x".repeat(2_500))).collect();
    logged.write(7, &all, 1);
    let (mut position, mut text) = (beginning(), String::new());
    loop {
        let portion = read(&aws, &position).await;
        text.push_str(&portion.text);
        position = portion.position;
        if portion.complete {
            break;
        }
    }
    assert!(text == all, "nothing is missing and no line is cut");
}

#[tokio::test]
async fn a_single_line_of_more_than_a_megabyte_stays_cut() {
    let logged = Logged::new();
    logged.write(7, &format!("{}\nend\n", "x".repeat(1_500_000)), 1);
    let portion = read(&logged.stage.aws(), &beginning()).await;
    let lines: Vec<&str> = portion.text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].ends_with(CUT) && lines[2] == "end" && portion.complete);
}

#[tokio::test]
async fn a_file_that_vanished_unread_is_said_to_be_lost() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    logged.write(7, &numbered(0..20_000), 1);
    logged.write(8, "later\n", 61);
    let first = read(&aws, &beginning()).await;
    assert!(!first.complete && !first.lost);
    logged.remove(7);
    let second = read(&aws, &first.position).await;
    assert_eq!(second.text, "later\n");
    assert!(second.lost && second.complete);
    let third = read(&aws, &second.position).await;
    assert!(!third.lost, "said once");
}

#[tokio::test]
async fn a_closed_file_is_not_listed_any_more_and_not_read_twice() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    logged.write(7, "old\n", 1);
    let mut portion = read(&aws, &beginning()).await;
    for (hour, minute) in [(8, 61), (9, 121), (10, 181)] {
        logged.write(hour, &format!("hour {hour}\n"), minute);
        portion = read(&aws, &portion.position).await;
        assert_eq!(portion.text, format!("hour {hour}\n"));
    }
    // By hand: no server writes a closed file.
    logged.write(7, "too late\n", 1);
    let more = read(&aws, &portion.position).await;
    assert!(more.text.is_empty() && more.complete && !more.lost);
}

#[tokio::test]
async fn a_file_whose_marker_is_refused_is_read_from_its_beginning() {
    let logged = Logged::new();
    let aws = logged.stage.aws();
    logged.write(7, "a long line of an old file\nand a piece", 1);
    let first = read(&aws, &beginning()).await;
    logged.remove(7);
    logged.write(7, "new\n", 2);
    let second = read(&aws, &first.position).await;
    assert_eq!(second.text, "new\n", "the piece of the old file is not in front of it");
    assert!(second.complete && !second.lost);
}

#[tokio::test]
async fn the_files_of_many_hours_are_listed_page_by_page_and_csv_twins_are_left_out() {
    let logged = Logged::new();
    for hour in 0..120 {
        logged.write(hour, "", u64::from(hour));
    }
    logged.write(119, "last\n", 119);
    fs::write(logged.folder.path().join("postgresql.log.2026-11-23-119.csv"), "last,in,csv\n").unwrap();
    fs::write(logged.folder.path().join("postgres.log"), "of the start\n").unwrap();
    let aws = logged.stage.aws();
    let (mut position, mut text) = (beginning(), String::new());
    for _ in 0..15 {
        let portion = read(&aws, &position).await;
        text.push_str(&portion.text);
        position = portion.position;
        if portion.complete {
            break;
        }
    }
    assert_eq!(text, "last\n");
}

#[tokio::test]
async fn a_refused_reading_is_an_error_and_not_an_empty_log() {
    let stage = Stage::story();
    let rds = stage.rds();
    let snapshot = rds.create_db_snapshot().db_instance_identifier(INSTANCE).db_snapshot_identifier("s");
    snapshot.send().await.unwrap();
    stage.pass_minutes(10);
    let restore = rds.restore_db_instance_from_db_snapshot().db_snapshot_identifier("s");
    restore.db_instance_identifier("copy").send().await.unwrap();
    let aws = stage.aws();
    for (instance, code) in [("none", "DBInstanceNotFound"), ("copy", "DBInstanceNotReady")] {
        let Err(error) = aws.server_log(instance, &beginning()).await else { panic!("{instance}") };
        assert_eq!((error.operation, error.code.as_str()), ("DescribeDBLogFiles", code));
        assert_eq!(error.why(), Why::Failed);
    }
    let logged = Logged::new();
    let path = logged.folder.path().to_owned();
    logged.stage.sandbox.world().report_log_folder(INSTANCE, path.join("file"));
    File::create(path.join("file")).unwrap();
    let Err(error) = logged.stage.aws().server_log(INSTANCE, &beginning()).await else {
        panic!("unreadable")
    };
    assert_eq!(error.why(), Why::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_writes_whom_it_refused_and_with_which_statement() {
    let stage = Stage::story();
    let instance =
        stage.sandbox.world().live_databases().into_iter().find(|found| found.id == INSTANCE).unwrap();
    let seed = Seed {
        roles: vec![("app".to_owned(), "a password".to_owned())],
        sql: vec!["CREATE TABLE customers (id int, address text)".to_owned()],
    };
    let began = Timestamp::now();
    let cluster = database::start(&instance, &seed).await.unwrap();
    stage.sandbox.world().report_log_folder(INSTANCE, cluster.logs());
    let options = cluster.options(&instance.database).username("app").password("a password");
    let mut session = PgConnection::connect_with(&options).await.unwrap();
    let refused = sqlx::query("SELECT address\nFROM customers").execute(&mut session).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));

    let aws = stage.aws();
    let (mut position, mut text) = (LogPosition::since(began), String::new());
    // The server's own process writes the file a moment later.
    for _ in 0..100 {
        let portion = read(&aws, &position).await;
        text.push_str(&portion.text);
        position = portion.position;
        if text.contains("STATEMENT:") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let error = text.lines().find(|line| line.contains("ERROR:")).unwrap();
    assert!(error.ends_with("ERROR:  permission denied for table customers"), "{error}");
    assert!(error.contains(&format!(":app@{}:[", instance.database)), "{error}");
    let (time, rest) = error.split_once(" UTC:127.0.0.1(").unwrap();
    assert!(rest.split_once("):").is_some_and(|(port, _)| port.parse::<u16>().is_ok()), "{error}");
    let time: jiff::civil::DateTime = time.parse().unwrap();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    assert!(time.duration_since(began).abs() < SignedDuration::from_mins(2), "the server's time: {error}");
    let statement = text.lines().skip_while(|line| !line.contains("STATEMENT:")).take(2).collect::<Vec<_>>();
    assert!(statement[0].ends_with("STATEMENT:  SELECT address"), "{statement:?}");
    assert_eq!(statement[1], "\tFROM customers", "lines of one message are indented");
    assert!(!text.contains("a password"), "the seed's roles are not in it");
    let name = cluster.logs();
    let files: Vec<_> = fs::read_dir(&name).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(files.iter().all(|file| file.to_string_lossy().starts_with("postgresql.log.20")), "{files:?}");
    session.close().await.unwrap();
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
    assert!(!name.exists(), "the log goes with the cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_instance_has_the_log_of_its_server_once_it_is_there() {
    let mut world = World::new(start(), Mode::Live);
    world.create_db_instance(&NewInstance {
        id: INSTANCE,
        engine_version: "15.8",
        username: "postgres",
        password: "a password",
        database: None,
        master_secret: None,
        cluster: None,
        groups: None,
        tags: vec![],
    });
    let (stage, folder, began) = (Stage::of(world), tempfile::tempdir().unwrap(), Timestamp::now());
    let aws = stage.aws();
    let Err(error) = aws.server_log(INSTANCE, &LogPosition::since(began)).await else { panic!("too early") };
    assert_eq!(error.code, "DBInstanceNotReady");
    let settings = LiveSettings::new(Catalogue::default(), folder.path().to_owned(), String::new());
    let live = Live::start(stage.sandbox.clone(), settings).await.unwrap();
    let mut text = String::new();
    for _ in 0..1_200 {
        if let Ok(portion) = aws.server_log(INSTANCE, &LogPosition::since(began)).await {
            text = portion.text;
        }
        if text.contains("ready to accept connections") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(text.contains("database system is ready to accept connections"), "{text}");
    live.stop().await;
    let portion = read(&aws, &LogPosition::since(began)).await;
    assert!(portion.text.is_empty(), "the log went with the server");
}

#[test]
fn a_server_whose_port_is_taken_says_so_in_its_log() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let setup = Setup { settings: vec![("port".to_owned(), port)], ..Setup::default() };
    let Err(error) = Cluster::with(&setup) else { panic!("it started") };
    assert!(matches!(error, ClusterError::PortTaken), "{error}");
}
