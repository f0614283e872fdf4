//! Hues: the one property that a picture of either world shares with its sound for the whole clip.

/// A pixel's colour (largest less smallest of red, green, blue) counts from here on.
const LEAST_COLOUR: f64 = 20.0;
/// What is coloured must have this much colour at its most colourful pixel.
const LEAST_THING: f64 = 50.0;

/// From red over green to blue, each with full saturation.
pub(super) fn colour(hue: f64) -> [f64; 3] {
    let sector = 4.0 * hue.clamp(0.0, 1.0);
    let rgb = match sector {
        s if s < 1.0 => [1.0, s, 0.0],
        s if s < 2.0 => [2.0 - s, 1.0, 0.0],
        s if s < 3.0 => [0.0, 1.0, s - 2.0],
        s => [0.0, 4.0 - s, 1.0],
    };
    rgb.map(|c| 0.1 + 0.8 * c)
}

/// The hue of a colour on the way from red over green to blue.
pub(super) fn hue([r, g, b]: [f64; 3]) -> Option<f64> {
    let low = r.min(g).min(b);
    let (r, g, b) = (r - low, g - low, b - low);
    let high = r.max(g).max(b);
    if high <= 0.0 {
        return None;
    }
    // Between blue and red there is no way: the nearer end.
    let sector = match () {
        () if high == r => g / high,
        () if high == g => 2.0 + (b - r) / high,
        () => 4.0 - g / high,
    };
    Some(sector / 4.0)
}

/// The one coloured thing in a grey picture.
pub(super) struct Thing {
    /// The row of its centre, weighted by the square of colour, so that a faint haze far from it hardly counts.
    pub(super) row: f64,
    /// Its mean colour.
    pub(super) rgb: [f64; 3],
}

/// Largest less smallest of red, green and blue.
pub(super) fn colourfulness(pixel: [f64; 3]) -> f64 {
    pixel.iter().fold(0.0, |a: f64, &b| a.max(b)) - pixel.iter().fold(255.0, |a: f64, &b| a.min(b))
}

/// The coloured thing in a frame, if there is one.
pub(super) fn thing(frame: &[u8], width: usize) -> Option<Thing> {
    let (mut weights, mut rows, mut rgb, mut most) = (0.0, 0.0, [0.0; 3], 0.0f64);
    for (i, pixel) in frame.chunks_exact(3).enumerate() {
        let pixel = [f64::from(pixel[0]), f64::from(pixel[1]), f64::from(pixel[2])];
        let colour = colourfulness(pixel);
        most = most.max(colour);
        let weight = (colour - LEAST_COLOUR).max(0.0).powi(2);
        weights += weight;
        rows += weight * ((i / width) as f64 + 0.5);
        rgb.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += weight * x);
    }
    (most >= LEAST_THING).then(|| Thing { row: rows / weights, rgb: rgb.map(|sum| sum / weights) })
}

/// Mean hue of the coloured thing over frames, 0 red over 0.5 green to 1 blue.
pub(super) fn mean_hue(frames: &[Vec<u8>], width: usize) -> Option<f64> {
    let things: Vec<Thing> = frames.iter().filter_map(|frame| thing(frame, width)).collect();
    hue(std::array::from_fn(|c| things.iter().map(|thing| thing.rgb[c]).sum()))
}
