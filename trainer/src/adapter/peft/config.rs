//! `adapter_config.json` of peft.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use std::path::Path;

/// What of peft's `LoraConfig` is written and read; everything else that peft knows is kept in `other`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PeftConfig {
    peft_type: String,
    r: usize,
    lora_alpha: Number,
    #[serde(default)]
    rank_pattern: Map<String, Value>,
    #[serde(default)]
    alpha_pattern: Map<String, Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// The rank and the alpha of a module.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) module: String,
    pub(super) rank: usize,
    pub(super) alpha: f64,
}

/// Options of peft under which a LoRA is not `scale·B·A` beside a matrix, or not the whole adapter, and the value at which
/// they are off; null and absence are off too.
const OFF: [(&str, Value); 9] = [
    ("use_rslora", Value::Bool(false)),
    ("use_dora", Value::Bool(false)),
    ("use_qalora", Value::Bool(false)),
    ("lora_bias", Value::Bool(false)),
    ("fan_in_fan_out", Value::Bool(false)),
    ("modules_to_save", Value::Null),
    ("trainable_token_indices", Value::Null),
    ("layer_replication", Value::Null),
    ("target_parameters", Value::Null),
];

impl PeftConfig {
    /// Of a site of this rank; `None` if alpha, scale·rank, is beyond all numbers.
    pub(super) fn new(rank: usize, scale: f64) -> Option<Self> {
        let other = serde_json::json!({
            "base_model_name_or_path": null, "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "lora_dropout": 0.0, "modules_to_save": null,
            "target_modules": ["attn.proj", "attn.qkv"], "task_type": null,
        });
        let pattern = |value: Value| Map::from_iter([("attn.qkv".to_owned(), value)]);
        Some(Self {
            peft_type: "LORA".to_owned(),
            r: rank,
            lora_alpha: number(scale * rank as f64)?,
            rank_pattern: pattern((3 * rank).into()),
            alpha_pattern: pattern(Value::Number(number(scale * (3 * rank) as f64)?)),
            other: other.as_object().cloned().unwrap_or_default(),
        })
    }

    /// Checks that it is a LoRA whose form AV-DiT has.
    ///
    /// # Errors
    /// [`Error::Content`] naming the option, its value and the one that is read.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let fail = |option: &str, got: &Value, expected: &Value| {
            Err(Error::content(path, format!("{option} is {got}, and only {expected} can be read")))
        };
        if self.peft_type != "LORA" {
            return fail("peft_type", &self.peft_type.clone().into(), &"LORA".into());
        }
        if let Some(bias) = self.other.get("bias").filter(|bias| *bias != "none" && !bias.is_null()) {
            return fail("bias", bias, &"none".into());
        }
        for (option, off) in OFF {
            match self.other.get(option) {
                Some(got) if *got != off && !got.is_null() => return fail(option, got, &off),
                _ => {}
            }
        }
        Ok(())
    }

    /// The rank and the alpha of a module.
    ///
    /// # Errors
    /// [`Error::Content`] if a pattern is none that can be read, two that match differ, or the numbers are none.
    pub(super) fn scale(&self, path: &Path, module: &str) -> Result<Scale> {
        let number = |what: &str, own: Value, pattern: &Map<String, Value>| {
            let found = matching(path, what, pattern, module)?.unwrap_or(own);
            Ok::<_, Error>((found.as_f64().filter(|x| x.is_finite()), found))
        };
        let bad = |what: &str, found: Value| {
            Err(Error::content(path, format!("{what} of {module} is {found}, expected a number")))
        };
        let rank = match number("r", self.r.into(), &self.rank_pattern)? {
            (Some(rank), _) if (1.0..=1e6).contains(&rank) && rank.fract() == 0.0 => rank as usize,
            (_, found) => return bad("r", found),
        };
        let alpha = match number("lora_alpha", Value::Number(self.lora_alpha.clone()), &self.alpha_pattern)? {
            (Some(alpha), _) => alpha,
            (_, found) => return bad("lora_alpha", found),
        };
        Ok(Scale { module: module.to_owned(), rank, alpha })
    }
}

/// The value of a module in a pattern. peft takes its keys as regular expressions for the end of a name, the first that fits;
/// read are names and ends of names.
fn matching(path: &Path, what: &str, pattern: &Map<String, Value>, module: &str) -> Result<Option<Value>> {
    let mut found: Option<(&String, &Value)> = None;
    for (key, value) in pattern {
        let name = key.trim_start_matches('^').trim_end_matches('$').replace("\\.", ".");
        if name.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
            let text = format!("the pattern {key:?} for {what} is no name or end of a name of a module");
            return Err(Error::content(path, text));
        }
        let is_whole = key.starts_with('^');
        if module != name && (is_whole || !module.ends_with(&format!(".{name}"))) {
            continue;
        }
        match found {
            Some((other, there)) if there != value => {
                let text = format!("{what} of {module} is {there} by {other:?} and {value} by {key:?}");
                return Err(Error::content(path, text));
            }
            _ => found = Some((key, value)),
        }
    }
    Ok(found.map(|(_, value)| value.clone()))
}

/// The one scale of all modules: `own`, if every alpha is what it makes of the rank, else their common alpha/r.
///
/// # Errors
/// [`Error::Content`] naming two modules whose scales differ.
pub(super) fn common_scale(folder: &Path, scales: &[Scale], own: f64) -> Result<f64> {
    if scales.iter().all(|scale| scale.alpha == own * scale.rank as f64) {
        return Ok(own);
    }
    let value = |scale: &Scale| scale.alpha / scale.rank as f64;
    let Some(first) = scales.first() else { return Ok(own) };
    let is_same = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
    if let Some(other) = scales.iter().find(|other| !is_same(value(first), value(other))) {
        let say = |scale: &Scale| format!("{} (lora_alpha {} / r {})", value(scale), scale.alpha, scale.rank);
        let (a, b) = (say(first), say(other));
        return Err(Error::content(
            folder,
            format!(
                "the LoRA of {} has scale {a}, that of {} {b}; AV-DiT has one for all",
                first.module, other.module
            ),
        ));
    }
    Ok(value(first))
}

/// As an integer where it is one: older versions of peft expect that.
fn number(x: f64) -> Option<Number> {
    if x.fract() == 0.0 && x.abs() < 1e15 { Some(Number::from(x as i64)) } else { Number::from_f64(x) }
}
