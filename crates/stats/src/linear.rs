//! Dense symmetric positive-definite systems by Cholesky: `A = L L^T`, solve and inverse.
//!
//! Right-looking, a panel of columns at a time: the panel is copied out column by column, factored, and taken off the
//! rest row by row, so that every inner loop runs along contiguous memory without a reduction and the compiler turns it
//! into vector code. Reference: Golub and Van Loan, "Matrix computations" (2013), 4.2.

use thiserror::Error;

/// Columns that are taken off the rest in one pass: each element of the rest is loaded once for this many updates.
const PANEL: usize = 8;

/// The matrix has a pivot that is not above 0.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("matrix of order {order} is not positive definite: pivot {row} is {pivot}")]
pub struct NotPositiveDefinite {
    /// Rows of the matrix.
    pub order: usize,
    /// Row of the pivot, from 0.
    pub row: usize,
    /// The pivot.
    pub pivot: f64,
}

/// A matrix, and after [`Cholesky::factor`] its factor, in one buffer that is used again.
#[derive(Clone, Debug)]
pub struct Cholesky {
    order: usize,
    matrix: Vec<f64>,
    panel: Vec<f64>,
}

impl Cholesky {
    /// A matrix of zeros with `order` rows, to be filled through [`Cholesky::matrix_mut`].
    #[must_use]
    pub fn new(order: usize) -> Self {
        Self { order, matrix: vec![0.0; order * order], panel: vec![0.0; order * PANEL] }
    }

    /// The matrix in row-major order. Only the lower triangle (column <= row) is read.
    pub fn matrix_mut(&mut self) -> &mut [f64] {
        &mut self.matrix
    }

    /// Puts the factor L in the place of the lower triangle.
    ///
    /// # Errors
    /// The matrix is not positive definite; it is then half overwritten and must be filled again.
    pub fn factor(&mut self) -> Result<(), NotPositiveDefinite> {
        let n = self.order;
        for first in (0..n).step_by(PANEL) {
            let width = PANEL.min(n - first);
            self.copy_out(first, width);
            self.factor_panel(first, width)?;
            self.copy_back(first, width);
            if width == PANEL {
                self.take_off(first);
            }
        }
        Ok(())
    }

    /// Solves `A x = b` in place, after [`Cholesky::factor`].
    ///
    /// # Panics
    /// `b` is shorter than the order.
    pub fn solve(&self, b: &mut [f64]) {
        self.solve_from(0, b);
    }

    /// The inverse of A in row-major order, both triangles, after [`Cholesky::factor`].
    #[must_use]
    pub fn inverse(&self) -> Vec<f64> {
        let mut inverse = vec![0.0; self.order * self.order];
        for (column, x) in inverse.chunks_exact_mut(self.order.max(1)).enumerate() {
            x[column] = 1.0;
            self.solve_from(column, x);
        }
        inverse
    }

    /// Solves for a right-hand side that is 0 before row `first`.
    fn solve_from(&self, first: usize, x: &mut [f64]) {
        let rows = self.matrix.chunks_exact(self.order.max(1));
        for (i, row) in rows.clone().enumerate().skip(first) {
            x[i] = (x[i] - dot(&row[first..i], &x[first..i])) / row[i];
        }
        for (i, row) in rows.enumerate().rev() {
            let value = x[i] / row[i];
            x[i] = value;
            for (x, l) in x[..i].iter_mut().zip(row) {
                *x -= value * l;
            }
        }
    }

    fn copy_out(&mut self, first: usize, width: usize) {
        let n = self.order;
        for (i, row) in self.matrix.chunks_exact(n).enumerate().skip(first) {
            for (q, &value) in row[first..first + width].iter().enumerate() {
                self.panel[q * n + i] = value;
            }
        }
    }

    fn copy_back(&mut self, first: usize, width: usize) {
        let n = self.order;
        for (i, row) in self.matrix.chunks_exact_mut(n).enumerate().skip(first) {
            for (q, value) in row[first..first + width].iter_mut().enumerate() {
                if first + q <= i {
                    *value = self.panel[q * n + i];
                }
            }
        }
    }

    fn factor_panel(&mut self, first: usize, width: usize) -> Result<(), NotPositiveDefinite> {
        let n = self.order;
        for q in 0..width {
            let row = first + q;
            let (done, rest) = self.panel.split_at_mut(q * n);
            let column = &mut rest[row..n];
            for earlier in done.chunks_exact(n) {
                let factor = earlier[row];
                for (x, l) in column.iter_mut().zip(&earlier[row..]) {
                    *x -= factor * l;
                }
            }
            let pivot = column[0];
            if pivot <= 0.0 || !pivot.is_finite() {
                return Err(NotPositiveDefinite { order: n, row, pivot });
            }
            let scale = 1.0 / pivot.sqrt();
            for x in column {
                *x *= scale;
            }
        }
        Ok(())
    }

    /// Takes the full panel at `first` off every row below it.
    fn take_off(&mut self, first: usize) {
        let n = self.order;
        let next = first + PANEL;
        let mut columns = self.panel.chunks_exact(n);
        let columns: [&[f64]; PANEL] = std::array::from_fn(|_| columns.next().unwrap_or_default());
        for (i, row) in self.matrix.chunks_exact_mut(n).enumerate().skip(next) {
            let factors = columns.map(|column| column[i]);
            subtract(&mut row[next..=i], factors, columns.map(|column| &column[next..=i]));
        }
    }
}

/// `row -= sum_q factors[q] * columns[q]`.
#[inline]
fn subtract(row: &mut [f64], factors: [f64; PANEL], columns: [&[f64]; PANEL]) {
    for (j, x) in row.iter_mut().enumerate() {
        let mut value = *x;
        for q in 0..PANEL {
            value -= factors[q] * columns[q][j];
        }
        *x = value;
    }
}

/// The dot product, in eight sums that do not wait for each other.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let (xs, x_rest) = x.as_chunks::<8>();
    let (ys, y_rest) = y.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut system = Cholesky::new(3);
        // The upper triangle is not read.
        system.matrix_mut().copy_from_slice(&[4.0, f64::NAN, f64::NAN, 2.0, 5.0, f64::NAN, 2.0, 3.0, 6.0]);
        system.factor().unwrap();
        // A (1, 2, 3) = (14, 21, 26).
        let mut x = [14.0, 21.0, 26.0];
        system.solve(&mut x);
        for (found, expect) in x.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expect).abs() < 1e-14, "{x:?}");
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        let mut system = Cholesky::new(2);
        system.matrix_mut().copy_from_slice(&[1.0, 0.0, 2.0, 1.0]);
        let error = system.factor().unwrap_err();
        assert_eq!(error, NotPositiveDefinite { order: 2, row: 1, pivot: -3.0 });
        assert_eq!(error.to_string(), "matrix of order 2 is not positive definite: pivot 1 is -3");
        assert!(Cholesky::new(1).factor().is_err());
        assert!(Cholesky::new(0).factor().is_ok());
    }
}
