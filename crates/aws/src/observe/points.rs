//! Points of metrics by the minute: GetMetricData in the fewest calls, and once for each minute.
//!
//! Called by the readers of closed minutes and of history beside this file. It is billed by the metric that is asked for, and
//! a pass of a release in flight comes every ten seconds for what changes once a minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use aws_sdk_cloudwatch::types as cw;

use crate::{Aws, budget::Bucket, call::Operation, error::Failure, parameters::instant};

/// Queries in one GetMetricData call. Source: the CloudWatch model. With 201 minutes or less each they are below the 100 800
/// points of one answer, so that releases which ask for fewer minutes share the call of one that asks for more.
const QUERIES_A_CALL: usize = 500;

const DATA: Operation =
    Operation { service: "cloudwatch", name: "GetMetricData", bucket: Bucket::CloudWatch };

/// Values by minute start in seconds.
pub(super) type Series = BTreeMap<i64, f64>;

/// A statistic of a metric: CloudWatch never aggregates over dimensions, so all of them are given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stat {
    namespace: String,
    metric: String,
    statistic: String,
    dimensions: Vec<(String, String)>,
}

impl Stat {
    pub(super) fn new(namespace: &str, metric: &str, statistic: &str, dimensions: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            namespace: namespace.to_owned(),
            metric: metric.to_owned(),
            statistic: statistic.to_owned(),
            dimensions: dimensions.iter().map(owned).collect(),
        }
    }

    fn query(&self, id: String) -> cw::MetricDataQuery {
        let dimension = |(name, value): &(String, String)| {
            cw::Dimension::builder().name(name.as_str()).value(value.as_str()).build()
        };
        let metric = cw::Metric::builder()
            .namespace(&self.namespace)
            .metric_name(&self.metric)
            .set_dimensions(Some(self.dimensions.iter().map(dimension).collect()))
            .build();
        let stat = cw::MetricStat::builder().metric(metric).period(60).stat(&self.statistic).build();
        cw::MetricDataQuery::builder().id(id).metric_stat(stat).build()
    }
}

/// What was answered for the minutes up to one end.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// The end of the last closed minute, in seconds.
    end: i64,
    /// The points, and how many minutes back they were asked for.
    series: BTreeMap<Stat, (u32, Series)>,
}

/// What the pages of an answer have brought of each statistic, and whether that is all of it.
#[derive(Default)]
struct Pages(BTreeMap<usize, (Series, bool)>);

impl Pages {
    /// What the last page says of a statistic counts. Source: `StatusCode` of `MetricDataResult`: only `Complete` is all of it, with
    /// `InternalError` it is to be asked again, and `PartialData` is to be followed to the next page.
    fn take(&mut self, results: &[cw::MetricDataResult]) {
        for result in results {
            let index = result.id().and_then(|id| id.strip_prefix('q')?.parse::<usize>().ok());
            let Some(index) = index else { continue };
            let (series, whole) = self.0.entry(index).or_default();
            *whole = result.status_code() == Some(&cw::StatusCode::Complete);
            let points = result.timestamps().iter().zip(result.values());
            series.extend(points.filter_map(|(time, value)| Some((instant(time)?.as_second(), *value))));
        }
    }

    /// Nothing is no silence: a statistic without points has a result that says so.
    fn series(&self, index: usize) -> Result<Series, Failure> {
        match self.0.get(&index) {
            Some((series, true)) => Ok(series.clone()),
            Some((_, false)) | None => Err(Failure::incomplete()),
        }
    }
}

/// What became of each statistic that was asked for.
pub(super) type Answers = BTreeMap<Stat, Result<Series, Failure>>;

