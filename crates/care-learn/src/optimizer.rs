//! What follows the gradients: Adam, AdamW and SGD, each as one operator over all parameters.

use tch::nn::VarStore;
use tch::{Device, TchError, Tensor};

use crate::config::OptimizerKind;
use crate::libtorch::{self, Adam};

const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;
const MOMENTUM: f64 = 0.9;

/// The parameters of one network and what is remembered of their gradients.
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    weight_decay: f64,
    parameters: Vec<Tensor>,
    /// Adam: running means of the gradients and of their squares; SGD: the momenta. Laid out as the parameters.
    moments: [Vec<Tensor>; 2],
    steps: u32,
    device: Device,
}

impl Optimizer {
    /// For all trainable variables, in the order of their names.
    #[must_use]
    pub fn new(kind: OptimizerKind, weight_decay: f64, store: &VarStore) -> Self {
        let mut named: Vec<(String, Tensor)> = store
            .variables()
            .into_iter()
            .filter(|(_, variable)| variable.requires_grad())
            .collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let parameters: Vec<Tensor> = named.into_iter().map(|(_, variable)| variable).collect();
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect();
        let moments = match kind {
            OptimizerKind::Adam | OptimizerKind::AdamW => [zeros(), zeros()],
            OptimizerKind::Sgd => [zeros(), Vec::new()],
        };
        Self {
            kind,
            weight_decay,
            moments,
            parameters,
            steps: 0,
            device: store.device(),
        }
    }

    /// The next backward pass puts its own gradients in their place.
    ///
    /// # Errors
    /// Where libtorch fails (out of memory), as for every function here.
    pub fn forget_gradients(&self) -> Result<(), TchError> {
        libtorch::forget_gradients(&self.parameters)
    }

    /// The 2-norm of all gradients together.
    ///
    /// # Errors
    /// As [`Self::forget_gradients`].
    pub fn gradient_norm(&self) -> Result<f64, TchError> {
        let (with, _) = self.with_gradients();
        libtorch::gradient_norm(&with)
    }

    /// Multiplies the gradients.
    ///
    /// # Errors
    /// As [`Self::forget_gradients`].
    pub fn scale_gradients(&self, factor: f64) -> Result<(), TchError> {
        let (with, _) = self.with_gradients();
        libtorch::scale_gradients(&with, factor)
    }

    /// Moves the parameters that have gradients.
    ///
    /// # Errors
    /// As [`Self::forget_gradients`].
    pub fn step(&mut self, learning_rate: f64) -> Result<(), TchError> {
        let steps = self.steps + 1;
        let (parameters, at) = self.with_gradients();
        let [first, second] = self.moments.each_ref().map(|moments| -> Vec<Tensor> {
            let moments = at.iter().filter_map(|i| moments.get(*i));
            moments.map(Tensor::shallow_clone).collect()
        });
        match self.kind {
            OptimizerKind::Adam | OptimizerKind::AdamW => {
                let step = Tensor::from(steps as f32).to_device(self.device);
                let adam = Adam {
                    learning_rate,
                    betas: BETAS,
                    eps: EPS,
                    weight_decay: self.weight_decay,
                    decoupled: self.kind == OptimizerKind::AdamW,
                };
                libtorch::adam(&parameters, &first, &second, &step, adam)?;
            }
            OptimizerKind::Sgd => libtorch::sgd(
                &parameters,
                &first,
                learning_rate,
                MOMENTUM,
                self.weight_decay,
                steps == 1,
            )?,
        }
        self.steps = steps;
        Ok(())
    }

    /// Steps done, and what is remembered of the gradients, by names that are always the same.
    pub(crate) fn memory(&self) -> (u32, Vec<(String, Tensor)>) {
        let moments = self
            .moments
            .iter()
            .enumerate()
            .flat_map(|(which, moments)| {
                let named = moments.iter().enumerate();
                named.map(move |(i, moment)| (moment_name(which, i), moment.shallow_clone()))
            });
        (self.steps, moments.collect())
    }

    /// Goes on from what [`Self::memory`] gave.
    ///
    /// # Errors
    /// Where `tensor` has not all of it, or in another shape.
    pub(crate) fn restore<'a>(
        &mut self,
        steps: u32,
        tensor: impl Fn(&str) -> Result<&'a Tensor, TchError>,
    ) -> Result<(), TchError> {
        for (which, moments) in self.moments.iter_mut().enumerate() {
            for (i, moment) in moments.iter_mut().enumerate() {
                let kept = tensor(&moment_name(which, i))?;
                tch::no_grad(|| moment.f_copy_(kept))?;
            }
        }
        self.steps = steps;
        Ok(())
    }

    /// Lets go of parameters, gradients and moments: there are no more steps.
    pub(crate) fn clear(&mut self) {
        // A parameter without a gradient is what is wanted.
        let _ = self.forget_gradients();
        self.parameters.clear();
        self.moments = [Vec::new(), Vec::new()];
    }

    /// A layer that the loss does not reach has none.
    fn with_gradients(&self) -> (Vec<Tensor>, Vec<usize>) {
        let has_gradient = |(_, parameter): &(usize, &Tensor)| parameter.grad().defined();
        let reached = self.parameters.iter().enumerate().filter(has_gradient);
        reached.map(|(i, p)| (p.shallow_clone(), i)).unzip()
    }
}

