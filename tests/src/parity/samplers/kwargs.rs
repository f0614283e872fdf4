//! Keyword arguments of a configuration: every one must be asked for.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The arguments, and which were asked for.
pub(in crate::parity) struct Kwargs<'a> {
    what: &'static str,
    values: Option<&'a Map<String, Value>>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Kwargs<'a> {
    pub(in crate::parity) fn new(what: &'static str, value: &'a Value) -> Result<Self> {
        let values = match value {
            Value::Null => None,
            Value::Object(values) => Some(values),
            _ => bail!("{what} is not an object"),
        };
        Ok(Self { what, values, asked: RefCell::default() })
    }

    /// The value, none if absent or null.
    fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(key);
        self.values?.get(key).filter(|value| !value.is_null())
    }

    pub(in crate::parity) fn number(&self, key: &'static str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            // Python writes infinities as strings or bare words, which the reader of JSON refuses.
            Some(Value::String(text)) => Ok(Some(text.parse().with_context(|| format!("{key} = {text}"))?)),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| anyhow!("{key} = {value} is not a number")),
        }
    }

    pub(in crate::parity) fn number_or(&self, key: &'static str, default: f64) -> Result<f64> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    pub(in crate::parity) fn count_or(&self, key: &'static str, default: usize) -> Result<usize> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .map(|n| n as usize)
                .ok_or_else(|| anyhow!("{key} = {value} is not a whole number")),
        }
    }

    pub(in crate::parity) fn flag(&self, key: &'static str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| anyhow!("{key} = {value} is not true or false")),
        }
    }

    pub(in crate::parity) fn text(&self, key: &'static str, default: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| anyhow!("{key} = {value} is not text")),
        }
    }

    pub(in crate::parity) fn list(&self, key: &'static str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let numbers = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.map(Some).ok_or_else(|| anyhow!("{key} is not a list of numbers"))
    }

    /// Refuses an argument that is set away from its default and has no translation.
    pub(in crate::parity) fn only_default(&self, key: &'static str, default: &Value) -> Result<()> {
        match self.get(key) {
            Some(value) if value != default => bail!("{key} = {value} is not supported"),
            _ => Ok(()),
        }
    }

    /// Fails if an argument was never asked for.
    pub(in crate::parity) fn finish(&self) -> Result<()> {
        let asked = self.asked.borrow();
        let unread: Vec<_> =
            self.values.into_iter().flatten().filter(|(key, _)| !asked.contains(key.as_str())).collect();
        match unread.first() {
            None => Ok(()),
            Some((key, value)) => bail!("{}: {key} = {value} is not supported", self.what),
        }
    }
}
