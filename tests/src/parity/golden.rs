//! A golden file: its specification in JSON and its tensors.

use anyhow::{Context, Result, anyhow, bail};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A tensor of any number type, held in f64; whole numbers up to 2⁵³ are exact.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: Vec<f64>,
}

impl Tensor {
    /// Part `index` along the first axis.
    ///
    /// # Errors
    /// If there is no such part.
    pub fn part(&self, index: usize) -> Result<&[f64]> {
        let len: usize = self.shape.iter().skip(1).product();
        self.data
            .get(index * len..(index + 1) * len)
            .with_context(|| format!("part {index} of a tensor of shape {:?} does not exist", self.shape))
    }
}

/// A golden file.
pub struct Golden {
    /// The name without extension.
    pub name: String,
    /// The specification.
    pub json: Value,
    /// The tensors.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Golden {
    /// Reads `NAME.safetensors` and `NAME.json` beside it.
    ///
    /// # Errors
    /// If either is missing or malformed, or a tensor has a type without numbers.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file =
            SafeTensors::deserialize(&bytes).with_context(|| format!("{} is malformed", path.display()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let data =
                numbers(view.dtype(), view.data()).with_context(|| format!("{}: {name}", path.display()))?;
            tensors.insert(name, Tensor { shape: view.shape().to_vec(), data });
        }
        let json = path.with_extension("json");
        let text =
            std::fs::read_to_string(&json).with_context(|| format!("{} cannot be read", json.display()))?;
        let value =
            serde_json::from_str(&text).with_context(|| format!("{} is malformed", json.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, json: value, tensors })
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// If the file has none of that name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| anyhow!("{}: no tensor {name}", self.name))
    }

    /// An object of the specification, as pairs in its order of names.
    ///
    /// # Errors
    /// If it is missing or no object.
    pub fn object(&self, key: &str) -> Result<&serde_json::Map<String, Value>> {
        self.json[key]
            .as_object()
            .ok_or_else(|| anyhow!("{}: no object '{key}' in the specification", self.name))
    }

    /// The tolerance stated after `marker`, anywhere in the specification's `tolerance`.
    ///
    /// # Errors
    /// If none is stated.
    pub fn tolerance(&self, marker: &str) -> Result<f64> {
        let text = self.tolerances()?;
        number_after(&text, marker)
            .ok_or_else(|| anyhow!("{}: no tolerance after '{marker}' in: {text}", self.name))
    }

    /// The tolerance stated before `marker`.
    ///
    /// # Errors
    /// If none is stated.
    pub fn tolerance_before(&self, marker: &str) -> Result<f64> {
        let text = self.tolerances()?;
        let number =
            text.split_once(marker).and_then(|(before, _)| before.split_whitespace().last()?.parse().ok());
        number.ok_or_else(|| anyhow!("{}: no tolerance before '{marker}' in: {text}", self.name))
    }

    fn tolerances(&self) -> Result<String> {
        match &self.json["tolerance"] {
            Value::String(text) => Ok(text.clone()),
            Value::Object(map) => Ok(map.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()),
            _ => bail!("{}: no tolerance in the specification", self.name),
        }
    }
}

/// The number that follows the first `marker` in a text.
fn number_after(text: &str, marker: &str) -> Option<f64> {
    let rest = &text[text.find(marker)? + marker.len()..];
    let end = rest.find(|c: char| !(c.is_ascii_digit() || "eE.+-".contains(c))).unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
    }
    Ok(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f32::from_le_bytes(b).into()),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        Dtype::U8 | Dtype::BOOL => each(bytes, |b: [u8; 1]| b[0].into()),
        Dtype::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
        Dtype::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        other => bail!("type {other:?} is not read"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_found_in_prose() {
        let text = "|dx| <= 1e-8*(1+max|x|) per state (order-3 UniPC/DPM: 1e-7); sigmas rel 1e-10. compare";
        assert_eq!(number_after(text, "|dx| <= "), Some(1e-8));
        assert_eq!(number_after(text, "order-3 UniPC/DPM: "), Some(1e-7));
        assert_eq!(number_after(text, "sigmas rel "), Some(1e-10));
        assert_eq!(number_after(text, "nothing "), None);
    }
}
