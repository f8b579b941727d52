//! The figures as pictures: every detector by what it rolls back wrongly and what it lets through, and the ramp's weights.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::{
    detectors::names,
    measure::{Bad, Family, Good},
    ramps::Finished,
    report::{of_bad, of_good},
    simulate::{self, MINUTES},
};

type Drawn = Result<(), Box<dyn std::error::Error>>;

const SIZE: (u32, u32) = (1_000, 640);
/// What is never rolled back is drawn here, as a logarithm of zero has no place: in per cent.
const NEVER: f64 = 0.005;
/// The cap on good releases that are rolled back, in per cent.
const CAP: f64 = 0.1;

/// Draws all pictures into a folder and says which.
pub(crate) fn all(
    folder: &Path,
    good: &[(Family, Vec<Good>)],
    bad: &[(&'static str, Vec<Bad>)],
    ramps: &[Finished],
) -> Result<Vec<PathBuf>, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let mut drawn = vec![];
    for (name, cells) in bad {
        let path = folder.join(format!("detectors-{}.svg", name.replace(' ', "-")));
        let family = good.iter().find(|(family, _)| family.name == *name);
        if let Some((_, family)) = family {
            detectors(&path, name, family, cells)?;
            drawn.push(path);
        }
    }
    let path = folder.join("ramp.svg");
    weights(&path, ramps)?;
    drawn.push(path);
    Ok(drawn)
}

/// One point a detector: good releases that it rolls back, and bad requests that it lets through.
fn detectors(path: &Path, name: &str, good: &[Good], bad: &[Bad]) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("Noise: {name}"), ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d((0.003..2_000.0).log_scale(), (0.02..40.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("good releases rolled back, % (never is drawn at the left)")
        .y_desc("bad requests, times the floor")
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    let line = BLACK.mix(0.4);
    chart.draw_series([
        PathElement::new(vec![(CAP, 0.02), (CAP, 40.0)], line),
        PathElement::new(vec![(0.003, 1.0), (2_000.0, 1.0)], line),
    ])?;
    for (detector, name) in names().iter().enumerate() {
        let at = ((100.0 * of_good(good, detector).share).max(NEVER), of_bad(bad, None, detector).0);
        let (colour, size) = if detector == 0 { (RED, 6) } else { (BLUE, 4) };
        chart.draw_series([Circle::new(at, size, colour.filled())])?;
        let label = Text::new((*name).to_owned(), (at.0 * 1.12, at.1 * 1.05), ("sans-serif", 13).into_font());
        chart.draw_series([label])?;
    }
    root.present()?;
    Ok(())
}

/// Green's share minute by minute: one good release in a hundred is slower, under each law of noise. The linear ramp is beside it.
fn weights(path: &Path, ramps: &[Finished]) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "Green's share on the ramp that goes by the evidence (slowest good release in a hundred)",
            ("sans-serif", 22),
        )
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..40.0, (0.008..1.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("minutes")
        .y_desc("share of the traffic")
        .y_label_formatter(&|y: &f64| format!("{} %", (y * 1_000.0).round() / 10.0))
        .draw()?;
    let linear = simulate::linear().into_iter().enumerate().map(|(minute, weight)| (minute as f64, weight));
    chart
        .draw_series(LineSeries::new(linear, BLACK))?
        .label("linear")
        .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], BLACK));
    for (i, finished) in ramps.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let slowest = (0..MINUTES + 10).map(|minute| (minute as f64, slow_weight(finished, minute)));
        chart
            .draw_series(LineSeries::new(slowest, colour.stroke_width(2)))?
            .label(finished.noise.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
    }
    let position = SeriesLabelPosition::LowerRight;
    chart.configure_series_labels().position(position).border_style(BLACK).background_style(WHITE).draw()?;
    root.present()?;
    Ok(())
}

fn slow_weight(finished: &Finished, minute: usize) -> f64 {
    let in_minute = |weights: &Vec<f64>| weights.get(minute).or(weights.last()).copied();
    let mut all: Vec<f64> = finished.weights.iter().filter_map(in_minute).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 100).copied().unwrap_or(1.0)
}
