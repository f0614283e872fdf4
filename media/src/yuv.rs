//! RGB and Y′CbCr 4:2:0, as H.264 stores pictures.

/// The coefficients that turn R′G′B′ into luma, and the range of the eight bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ColorMatrix {
    kr: f32,
    kb: f32,
    full_range: bool,
}

impl ColorMatrix {
    /// ITU-R BT.709, limited range: what this crate writes.
    pub(crate) const BT709: Self = Self { kr: 0.2126, kb: 0.0722, full_range: false };
    /// ITU-R BT.601, limited range: what players assume of a file that does not say.
    pub(crate) const BT601: Self = Self { kr: 0.299, kb: 0.114, full_range: false };

    /// From `matrix_coefficients` of ITU-T H.273, `None` for those with no luma coefficients of their own.
    pub(crate) fn from_code(code: u64, full_range: bool) -> Option<Self> {
        let (kr, kb) = match code {
            1 => (0.2126, 0.0722),
            2 | 5 | 6 => (0.299, 0.114),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            _ => return None,
        };
        Some(Self { kr, kb, full_range })
    }

    /// (offset of luma, scale of luma, scale of chroma), of values in 0..=255.
    fn range(self) -> (f32, f32, f32) {
        if self.full_range { (0.0, 1.0, 1.0) } else { (16.0, 219.0 / 255.0, 224.0 / 255.0) }
    }
}

/// One picture as planes: chroma has half the width and height.
pub(crate) struct Planes {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) y: Vec<u8>,
    pub(crate) u: Vec<u8>,
    pub(crate) v: Vec<u8>,
}

/// Converts `rgb` of even `width` and `height`; chroma is the mean of each 2 × 2 block.
pub(crate) fn to_yuv(rgb: &[u8], width: usize, height: usize, matrix: ColorMatrix) -> Planes {
    let (offset, luma, chroma) = matrix.range();
    let (kr, kb) = (matrix.kr, matrix.kb);
    let mut planes = Planes {
        width,
        height,
        y: vec![0; width * height],
        u: vec![0; width * height / 4],
        v: vec![0; width * height / 4],
    };
    for row in (0..height).step_by(2) {
        for column in (0..width).step_by(2) {
            let (mut sum_u, mut sum_v) = (0.0, 0.0);
            for (y, x) in [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)] {
                let at = (y * width + x) * 3;
                let [r, g, b] = [rgb[at], rgb[at + 1], rgb[at + 2]].map(f32::from);
                let l = kr * r + (1.0 - kr - kb) * g + kb * b;
                planes.y[y * width + x] = (offset + luma * l).round() as u8;
                sum_u += (b - l) / (2.0 * (1.0 - kb));
                sum_v += (r - l) / (2.0 * (1.0 - kr));
            }
            let at = (row / 2) * (width / 2) + column / 2;
            planes.u[at] = (128.0 + chroma * sum_u / 4.0).round() as u8;
            planes.v[at] = (128.0 + chroma * sum_v / 4.0).round() as u8;
        }
    }
    planes
}

/// Planes of a decoder, each with its stride.
pub(crate) struct PlanesRef<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) planes: [&'a [u8]; 3],
    pub(crate) strides: [usize; 3],
}

impl PlanesRef<'_> {
    /// Whether every plane holds all the rows its stride promises.
    pub(crate) fn is_whole(&self) -> bool {
        let sizes = [(self.width, self.height), (self.width.div_ceil(2), self.height.div_ceil(2))];
        self.width > 0
            && self.height > 0
            && (0..3).all(|plane| {
                let (width, height) = sizes[plane.min(1)];
                let stride = self.strides[plane];
                stride >= width && self.planes[plane].len() >= stride * (height - 1) + width
            })
    }
}

/// Converts to RGB, `width · height · 3` bytes.
pub(crate) fn to_rgb(source: &PlanesRef<'_>, matrix: ColorMatrix) -> Vec<u8> {
    let (offset, luma, chroma) = matrix.range();
    let (kr, kb) = (matrix.kr, matrix.kb);
    let kg = 1.0 - kr - kb;
    let mut rgb = Vec::with_capacity(source.width * source.height * 3);
    for row in 0..source.height {
        for column in 0..source.width {
            let at = |plane: usize| {
                let shift = plane.min(1);
                f32::from(source.planes[plane][(row >> shift) * source.strides[plane] + (column >> shift)])
            };
            let l = (at(0) - offset) / luma;
            let b = l + 2.0 * (1.0 - kb) * (at(1) - 128.0) / chroma;
            let r = l + 2.0 * (1.0 - kr) * (at(2) - 128.0) / chroma;
            let g = (l - kr * r - kb * b) / kg;
            rgb.extend([r, g, b].map(|value| value.round().clamp(0.0, 255.0) as u8));
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flat_colour_returns_within_two_levels() {
        for matrix in [ColorMatrix::BT709, ColorMatrix::BT601, ColorMatrix::from_code(1, true).unwrap()] {
            for color in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [17, 130, 201]] {
                let rgb: Vec<u8> = color.iter().copied().cycle().take(4 * 4 * 3).collect();
                let planes = to_yuv(&rgb, 4, 4, matrix);
                let source = PlanesRef {
                    width: 4,
                    height: 4,
                    planes: [&planes.y, &planes.u, &planes.v],
                    strides: [4, 2, 2],
                };
                assert!(source.is_whole());
                let back = to_rgb(&source, matrix);
                let worst = rgb.iter().zip(&back).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(worst <= 2, "{matrix:?} {color:?}: off by {worst}");
            }
        }
    }

    #[test]
    fn white_is_235_in_limited_range() {
        let planes = to_yuv(&[255; 12], 2, 2, ColorMatrix::BT709);
        assert_eq!((planes.y[0], planes.u[0], planes.v[0]), (235, 128, 128));
    }
}
