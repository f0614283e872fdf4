//! The rates of the moving averages of the parameters.

use crate::config::{fail, is_decay};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// The decays of one or more moving averages, each below 1 and no two alike. The first is the one that samples and
/// exports take unless told otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct EmaDecays(Vec<f64>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number such as 0.999, or a list of numbers")]
enum OneOrMore {
    One(f64),
    More(Vec<f64>),
}

impl From<OneOrMore> for EmaDecays {
    fn from(given: OneOrMore) -> Self {
        match given {
            OneOrMore::One(decay) => Self(vec![decay]),
            OneOrMore::More(decays) => Self(decays),
        }
    }
}

impl From<EmaDecays> for OneOrMore {
    fn from(EmaDecays(decays): EmaDecays) -> Self {
        match decays.as_slice() {
            [decay] => OneOrMore::One(*decay),
            _ => OneOrMore::More(decays),
        }
    }
}

impl From<f64> for EmaDecays {
    fn from(decay: f64) -> Self {
        Self(vec![decay])
    }
}

impl EmaDecays {
    /// All of them, the first one first.
    pub fn all(&self) -> &[f64] {
        &self.0
    }

    /// The file of a checkpoint that holds the average of a decay: `ema.safetensors` for the first, such as
    /// `ema-0.99.safetensors` for the others; `None` for a decay that the run does not keep.
    pub fn file(&self, decay: f64) -> Option<String> {
        match self.0.iter().position(|kept| *kept == decay)? {
            0 => Some("ema.safetensors".to_owned()),
            _ => Some(format!("ema-{decay}.safetensors")),
        }
    }

    /// Checks that there is one, and each is a decay.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming what is wrong.
    pub fn check(&self) -> Result<()> {
        let out_of_range = self.0.iter().any(|&decay| !is_decay(decay));
        let twice = self.0.iter().enumerate().any(|(i, decay)| self.0[..i].contains(decay));
        if self.0.is_empty() || out_of_range || twice {
            let got = match self.0.as_slice() {
                [one] => one.to_string(),
                list => format!("{list:?}"),
            };
            return fail(
                "optimizer.ema_decay",
                got,
                "numbers from 0 to below 1 in float32, none of them twice",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_decay_is_a_number_and_several_are_a_list() {
        let read = |text: &str| serde_json::from_str::<EmaDecays>(text).unwrap();
        for text in ["0.999", "[0.99,0.999]"] {
            assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
            read(text).check().unwrap();
        }
        for text in ["1.0", "0.999999999", "[]", "[0.9,0.9]", "[0.9,-0.1]"] {
            assert!(read(text).check().is_err(), "{text}");
        }
        let files = [0.99, 0.999, 0.5].map(|decay| read("[0.99,0.999]").file(decay));
        let expected = [Some("ema.safetensors"), Some("ema-0.999.safetensors"), None];
        assert_eq!(files.each_ref().map(Option::as_deref), expected);
    }
}
