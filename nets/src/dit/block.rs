//! The parts of a transformer block that is modulated by adaLN, over tokens of any number of groups.

use crate::lora::lora;
use crate::ops::Ops;

/// Epsilon of every norm.
pub(crate) const EPS: f64 = 1e-6;

/// Where an attention takes its matrices from: `{matrices}.qkv` and `{matrices}.proj`, and what is added to each of q, k,
/// v and proj.
pub(crate) struct Site {
    pub(crate) matrices: String,
    /// Where the factors are, `{name}.q.A` and so on, and their scale.
    pub(crate) lora: Option<(String, f64)>,
}

impl Site {
    /// With nothing added.
    pub(crate) fn plain(matrices: String) -> Self {
        Self { matrices, lora: None }
    }

    fn adapted<O: Ops>(
        &self,
        ops: &O,
        y: O::Tensor,
        x: &O::Tensor,
        part: &str,
    ) -> Result<O::Tensor, O::Error> {
        match &self.lora {
            None => Ok(y),
            Some((name, scale)) => ops.add(&y, &lora(ops, x, &format!("{name}.{part}"), *scale)?),
        }
    }
}

/// Self-attention of x (groups·tokens, D) within each group: (groups·tokens, D).
pub(crate) fn self_attention<O: Ops>(
    ops: &O,
    site: &Site,
    x: &O::Tensor,
    [groups, heads]: [usize; 2],
) -> Result<O::Tensor, O::Error> {
    let parts = ops.linear_split(x, &format!("{}.qkv", site.matrices), 3)?;
    let [q, k, v] =
        [(0, "q"), (1, "k"), (2, "v")].map(|(i, name)| site.adapted(ops, parts[i].clone(), x, name));
    let y = grouped(ops, [&q?, &k?, &v?], [groups, heads])?;
    let projected = ops.linear(&y, &format!("{}.proj", site.matrices))?;
    site.adapted(ops, projected, &y, "proj")
}

/// Attention of q, k (groups·tokens, heads·d) and v (groups·tokens, heads·e) within each group, as rows.
pub(crate) fn grouped<O: Ops>(
    ops: &O,
    qkv: [&O::Tensor; 3],
    [groups, heads]: [usize; 2],
) -> Result<O::Tensor, O::Error> {
    let by_head = |x: &O::Tensor| {
        let dims = ops.dims(x);
        let all = [groups, dims[0] / groups, heads, dims[1] / heads];
        ops.reshape(x, if groups == 1 { &all[1..] } else { &all })
    };
    let [q, k, v] = qkv.map(by_head);
    let y = ops.attention(&q?, &k?, &v?)?;
    if groups == 1 {
        return Ok(y);
    }
    let dims = ops.dims(&y);
    ops.reshape(&y, &[dims[0] * dims[1], dims[2]])
}

/// `fc2(gelu(fc1(x)))`.
pub(crate) fn mlp<O: Ops>(ops: &O, name: &str, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let hidden = ops.gelu(&ops.linear(x, &format!("{name}.fc1"))?)?;
    ops.linear(&hidden, &format!("{name}.fc2"))
}

/// The columns of rows (n, count·D), as `count` tensors (n, D).
pub(crate) fn chunks<O: Ops>(ops: &O, rows: &O::Tensor, count: usize) -> Result<Vec<O::Tensor>, O::Error> {
    let d = ops.dims(rows)[1] / count;
    (0..count).map(|i| ops.narrow(rows, 1, i * d, d)).collect()
}

/// The row of each token from every chunk.
pub(crate) fn per_token<O: Ops>(
    ops: &O,
    chunks: &[O::Tensor],
    rows: &[usize],
) -> Result<Vec<O::Tensor>, O::Error> {
    chunks.iter().map(|chunk| ops.gather_rows(chunk, rows)).collect()
}
