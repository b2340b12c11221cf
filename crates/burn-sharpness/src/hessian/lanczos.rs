use super::error::HessianError;
use super::product::dot;
use burn::tensor::Tensor;
use nalgebra::{DMatrix, SymmetricEigen};

/// How far the Lanczos iteration goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectrumConfig {
    /// How many of the largest eigenvalues are wanted; at least 1.
    pub largest: usize,
    /// Whether the smallest eigenvalue is wanted, too.
    pub smallest: bool,
    /// The residual ‖Hu − λu‖ over |λ| at which an eigenvalue counts as converged. In (0, 1). The
    /// error of λ is below the residual, mostly far below.
    pub tolerance: f64,
    /// The most products; at least 1.
    pub max_products: usize,
}

impl Default for SpectrumConfig {
    /// The largest eigenvalue to a residual of 1%, in at most 60 products.
    fn default() -> Self {
        Self {
            largest: 1,
            smallest: false,
            tolerance: 0.01,
            max_products: 60,
        }
    }
}

/// An eigenvalue with what is known of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Eigenvalue {
    /// λ.
    pub value: f64,
    /// ‖Hu − λu‖ / |λ|.
    pub residual: f64,
    /// Whether the residual is within the tolerance. A value that is not converged is a bound at
    /// best: the largest eigenvalue is at least this large.
    pub converged: bool,
    /// The eigenvector u, of norm 1.
    pub vector: Tensor<1>,
}

/// The ends of a spectrum.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spectrum {
    /// The largest eigenvalues, from the largest, as many as were asked for and found.
    pub largest: Vec<Eigenvalue>,
    /// The smallest eigenvalue, if it was asked for.
    pub smallest: Option<Eigenvalue>,
    /// The products that it took.
    pub products: usize,
}

impl Spectrum {
    /// The ends of the spectrum of a symmetric operator, by the Lanczos iteration with full
    /// reorthogonalisation (C. Lanczos 1950; B. N. Parlett, *The Symmetric Eigenvalue Problem*, 1998,
    /// chapter 13), from `start`: the last eigenvector, say, or anything that is not 0.
    ///
    /// # Errors
    ///
    /// Those of the operator, and a number that cannot be read from the device.
    pub fn new(
        start: &Tensor<1>,
        config: SpectrumConfig,
        mut operator: impl FnMut(&Tensor<1>) -> Result<Tensor<1>, HessianError>,
    ) -> Result<Self, HessianError> {
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
            // Twice is enough (Parlett): rounding leaves nothing of the earlier vectors.
            for _ in 0..2 {
                for earlier in &basis {
                    let overlap = dot(&next, earlier)?;
                    next = next - earlier.clone() * overlap;
                }
            }
            let beta = dot(&next, &next)?.sqrt();
            diagonal.push(alpha);

            let ends = Ends::new(&diagonal, &off_diagonal, beta, &config);
            let scale = ends.largest_magnitude();
            let is_invariant = beta <= 1e-6 * scale || !beta.is_finite();
            let is_converged = ends
                .wanted()
                .all(|(_, residual)| residual <= config.tolerance);
            if is_converged || is_invariant || diagonal.len() >= most {
                return Ok(ends.into_spectrum(&basis, config));
            }
            off_diagonal.push(beta);
            basis.push(next / beta);
        }
    }
}

/// The eigenvalues of the tridiagonal matrix that the iteration has built.
struct Ends {
    eigen: SymmetricEigen<f64, nalgebra::Dyn>,
    /// The columns wanted: the largest, then perhaps the smallest.
    columns: Vec<usize>,
    largest: usize,
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
        let largest = config.largest.max(1).min(size);
        let mut columns = order[..largest].to_vec();
        if config.smallest {
            columns.push(order[size - 1]);
        }
        Self {
            eigen,
            columns,
            largest,
            beta,
        }
    }

    fn largest_magnitude(&self) -> f64 {
        self.eigen.eigenvalues.amax()
    }

    /// The value and the relative residual of each column wanted.
    fn wanted(&self) -> impl Iterator<Item = (f64, f64)> {
        self.columns.iter().map(|column| {
            let value = self.eigen.eigenvalues[*column];
            let last = self.eigen.eigenvectors.nrows() - 1;
            let residual = (self.beta * self.eigen.eigenvectors[(last, *column)]).abs();
            (value, residual / value.abs())
        })
    }

    fn into_spectrum(self, basis: &[Tensor<1>], config: SpectrumConfig) -> Spectrum {
        let values = self.wanted().zip(&self.columns);
        let mut all: Vec<Eigenvalue> = values
            .map(|((value, residual), column)| {
                let weights = self.eigen.eigenvectors.column(*column);
                let parts = basis.iter().zip(weights.iter());
                let vector = parts
                    .map(|(vector, weight)| vector.clone() * *weight)
                    .reduce(|sum, part| sum + part);
                Eigenvalue {
                    value,
                    residual,
                    converged: residual <= config.tolerance,
                    vector: vector.unwrap_or_else(|| basis[0].clone()),
                }
            })
            .collect();
        let smallest = (all.len() > self.largest).then(|| all.pop()).flatten();
        Spectrum {
            largest: all,
            smallest,
            products: basis.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_ends_of_a_known_spectrum_are_found() {
        let device = Device::flex();
        let values: Vec<f32> = (0..200).map(|i| i as f32 * 0.05 - 3.0).collect();
        let mut values = values;
        values.extend([25.0, 40.0]);
        let diagonal = Tensor::<1>::from_floats(values.as_slice(), &device);
        let start = Tensor::<1>::ones([202], &device);
        let config = SpectrumConfig {
            largest: 2,
            smallest: true,
            tolerance: 1e-3,
            ..SpectrumConfig::default()
        };
        let operator = |v: &Tensor<1>| Ok(v.clone() * diagonal.clone());
        let spectrum = Spectrum::new(&start, config, operator).unwrap();
        let found: Vec<f64> = spectrum.largest.iter().map(|e| e.value).collect();
        assert!((found[0] - 40.0).abs() < 1e-3 && (found[1] - 25.0).abs() < 1e-3);
        assert!((spectrum.smallest.as_ref().unwrap().value + 3.0).abs() < 0.05);
        assert!(spectrum.largest.iter().all(|e| e.converged));

        // Warm from the eigenvector it takes one product, and too few products are said so.
        let top = &spectrum.largest[0].vector;
        let one = SpectrumConfig::default();
        assert_eq!(Spectrum::new(top, one, operator).unwrap().products, 1);
        let few = SpectrumConfig {
            max_products: 2,
            ..config
        };
        let few = Spectrum::new(&start, few, operator).unwrap();
        assert!(!few.largest[0].converged && few.largest[0].value < 40.0);
        assert!(Spectrum::new(&start.zeros_like(), one, operator).is_err());
    }
}
