use super::*;
use avdit_core::{Noise, Purpose, Stream};

fn normal(item: u32, n: usize, d: usize, shift: f64) -> Features {
    let mut values = vec![0f32; n * d];
    Noise::new(9).normals(Stream::new(Purpose::Check, 0, item), &mut values);
    Features::new(d, values.into_iter().map(|x| f64::from(x) + shift).collect()).unwrap()
}

#[test]
fn the_distance_of_two_normals_is_the_formula() {
    // One dimension: (m1 - m2)^2 + (s1 - s2)^2.
    let a = Features::new(1, vec![-1.0, 1.0, -1.0, 1.0]).unwrap();
    let b = Features::new(1, vec![1.0, 5.0, 1.0, 5.0]).unwrap();
    let s = (4.0f64 / 3.0).sqrt();
    let meant = 9.0 + (2.0 * s - s).powi(2);
    assert!((frechet(&a, &b).unwrap() - meant).abs() < 1e-12);
    assert!(frechet(&a, &a).unwrap().abs() < 1e-12);
}

#[test]
fn features_that_cannot_be_compared_are_told() {
    let message = |a: &Features, b: &Features| frechet(a, b).unwrap_err().to_string();
    assert!(message(&normal(0, 4, 2, 0.0), &normal(1, 4, 3, 0.0)).contains("expected 2, got 3"));
    assert!(message(&normal(0, 1, 2, 0.0), &normal(1, 4, 2, 0.0)).contains("at least 2"));
    assert!(polynomial_mmd(&normal(0, 1, 2, 0.0), &normal(1, 4, 2, 0.0)).is_err());
    assert!(Features::new(2, vec![0.0; 3]).is_err() && Features::new(1, vec![f64::NAN]).is_err());
}
