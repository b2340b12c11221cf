use super::error::HessianError;
use super::product::dot;
use crate::config::SpectrumConfig;
use burn::tensor::Tensor;
use nalgebra::{DMatrix, SymmetricEigen};

pub(super) type Eigenpair = (f64, Tensor<1>);

/// The Lanczos iteration with full reorthogonalisation (B. N. Parlett, *The Symmetric Eigenvalue Problem*, 1998,
/// chapter 13), from `start`, any vector but 0. With too few products a value is a lower bound of its eigenvalue.
pub(super) fn largest_eigenvalues(
    start: &Tensor<1>,
    config: SpectrumConfig,
    mut operator: impl FnMut(&Tensor<1>) -> Result<Tensor<1>, HessianError>,
) -> Result<Vec<Eigenpair>, HessianError> {
    let norm = dot(start, start)?.sqrt();
    if norm == 0.0 || !norm.is_finite() {
        return Err(HessianError::Read(format!(
            "the iteration cannot start from a vector of norm {norm}"
        )));
    }
    let mut basis = vec![start.clone() / norm];
    let (mut diagonal, mut off_diagonal) = (Vec::new(), Vec::new());
    let most = config.max_products.max(1).min(start.dims()[0]);
    loop {
        let last = &basis[basis.len() - 1];
        let mut next = operator(last)?;
        let alpha = dot(&next, last)?;
        // Two passes suffice (Parlett).
        for _ in 0..2 {
            for earlier in &basis {
                let overlap = dot(&next, earlier)?;
                next = next - earlier.clone() * overlap;
            }
        }
        let beta = dot(&next, &next)?.sqrt();
        diagonal.push(alpha);

        let ends = Ends::new(&diagonal, &off_diagonal, beta, &config);
        let scale = ends.eigen.eigenvalues.amax();
        let is_invariant = beta <= 1e-6 * scale || !beta.is_finite();
        let is_small = |residual| residual <= config.tolerance;
        let is_converged = ends.residuals().all(is_small);
        if is_converged || is_invariant || diagonal.len() >= most {
            return Ok(ends.into_eigenvectors(&basis));
        }
        off_diagonal.push(beta);
        basis.push(next / beta);
    }
}

struct Ends {
    eigen: SymmetricEigen<f64, nalgebra::Dyn>,
    columns: Vec<usize>,
    beta: f64,
}

impl Ends {
    fn new(diagonal: &[f64], off_diagonal: &[f64], beta: f64, config: &SpectrumConfig) -> Self {
        let size = diagonal.len();
        let matrix = DMatrix::from_fn(size, size, |row, column| {
            if row == column {
                diagonal[row]
            } else if row.abs_diff(column) == 1 {
                off_diagonal[row.min(column)]
            } else {
                0.0
            }
        });
        let eigen = SymmetricEigen::new(matrix);
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        order.truncate(config.largest.max(1));
        Self {
            eigen,
            columns: order,
            beta,
        }
    }

    fn residuals(&self) -> impl Iterator<Item = f64> {
        let last = self.eigen.eigenvectors.nrows() - 1;
        self.columns.iter().map(move |column| {
            let residual = (self.beta * self.eigen.eigenvectors[(last, *column)]).abs();
            residual / self.eigen.eigenvalues[*column].abs()
        })
    }

    fn into_eigenvectors(self, basis: &[Tensor<1>]) -> Vec<Eigenpair> {
        let pairs = self.columns.iter().map(|column| {
            let weights = self.eigen.eigenvectors.column(*column);
            let parts = basis.iter().zip(weights.iter());
            let vector = parts
                .map(|(vector, weight)| vector.clone() * *weight)
                .reduce(|sum, part| sum + part);
            let value = self.eigen.eigenvalues[*column];
            (value, vector.unwrap_or_else(|| basis[0].clone()))
        });
        pairs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use std::cell::Cell;

    #[test]
    fn the_upper_end_of_a_known_spectrum_is_found() {
        let device = Device::flex();
        let mut values: Vec<f32> = (0..200).map(|i| i as f32 * 0.05 - 3.0).collect();
        values.extend([25.0, 40.0]);
        let diagonal = Tensor::<1>::from_floats(values.as_slice(), &device);
        let start = Tensor::<1>::ones([202], &device);
        let config = SpectrumConfig {
            largest: 2,
            tolerance: 1e-3,
            ..SpectrumConfig::default()
        };
        let products = Cell::new(0);
        let operator = |v: &Tensor<1>| {
            products.set(products.get() + 1);
            Ok(v.clone() * diagonal.clone())
        };
        let residual = |(value, vector): &Eigenpair| {
            let rest = vector.clone() * diagonal.clone() - vector.clone() * *value;
            dot(&rest, &rest).unwrap().sqrt() / value
        };
        let found = largest_eigenvalues(&start, config, operator).unwrap();
        assert!((found[0].0 - 40.0).abs() < 1e-3 && (found[1].0 - 25.0).abs() < 1e-3);
        assert!(found.iter().all(|pair| residual(pair) <= config.tolerance));

        let one = SpectrumConfig::default();
        products.set(0);
        largest_eigenvalues(&found[0].1, one, operator).unwrap();
        assert_eq!(products.get(), 1);
        let few = SpectrumConfig {
            max_products: 2,
            ..config
        };
        let few = largest_eigenvalues(&start, few, operator).unwrap();
        assert!(residual(&few[0]) > config.tolerance && few[0].0 < 40.0);
        assert!(largest_eigenvalues(&start.zeros_like(), one, operator).is_err());
    }
}