impl Aws {
    /// The points of so many minutes up to `end` each: from what was answered already, or else from CloudWatch. What could
    /// not be read is asked for again, and all of it once the next minute is closed, so that what was published late is seen.
    pub(super) async fn recent_points(&self, wanted: &BTreeMap<Stat, u32>, end: i64) -> Answers {
        let mut answers = Answers::new();
        let mut missing: Vec<(&Stat, u32)> = vec![];
        {
            let mut known = self.cache.answered.lock().unwrap_or_else(PoisonError::into_inner);
            if known.end != end {
                *known = Answered { end, ..Answered::default() };
            }
            for (stat, minutes) in wanted {
                match known.series.get(stat).filter(|(covered, _)| covered >= minutes) {
                    Some((_, series)) => drop(answers.insert(stat.clone(), Ok(series.clone()))),
                    None => missing.push((stat, *minutes)),
                }
            }
        }
        missing.sort_by_key(|(_, minutes)| *minutes);
        for chunk in missing.chunks(QUERIES_A_CALL) {
            let most = chunk.iter().map(|(_, minutes)| *minutes).max().unwrap_or(0);
            let stats: BTreeSet<&Stat> = chunk.iter().map(|(stat, _)| *stat).collect();
            let found = self.points(&stats, (end - i64::from(most) * 60, end)).await;
            let mut known = self.cache.answered.lock().unwrap_or_else(PoisonError::into_inner);
            for (stat, answer) in &found {
                if let (true, Ok(series)) = (known.end == end, answer) {
                    known.series.insert(stat.clone(), (most, series.clone()));
                }
            }
            answers.extend(found);
        }
        answers
    }

    /// The points of a stretch of time, from its first second to before its last.
    pub(super) async fn points(&self, stats: &BTreeSet<&Stat>, stretch: (i64, i64)) -> Answers {
        let all: Vec<&Stat> = stats.iter().copied().collect();
        let mut answers = Answers::new();
        for chunk in all.chunks(QUERIES_A_CALL) {
            let answer = self.call(chunk, stretch).await;
            for (i, stat) in chunk.iter().enumerate() {
                let answer = answer.as_ref().map_err(Failure::clone).and_then(|pages| pages.series(i));
                answers.insert((*stat).clone(), answer);
            }
        }
        answers
    }

    /// The points of up to 500 statistics, by their position; page after page.
    async fn call(&self, stats: &[&Stat], (start, end): (i64, i64)) -> Result<Pages, Failure> {
        let queries: Vec<cw::MetricDataQuery> =
            stats.iter().enumerate().map(|(i, stat)| stat.query(format!("q{i}"))).collect();
        let mut pages = Pages::default();
        let mut token: Option<String> = None;
        loop {
            let request = self
                .read
                .cloudwatch
                .get_metric_data()
                .start_time(aws_smithy_types::DateTime::from_secs(start))
                .end_time(aws_smithy_types::DateTime::from_secs(end))
                .set_metric_data_queries(Some(queries.clone()))
                .set_next_token(token.take());
            let output = self.calls.call(DATA, request.send()).await?;
            pages.take(output.metric_data_results());
            token = output.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(pages);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cw::StatusCode;

    use super::*;

    fn result(code: Option<StatusCode>, points: &[(i64, f64)]) -> cw::MetricDataResult {
        let (times, values): (Vec<i64>, Vec<f64>) = points.iter().copied().unzip();
        cw::MetricDataResult::builder()
            .id("q0")
            .set_status_code(code)
            .set_timestamps(Some(times.into_iter().map(aws_smithy_types::DateTime::from_secs).collect()))
            .set_values(Some(values))
            .build()
    }

    fn read(pages: &[cw::MetricDataResult]) -> Result<Vec<(i64, f64)>, Failure> {
        let mut all = Pages::default();
        pages.iter().for_each(|page| all.take(std::slice::from_ref(page)));
        all.series(0).map(|series| series.into_iter().collect())
    }

    #[test]
    fn only_a_statistic_that_is_there_completely_is_known() {
        let (complete, partial) = (|| Some(StatusCode::Complete), || Some(StatusCode::PartialData));
        assert_eq!(read(&[result(complete(), &[])]), Ok(vec![]), "it has no points");
        assert_eq!(read(&[]), Err(Failure::incomplete()), "nothing was said of it");
        for code in [partial(), Some(StatusCode::InternalError), Some(StatusCode::Forbidden), None] {
            assert_eq!(read(&[result(code, &[(60, 1.0)])]), Err(Failure::incomplete()));
        }
        let pages = [result(partial(), &[(60, 1.0)]), result(complete(), &[(120, 2.0)])];
        assert_eq!(read(&pages), Ok(vec![(60, 1.0), (120, 2.0)]));
    }
}