fn moment_name(which: usize, parameter: usize) -> String {
    format!("moment{which}.{parameter}")
}

#[cfg(test)]
mod tests {
    use tch::Kind;
    use tch::nn::{self, OptimizerConfig};

    use super::*;

    /// Two parameters, one of them channels last, and a loss that bends.
    fn problem() -> (VarStore, impl Fn() -> Tensor) {
        let store = VarStore::new(Device::Cpu);
        let p = store.root();
        let numbers = |shape: &[i64]| {
            let n = shape.iter().product::<i64>();
            ((Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.7).sin()).view(shape)
        };
        let mut conv = p.zeros("conv", &[4, 3, 3, 3]);
        let mut bias = p.zeros("bias", &[4]);
        tch::no_grad(|| {
            let laid_out = numbers(&[4, 3, 3, 3])
                .permute([0, 2, 3, 1])
                .contiguous()
                .permute([0, 3, 1, 2]);
            conv.set_data(&laid_out);
            bias.copy_(&numbers(&[4]));
        });
        let x = numbers(&[2, 3, 6, 6]) * 2.0;
        let loss = move || {
            x.conv2d(&conv, Some(&bias), 1, 0, 1, 1)
                .tanh()
                .square()
                .mean(Kind::Float)
        };
        (store, loss)
    }

    #[test]
    fn as_tchs_own() {
        for (kind, decay) in [
            (OptimizerKind::Adam, 0.0),
            (OptimizerKind::Adam, 0.1),
            (OptimizerKind::AdamW, 0.1),
            (OptimizerKind::Sgd, 0.0),
            (OptimizerKind::Sgd, 0.1),
        ] {
            let (store, loss) = problem();
            let mut ours = Optimizer::new(kind, decay, &store);
            let (other_store, other_loss) = problem();
            let theirs = match kind {
                OptimizerKind::Adam => nn::Adam::default().wd(decay).build(&other_store, 0.1),
                OptimizerKind::AdamW => {
                    let config = nn::AdamW {
                        wd: decay,
                        ..nn::AdamW::default()
                    };
                    config.build(&other_store, 0.1)
                }
                OptimizerKind::Sgd => {
                    let config = nn::Sgd {
                        momentum: MOMENTUM,
                        wd: decay,
                        ..nn::Sgd::default()
                    };
                    config.build(&other_store, 0.1)
                }
            };
            let mut theirs = theirs.expect("an optimiser");
            let begun = loss().double_value(&[]);
            for step in 0..5 {
                backward(&ours, &loss());
                ours.step(0.1).expect("steps");
                theirs.backward_step(&other_loss());
                for (name, variable) in store.variables() {
                    let other = &other_store.variables()[&name];
                    let difference = (&variable - other).abs().max().double_value(&[]);
                    assert!(difference < 1e-5, "{kind:?} {name} {step}: {difference}");
                }
            }
            assert!(loss().double_value(&[]) < begun, "{kind:?}");
        }
    }

    fn backward(optimizer: &Optimizer, loss: &Tensor) {
        optimizer.forget_gradients().expect("forgets");
        loss.backward();
    }

    #[test]
    fn gradients_are_measured_and_scaled() {
        let (store, loss) = problem();
        let optimizer = Optimizer::new(OptimizerKind::Adam, 0.0, &store);
        let gradients = || -> Vec<Tensor> {
            let parameters = optimizer.parameters.iter();
            parameters.map(|p| p.grad().copy()).collect()
        };
        backward(&optimizer, &loss());
        let first = gradients();
        let squares: f64 = first
            .iter()
            .map(|g| g.square().sum(Kind::Double).double_value(&[]))
            .sum();
        let norm = optimizer.gradient_norm().expect("a norm");
        assert!((norm - squares.sqrt()).abs() < 1e-6 * norm, "{norm}");
        optimizer.scale_gradients(0.5).expect("scales");
        assert!((optimizer.gradient_norm().expect("a norm") - norm / 2.0).abs() < 1e-6);
        // A second pass takes the place of the first.
        backward(&optimizer, &loss());
        assert_eq!(gradients(), first);
        optimizer.forget_gradients().expect("forgets");
        assert!(optimizer.parameters.iter().all(|p| !p.grad().defined()));
        assert!(store.trainable_variables().len() == 2);
    }

    #[test]
    fn bfloat16_is_where_it_is_asked_for() {
        let x = Tensor::ones([4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let product = libtorch::autocast(Device::Cpu, || x.matmul(&x)).expect("switches");
        assert_eq!(product.kind(), Kind::BFloat16);
        assert_eq!(x.matmul(&x).kind(), Kind::Float);
    }
}
