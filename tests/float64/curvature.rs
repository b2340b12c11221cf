use super::network::{Network, dot, plus};
use std::ops::Range;

/// More vectors change no eigenvalue of the fixtures by 10⁻⁷.
const VECTORS: usize = 40;
const SWEEPS: usize = 10;

/// Hv, as a central difference of gradients.
pub fn product(network: &Network, parameters: &[f64], vector: &[f64]) -> Vec<f64> {
    let length = dot(vector, vector).sqrt();
    let step = 1e-5 * dot(parameters, parameters).sqrt() / length;
    let ahead = network.gradient(&plus(parameters, step, vector));
    let behind = network.gradient(&plus(parameters, -step, vector));
    let difference = plus(&ahead, -1.0, &behind).into_iter();
    difference.map(|value| value / (2.0 * step)).collect()
}

/// λ_max(P^{-1/2} H P^{-1/2}) with the diagonal of P, by Lanczos's method with full orthogonalization.
pub fn largest_eigenvalue(network: &Network, parameters: &[f64], preconditioner: &[f64]) -> f64 {
    let scaled = |vector: &[f64]| -> Vec<f64> {
        let scaled = vector.iter().zip(preconditioner);
        scaled.map(|(value, p)| value / p.sqrt()).collect()
    };
    let count = VECTORS.min(parameters.len());
    let mut vector: Vec<f64> = (0..parameters.len()).map(|i| (i as f64).sin()).collect();
    let mut vectors: Vec<Vec<f64>> = Vec::new();
    let mut tridiagonal = vec![vec![0.0; count]; count];
    for index in 0..count {
        let length = dot(&vector, &vector).sqrt();
        if let Some(before) = index.checked_sub(1) {
            tridiagonal[index][before] = length;
            tridiagonal[before][index] = length;
        }
        vectors.push(vector.iter().map(|value| value / length).collect());
        let last = &vectors[index];
        vector = scaled(&product(network, parameters, &scaled(last)));
        tridiagonal[index][index] = dot(&vector, last);
        // Twice, against rounding.
        for _ in 0..2 {
            for other in &vectors {
                vector = plus(&vector, -dot(&vector, other), other);
            }
        }
    }
    largest_of(tridiagonal)
}

pub fn block(network: &Network, parameters: &[f64], places: Range<usize>) -> Vec<Vec<f64>> {
    let row = |place: usize| {
        let mut unit = vec![0.0; parameters.len()];
        unit[place] = 1.0;
        product(network, parameters, &unit)[places.clone()].to_vec()
    };
    places.clone().map(row).collect()
}

/// By Jacobi's rotations.
pub fn largest_of(mut matrix: Vec<Vec<f64>>) -> f64 {
    let size = matrix.len();
    for _ in 0..SWEEPS {
        for p in 0..size {
            for q in p + 1..size {
                let off = 0.5 * (matrix[p][q] + matrix[q][p]);
                if off == 0.0 {
                    continue;
                }
                let ratio = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
                let tan = ratio.signum() / (ratio.abs() + (1.0 + ratio * ratio).sqrt());
                let cos = 1.0 / (1.0 + tan * tan).sqrt();
                let sin = tan * cos;
                for row in &mut matrix {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                let (above, below) = matrix.split_at_mut(q);
                for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
                    (*a, *b) = (cos * *a - sin * *b, sin * *a + cos * *b);
                }
            }
        }
    }
    let diagonal = (0..size).map(|place| matrix[place][place]);
    diagonal.fold(f64::NEG_INFINITY, f64::max)
}
