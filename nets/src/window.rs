//! How the window of a convolution moves over its input.

/// Stride, dilation and padding of a convolution, one entry for each dimension behind the channels, and its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Places that it moves at a time.
    pub stride: Vec<usize>,
    /// Places between two of its taps.
    pub dilation: Vec<usize>,
    /// Zeros before and after the input; a convolution over time is causal where all of them stand before.
    pub padding: Vec<(usize, usize)>,
    /// Groups of channels that do not see each other; 1 in a full convolution.
    pub groups: usize,
}

impl Window {
    /// Over `rank` dimensions, one place at a time, without padding.
    pub fn new(rank: usize) -> Self {
        Self { stride: vec![1; rank], dilation: vec![1; rank], padding: vec![(0, 0); rank], groups: 1 }
    }

    /// With these strides.
    pub fn stride(self, stride: &[usize]) -> Self {
        Self { stride: stride.to_vec(), ..self }
    }

    /// With these dilations.
    pub fn dilation(self, dilation: &[usize]) -> Self {
        Self { dilation: dilation.to_vec(), ..self }
    }

    /// With these zeros before and after.
    pub fn padding(self, padding: &[(usize, usize)]) -> Self {
        Self { padding: padding.to_vec(), ..self }
    }

    /// With so many groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The places of the output, (…); `None` if the kernel is of another rank, a stride is 0, or the window does not
    /// fit into the padded input once.
    pub fn output(&self, kernel: &[usize], input: &[usize]) -> Option<Vec<usize>> {
        let rank = input.len();
        if [kernel.len(), self.stride.len(), self.dilation.len(), self.padding.len()] != [rank; 4] {
            return None;
        }
        let places = |d: usize| {
            let reach = self.dilation[d].checked_mul(kernel[d].checked_sub(1)?)?.checked_add(1)?;
            let padded = input[d] + self.padding[d].0 + self.padding[d].1;
            Some(padded.checked_sub(reach)?.checked_div(self.stride[d])? + 1)
        };
        (0..rank).map(places).collect()
    }

    /// What is wrong with a weight (out, in / groups, kernel…) for an input (in, …), as (expected, got); `Ok` is the
    /// shape of the output (out, …).
    ///
    /// # Errors
    /// Both sides of the disagreement.
    pub fn check(&self, weight: &[usize], input: &[usize]) -> Result<Vec<usize>, (String, String)> {
        let got = || format!("a weight {weight:?} on {input:?} with {self:?}");
        let fail = |expected: &str| Err((expected.to_owned(), got()));
        let ([outputs, inputs, kernel @ ..], [channels, places @ ..]) = (weight, input) else {
            return fail("a weight (out, in / groups, kernel…) and an input (in, …)");
        };
        if self.groups == 0 || inputs * self.groups != *channels || !outputs.is_multiple_of(self.groups) {
            return fail("groups that divide the outputs, and as many inputs as the channels of a group");
        }
        match self.output(kernel, places) {
            Some(places) => Ok([&[*outputs], places.as_slice()].concat()),
            None => fail("a window of the input's rank that fits into it"),
        }
    }
}

impl Window {
    /// The places of the output of a transposed convolution, whose padding is cut off; `None` if the kernel is of
    /// another rank, a stride is 0, or nothing is left.
    pub fn transposed_output(&self, kernel: &[usize], input: &[usize]) -> Option<Vec<usize>> {
        let rank = input.len();
        if [kernel.len(), self.stride.len(), self.dilation.len(), self.padding.len()] != [rank; 4] {
            return None;
        }
        let places = |d: usize| {
            let reach = self.dilation[d].checked_mul(kernel[d].checked_sub(1)?)?.checked_add(1)?;
            let last = input[d].checked_sub(1)?.checked_mul(self.stride[d])?;
            let made = last.checked_add(reach)?.checked_sub(self.padding[d].0 + self.padding[d].1)?;
            (made > 0 && self.stride[d] > 0).then_some(made)
        };
        (0..rank).map(places).collect()
    }

    /// As [`Window::check`] for a transposed convolution, with a weight (in, out / groups, kernel…).
    ///
    /// # Errors
    /// Both sides of the disagreement.
    pub fn check_transposed(
        &self,
        weight: &[usize],
        input: &[usize],
    ) -> Result<Vec<usize>, (String, String)> {
        let got = || format!("a weight {weight:?} on {input:?}, transposed, with {self:?}");
        let fail = |expected: &str| Err((expected.to_owned(), got()));
        let ([inputs, outputs, kernel @ ..], [channels, places @ ..]) = (weight, input) else {
            return fail("a weight (in, out / groups, kernel…) and an input (in, …)");
        };
        if self.groups == 0 || inputs != channels || !inputs.is_multiple_of(self.groups) {
            return fail("groups that divide the inputs, and as many inputs as the weight has");
        }
        match self.transposed_output(kernel, places) {
            Some(places) => Ok([&[outputs * self.groups], places.as_slice()].concat()),
            None => fail("a window of the input's rank that leaves something of the output"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_has_a_place_wherever_the_window_fits() {
        let one = Window::new(1);
        assert_eq!(one.output(&[3], &[5]), Some(vec![3]));
        assert_eq!(one.clone().padding(&[(2, 0)]).stride(&[2]).output(&[3], &[17]), Some(vec![9]));
        assert_eq!(one.clone().dilation(&[3]).output(&[3], &[6]), None, "the window reaches over 7 places");
        assert_eq!(one.output(&[3, 3], &[5]), None);
        assert_eq!(one.stride(&[0]).output(&[3], &[5]), None);
    }

    #[test]
    fn a_transposed_window_makes_the_places_that_a_plain_one_would_have_read() {
        for (kernel, stride, dilation, padding) in [(16, 5, 1, (5, 5)), (4, 2, 1, (1, 1)), (3, 1, 2, (4, 0))]
        {
            let window = Window::new(1).stride(&[stride]).dilation(&[dilation]).padding(&[padding]);
            let made = window.transposed_output(&[kernel], &[13]).unwrap();
            assert_eq!(window.output(&[kernel], &made), Some(vec![13]), "{window:?}");
        }
        let window = Window::new(1).stride(&[5]).padding(&[(5, 5)]);
        assert_eq!(window.check_transposed(&[8, 4, 16], &[8, 13]), Ok(vec![4, 66]));
        assert!(window.check_transposed(&[8, 4, 16], &[4, 13]).is_err());
        assert!(window.check_transposed(&[8, 4, 2], &[8, 1]).is_err(), "all of it is cut off");
    }

    #[test]
    fn a_weight_that_does_not_fit_is_told_with_its_input() {
        let window = Window::new(2).groups(2);
        assert_eq!(window.check(&[4, 3, 3, 3], &[6, 8, 5]), Ok(vec![4, 6, 3]));
        for (weight, input) in [
            (vec![4, 6, 3, 3], vec![6, 8, 5]),
            (vec![3, 3, 3, 3], vec![6, 8, 5]),
            (vec![4, 3, 3], vec![6, 8, 5]),
            (vec![4, 3, 9, 3], vec![6, 8, 5]),
            (vec![4], vec![6, 8]),
        ] {
            assert!(window.check(&weight, &input).is_err(), "{weight:?} on {input:?}");
        }
    }
}
