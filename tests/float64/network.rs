//! A fully connected network with tanh activations in float64, and the gradient of its loss by hand.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    CrossEntropy,
    /// Over examples and outputs, with one-hot targets.
    SquaredDistance,
}

/// The parameter vector holds, layer by layer, the weights `[outputs, inputs]`, row major, then the biases.
pub struct Network {
    pub layers: Vec<usize>,
    pub loss: Loss,
    pub inputs: Vec<Vec<f64>>,
    pub classes: Vec<usize>,
}

impl Network {
    pub fn batches(&self, size: usize) -> Vec<Self> {
        let parts = self.inputs.chunks(size).zip(self.classes.chunks(size));
        let batch = |(inputs, classes): (&[Vec<f64>], &[usize])| Self {
            layers: self.layers.clone(),
            loss: self.loss,
            inputs: inputs.to_vec(),
            classes: classes.to_vec(),
        };
        parts.map(batch).collect()
    }

    pub fn last_layer(&self) -> Range<usize> {
        let sizes = self.layers.windows(2).map(|pair| (pair[0] + 1) * pair[1]);
        let sizes: Vec<usize> = sizes.collect();
        let all = sizes.iter().sum();
        all - sizes[sizes.len() - 1]..all
    }

    pub fn loss(&self, parameters: &[f64]) -> f64 {
        let losses = self.inputs.iter().zip(&self.classes).map(|(input, class)| {
            let states = self.forward(parameters, input);
            self.of_example(&states[states.len() - 1], *class).0
        });
        losses.sum::<f64>() / self.inputs.len() as f64
    }

    pub fn gradient(&self, parameters: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; parameters.len()];
        for (input, class) in self.inputs.iter().zip(&self.classes) {
            let states = self.forward(parameters, input);
            let (_, of_outputs) = self.of_example(&states[states.len() - 1], *class);
            self.backward(parameters, &states, of_outputs, &mut gradient);
        }
        let examples = self.inputs.len() as f64;
        gradient.iter_mut().for_each(|value| *value /= examples);
        gradient
    }

    /// Returns the input, then the output of each layer.
    fn forward(&self, parameters: &[f64], input: &[f64]) -> Vec<Vec<f64>> {
        let mut states = vec![input.to_vec()];
        let mut start = 0;
        for (layer, widths) in self.layers.windows(2).enumerate() {
            let [inputs, outputs] = [widths[0], widths[1]];
            let (weights, rest) = parameters[start..].split_at(inputs * outputs);
            let is_last = layer + 2 == self.layers.len();
            let state = (0..outputs).map(|output| {
                let row = &weights[output * inputs..(output + 1) * inputs];
                let sum = rest[output] + dot(row, &states[layer]);
                if is_last { sum } else { sum.tanh() }
            });
            states.push(state.collect());
            start += (inputs + 1) * outputs;
        }
        states
    }

    /// Returns the loss of an example, and its derivative with respect to the outputs.
    fn of_example(&self, outputs: &[f64], class: usize) -> (f64, Vec<f64>) {
        let is_class = |index: usize| f64::from(u8::from(index == class));
        match self.loss {
            Loss::CrossEntropy => {
                let highest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let shares: Vec<f64> = outputs.iter().map(|o| (o - highest).exp()).collect();
                let sum: f64 = shares.iter().sum();
                let loss = sum.ln() + highest - outputs[class];
                let derivative = shares.iter().enumerate();
                let derivative = derivative.map(|(index, share)| share / sum - is_class(index));
                (loss, derivative.collect())
            }
            Loss::SquaredDistance => {
                let count = outputs.len() as f64;
                let distances = outputs.iter().enumerate();
                let distances: Vec<f64> = distances.map(|(index, o)| o - is_class(index)).collect();
                let derivative = distances.iter().map(|distance| 2.0 * distance / count);
                (dot(&distances, &distances) / count, derivative.collect())
            }
        }
    }

    fn backward(
        &self,
        parameters: &[f64],
        states: &[Vec<f64>],
        mut derivative: Vec<f64>,
        gradient: &mut [f64],
    ) {
        let mut end = parameters.len();
        for layer in (0..self.layers.len() - 1).rev() {
            let [inputs, outputs] = [self.layers[layer], self.layers[layer + 1]];
            let start = end - (inputs + 1) * outputs;
            let before = &states[layer];
            let mut of_before = vec![0.0; inputs];
            for output in 0..outputs {
                for input in 0..inputs {
                    let place = start + output * inputs + input;
                    gradient[place] += derivative[output] * before[input];
                    of_before[input] += derivative[output] * parameters[place];
                }
                gradient[start + inputs * outputs + output] += derivative[output];
            }
            // tanh′ from the value of tanh.
            let pairs = of_before.iter().zip(before);
            derivative = pairs
                .map(|(derivative, value)| derivative * (1.0 - value * value))
                .collect();
            end = start;
        }
    }
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn plus(a: &[f64], s: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + s * b).collect()
}
