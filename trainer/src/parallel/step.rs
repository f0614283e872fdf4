//! What ranks sum in a step.

use super::Ranks;
use crate::error::Result;
use crate::metrics::Tally;
use crate::model::{Gradients, LossValues};
use candle_core::Tensor;

impl Ranks {
    /// Replaces the loss, the sums behind the metrics and the gradients of the parts of a batch by those of the whole.
    ///
    /// # Errors
    /// If a rank is lost or Candle fails.
    pub fn sum_step(
        &mut self,
        loss: &mut LossValues,
        tally: &mut Tally,
        gradients: &mut Gradients,
    ) -> Result<()> {
        if self.count() == 1 {
            return Ok(());
        }
        let mut sums = vec![loss.video, loss.audio];
        sums.extend_from_slice(tally.sums_mut());
        self.sum_f64(&mut sums)?;
        (loss.video, loss.audio) = (sums[0], sums[1]);
        tally.sums_mut().copy_from_slice(&sums[2..]);
        self.sum_gradients(gradients)
    }

    fn sum_gradients(&mut self, gradients: &mut Gradients) -> Result<()> {
        let mut values = Vec::with_capacity(gradients.iter().flatten().map(Tensor::elem_count).sum());
        for gradient in gradients.iter().flatten() {
            values.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
        }
        self.sum_f32(&mut values)?;
        let mut rest = values.as_slice();
        for gradient in gradients.0.iter_mut().flatten() {
            let (own, after) = rest.split_at(gradient.elem_count());
            *gradient = Tensor::from_slice(own, gradient.dims(), gradient.device())?;
            rest = after;
        }
        Ok(())
    }
}
