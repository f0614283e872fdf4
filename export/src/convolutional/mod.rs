//! The operations of networks of convolutions, beyond plain ones: as nodes of a graph, and on numbers.

mod evaluated;
mod recorded;

use crate::error::{Error, Result};
use avdit_nets::Window;

/// The shape that a transposed convolution makes, or what does not fit.
fn check_transposed(name: &str, window: &Window, weight: &[usize], input: &[usize]) -> Result<Vec<usize>> {
    let checked = window.check_transposed(weight, input);
    checked.map_err(|(expected, got)| Error::mismatch(format!("convolution {name}"), expected, got))
}

/// The channels of a tensor that so many groups divide.
fn check_groups(name: &str, dims: &[usize], groups: usize) -> Result<usize> {
    match dims.first() {
        Some(&channels) if dims.len() > 1 && groups > 0 && channels.is_multiple_of(groups) => Ok(channels),
        _ => {
            let expected = format!("channels in {groups} groups, and places");
            Err(Error::mismatch(format!("norm {name}"), expected, format!("{dims:?}")))
        }
    }
}

/// The cells of a layer of LSTM cells whose weights have these shapes, for an input (time, in).
fn check_lstm(name: &str, input: &[usize], [w, r]: [&[usize]; 2]) -> Result<usize> {
    match (input, w, r) {
        ([_, inputs], [rows, columns], [same, cells])
            if columns == inputs && rows == same && *rows == 4 * cells && *cells > 0 =>
        {
            Ok(*cells)
        }
        _ => {
            let expected = "x (time, in), weights (4·cells, in) and (4·cells, cells)";
            Err(Error::mismatch(format!("lstm {name}"), expected, format!("{input:?}, {w:?} and {r:?}")))
        }
    }
}

/// A layer of LSTM cells: the names of its weights and biases, input's before state's.
fn lstm_names(name: &str, layer: usize) -> [String; 4] {
    ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|what| format!("{name}.{what}_l{layer}"))
}
