//! The bias of an attention's values, moved behind the attention.
//!
//! The weights of a softmax sum to one, so `attention(q, k, v + b) = attention(q, k, v) + b`, and the projection makes
//! `W·b` of it, which its own bias takes over: one addition over the tokens less in every block.

use crate::weights::WeightSource;

/// The weights of an AVDiT whose values have no bias: the same network.
pub(crate) struct ValueBiasMoved<'w>(pub(crate) &'w dyn WeightSource);

type Loaded = Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>>;

impl ValueBiasMoved<'_> {
    /// The bias that moves in the attention `name`; none where there is none, or where it is not finite, which is
    /// reported where it is read.
    fn moved(&self, name: &str) -> Option<Vec<f32>> {
        let (packed, proj) = (format!("{name}.qkv.bias"), format!("{name}.proj.bias"));
        let width = self.0.shape(&proj)?[0];
        (self.0.shape(&packed)? == [3 * width]).then_some(())?;
        let bias = self.0.load(&packed).ok()?.get(2 * width..)?.to_vec();
        bias.iter().all(|x| x.is_finite()).then_some(bias)
    }
}

impl WeightSource for ValueBiasMoved<'_> {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(name)
    }

    fn load(&self, name: &str) -> Loaded {
        let mut values = self.0.load(name)?;
        let of = |suffix: &str| name.strip_suffix(suffix).and_then(|name| Some((name, self.moved(name)?)));
        if let Some((_, bias)) = of(".qkv.bias") {
            values[2 * bias.len()..].fill(0.0);
        } else if let Some((name, bias)) = of(".proj.bias") {
            let weight = self.0.load(&format!("{name}.proj.weight"))?;
            for (value, row) in values.iter_mut().zip(weight.chunks_exact(bias.len())) {
                let sum: f64 = row.iter().zip(&bias).map(|(w, b)| f64::from(*w) * f64::from(*b)).sum();
                *value = (f64::from(*value) + sum) as f32;
            }
        }
        Ok(values)
    }
}
