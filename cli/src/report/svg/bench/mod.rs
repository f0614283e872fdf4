//! Charts of a measurement: one series for each case, the same colour in every chart.

mod bars;
mod by_step;
mod distribution;
mod parts;
mod roofline;

pub(in super::super) use bars::{Bar, bars_chart};
pub(in super::super) use by_step::by_step_chart;
pub(in super::super) use distribution::distribution_chart;
pub(in super::super) use parts::{Parts, parts_chart};
pub(in super::super) use roofline::{Point, Roof, roofline_chart};

/// Colours that the page's style has for series.
const COLOURS: usize = 6;

/// Left and right end of what is drawn from side to side.
const LEFT: f64 = 4.0;
const RIGHT: f64 = 600.0;

/// The class of a series: its colour, and a dashed line where colours begin anew.
pub(in super::super) fn series_class(index: usize) -> String {
    let dashed = if index / COLOURS % 2 == 1 { " dashed" } else { "" };
    format!("s{}{dashed}", index % COLOURS)
}
