//! What tch does not offer of libtorch (`libtorch.cpp`): operators over lists of tensors, gradients let go, bfloat16.
#![allow(
    unsafe_code,
    reason = "calls into libtorch: every tensor passed lives as long as the call, which keeps none of them"
)]

use std::ffi::{CStr, c_char};

use tch::{Device, TchError, Tensor};

/// torch-sys's `C_tensor`, which is an `at::Tensor`.
type TensorPtr = *const torch_sys::C_tensor;

unsafe extern "C" {
    fn care_forget_gradients(parameters: *const TensorPtr, n: usize) -> *const c_char;
    fn care_gradient_norm(parameters: *const TensorPtr, n: usize, norm: *mut f64) -> *const c_char;
    fn care_scale_gradients(parameters: *const TensorPtr, n: usize, factor: f64) -> *const c_char;
    fn care_adam(
        parameters: *const TensorPtr,
        first: *const TensorPtr,
        second: *const TensorPtr,
        n: usize,
        step: TensorPtr,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        decoupled: bool,
    ) -> *const c_char;
    fn care_sgd(
        parameters: *const TensorPtr,
        momenta: *const TensorPtr,
        n: usize,
        learning_rate: f64,
        momentum: f64,
        weight_decay: f64,
        is_first_step: bool,
    ) -> *const c_char;
    fn care_autocast(cuda: bool, on: bool) -> *const c_char;
}

fn pointers(tensors: &[Tensor]) -> Vec<TensorPtr> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

fn checked(why: *const c_char) -> Result<(), TchError> {
    if why.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so a C string that lives until this thread's next call.
    let why = unsafe { CStr::from_ptr(why) };
    Err(TchError::Torch(why.to_string_lossy().into_owned()))
}

/// Leaves the parameters without gradients: the next backward pass puts its own there, without adding to zeros.
pub(crate) fn forget_gradients(parameters: &[Tensor]) -> Result<(), TchError> {
    let parameters = pointers(parameters);
    // SAFETY: as said above.
    checked(unsafe { care_forget_gradients(parameters.as_ptr(), parameters.len()) })
}

/// The 2-norm of all gradients together; every parameter has to have one.
pub(crate) fn gradient_norm(parameters: &[Tensor]) -> Result<f64, TchError> {
    let parameters = pointers(parameters);
    let mut norm = 0.0;
    // SAFETY: as said above.
    checked(unsafe { care_gradient_norm(parameters.as_ptr(), parameters.len(), &raw mut norm) })?;
    Ok(norm)
}

pub(crate) fn scale_gradients(parameters: &[Tensor], factor: f64) -> Result<(), TchError> {
    let parameters = pointers(parameters);
    // SAFETY: as said above.
    checked(unsafe { care_scale_gradients(parameters.as_ptr(), parameters.len(), factor) })
}

/// The constants of Adam and of its decoupled variant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    pub(crate) learning_rate: f64,
    pub(crate) betas: (f64, f64),
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    pub(crate) decoupled: bool,
}

/// Adam's step of all parameters at once. `first` and `second` are the running moments; `step` counts from 1, a float
/// tensor of one value on the parameters' device.
pub(crate) fn adam(
    parameters: &[Tensor],
    first: &[Tensor],
    second: &[Tensor],
    step: &Tensor,
    adam: Adam,
) -> Result<(), TchError> {
    let [parameters, first, second] = [parameters, first, second].map(pointers);
    // SAFETY: as said above; the lists are equally long, being made of the same parameters.
    checked(unsafe {
        care_adam(
            parameters.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            parameters.len(),
            step.as_ptr(),
            adam.learning_rate,
            adam.betas.0,
            adam.betas.1,
            adam.eps,
            adam.weight_decay,
            adam.decoupled,
        )
    })
}

/// A step down the gradients with momentum, of all parameters at once.
pub(crate) fn sgd(
    parameters: &[Tensor],
    momenta: &[Tensor],
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    is_first_step: bool,
) -> Result<(), TchError> {
    let [parameters, momenta] = [parameters, momenta].map(pointers);
    // SAFETY: as said above; the lists are equally long, being made of the same parameters.
    checked(unsafe {
        care_sgd(
            parameters.as_ptr(),
            momenta.as_ptr(),
            parameters.len(),
            learning_rate,
            momentum,
            weight_decay,
            is_first_step,
        )
    })
}

/// Runs `f` with convolutions and matrix products in bfloat16 (libtorch's autocast).
pub(crate) fn autocast<T>(device: Device, f: impl FnOnce() -> T) -> Result<T, TchError> {
    /// Ends it also where `f` panics, as tch does where libtorch fails.
    struct Guard(bool);

    impl Drop for Guard {
        fn drop(&mut self) {
            // SAFETY: takes no pointers. It cannot fail where switching on has not.
            let _ = checked(unsafe { care_autocast(self.0, false) });
        }
    }

    let cuda = device.is_cuda();
    // SAFETY: takes no pointers.
    checked(unsafe { care_autocast(cuda, true) })?;
    let _guard = Guard(cuda);
    Ok(f())
}
