//! What tch does not offer of libtorch (`libtorch.cpp`): operators over lists of tensors, gradients let go, bfloat16, the
//! buffers and methods of a TorchScript program.
#![allow(
    unsafe_code,
    reason = "calls into libtorch: everything passed lives as long as the call, which keeps none of it"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use tch::{Device, TchError, Tensor};

use crate::panics::{Panic, caught};

/// torch-sys's `C_tensor`, which is an `at::Tensor`.
type TensorPtr = *const torch_sys::C_tensor;

unsafe extern "C" {
    fn care_keep_memory();
    fn care_give_memory_back();
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
    fn care_gpu_memory(gpu: c_int, bytes: *mut usize) -> *const c_char;
    fn care_autocast(cuda: bool, on: bool) -> *const c_char;
    fn care_program_open(
        path: *const c_char,
        gpu: c_int,
        program: *mut *mut RawProgram,
    ) -> *const c_char;
    fn care_program_close(program: *mut RawProgram);
    fn care_program_call(
        program: *mut RawProgram,
        method: *const c_char,
        x: TensorPtr,
        result: *mut *mut torch_sys::C_tensor,
    ) -> *const c_char;
    fn care_program_set_training(program: *mut RawProgram, training: bool) -> *const c_char;
    fn care_program_save(
        program: *const RawProgram,
        path: *const c_char,
        name: *const c_char,
        text: *const c_char,
    ) -> *const c_char;
    fn care_program_of(
        names: *const *const c_char,
        tensors: *const TensorPtr,
        are_buffers: *const bool,
        n: usize,
        program: *mut *mut RawProgram,
    ) -> *const c_char;
    fn care_program_trace(
        program: *mut RawProgram,
        method: *const c_char,
        x: TensorPtr,
        data: *mut c_void,
        f: extern "C" fn(*mut c_void, *mut torch_sys::C_tensor) -> TensorPtr,
    ) -> *const c_char;
    fn care_program_define(
        program: *mut RawProgram,
        method: *const c_char,
        source: *const c_char,
    ) -> *const c_char;
    fn care_program_tensors(
        program: *const RawProgram,
        buffers: bool,
        data: *mut c_void,
        take: extern "C" fn(*mut c_void, *const c_char, *mut torch_sys::C_tensor),
    ) -> *const c_char;
}

/// A `torch::jit::Module`.
#[repr(C)]
struct RawProgram {
    _private: [u8; 0],
}

/// What libtorch holds of a GPU's memory, in bytes.
pub(crate) fn gpu_memory(gpu: usize) -> Option<u64> {
    let gpu = c_int::try_from(gpu).ok()?;
    let mut bytes = 0;
    // SAFETY: writes one number, which outlives the call.
    checked(unsafe { care_gpu_memory(gpu, &raw mut bytes) }).ok()?;
    Some(bytes as u64)
}

/// Has the process keep memory that was freed, so that a step need not ask for that of the step before again. **To be called
/// before there is a second thread**, which would have its own pool. Without effect where the C library is not glibc.
pub(crate) fn keep_memory() {
    // SAFETY: sets three numbers of the allocator.
    unsafe { care_keep_memory() }
}

/// Gives freed memory back to the system.
pub(crate) fn give_memory_back() {
    // SAFETY: touches what nobody holds.
    unsafe { care_give_memory_back() }
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

/// A TorchScript program with its parameters and buffers.
pub(crate) struct Program(NonNull<RawProgram>);

impl Program {
    pub(crate) fn open(path: &Path, device: Device) -> Result<Self, TchError> {
        let path = c_path(path)?;
        let gpu = match device {
            Device::Cuda(index) => index as c_int,
            _ => -1,
        };
        let mut program = ptr::null_mut();
        // SAFETY: as said above.
        checked(unsafe { care_program_open(path.as_ptr(), gpu, &raw mut program) })?;
        Self::opened(program)
    }

    fn opened(program: *mut RawProgram) -> Result<Self, TchError> {
        let nothing = || TchError::Torch("nothing was opened".to_owned());
        NonNull::new(program).map(Self).ok_or_else(nothing)
    }

    /// What the method gives for `x`.
    pub(crate) fn call(&self, method: &str, x: &Tensor) -> Result<Tensor, TchError> {
        let method = CString::new(method)?;
        let mut result = ptr::null_mut();
        // SAFETY: as said above.
        checked(unsafe {
            care_program_call(
                self.0.as_ptr(),
                method.as_ptr(),
                x.as_ptr(),
                &raw mut result,
            )
        })?;
        // SAFETY: a tensor that nobody else owns.
        Ok(unsafe { Tensor::from_ptr(result) })
    }

    /// Training mode, or evaluation mode.
    pub(crate) fn set_training(&self, training: bool) -> Result<(), TchError> {
        // SAFETY: as said above.
        checked(unsafe { care_program_set_training(self.0.as_ptr(), training) })
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), TchError> {
        self.save_with(path, ("", ""))
    }

    /// With a file of this name and text inside, unless it has no name.
    pub(crate) fn save_with(&self, path: &Path, beside: (&str, &str)) -> Result<(), TchError> {
        let path = c_path(path)?;
        let (name, text) = (CString::new(beside.0)?, CString::new(beside.1)?);
        // SAFETY: as said above.
        checked(unsafe {
            care_program_save(self.0.as_ptr(), path.as_ptr(), name.as_ptr(), text.as_ptr())
        })
    }

    /// A program without methods, in evaluation mode, whose parameters and buffers are these tensors themselves, each with
    /// its name as torch has it.
    pub(crate) fn of(
        tensors: &[(String, Tensor)],
        is_buffer: impl Fn(&Tensor) -> bool,
    ) -> Result<Self, TchError> {
        let names = tensors.iter().map(|(name, _)| CString::new(name.as_str()));
        let kept: Vec<CString> = names.collect::<Result<_, _>>()?;
        let names: Vec<*const c_char> = kept.iter().map(|name| name.as_ptr()).collect();
        let pointers: Vec<TensorPtr> = tensors.iter().map(|(_, it)| it.as_ptr()).collect();
        let are_buffers: Vec<bool> = tensors.iter().map(|(_, it)| is_buffer(it)).collect();
        let mut program = ptr::null_mut();
        // SAFETY: as said above; the lists are equally long.
        checked(unsafe {
            care_program_of(
                names.as_ptr(),
                pointers.as_ptr(),
                are_buffers.as_ptr(),
                names.len(),
                &raw mut program,
            )
        })?;
        Self::opened(program)
    }

    /// Gives the program a method that does what `f` does with `x`: what `f` asks of libtorch is written down, sizes as they
    /// are now. Returns what it gave.
    pub(crate) fn trace<F: FnMut(&Tensor) -> Tensor>(
        &self,
        method: &str,
        x: &Tensor,
        f: F,
    ) -> Result<Tensor, TchError> {
        struct Traced<F> {
            f: F,
            result: Option<Result<Tensor, Panic>>,
        }

        extern "C" fn call<F: FnMut(&Tensor) -> Tensor>(
            data: *mut c_void,
            x: *mut torch_sys::C_tensor,
        ) -> TensorPtr {
            // SAFETY: `data` is the struct below, and nobody else owns `x`.
            let (traced, x) = unsafe { (&mut *data.cast::<Traced<F>>(), Tensor::from_ptr(x)) };
            // A panic must not reach C++.
            let result = traced.result.insert(caught(|| (traced.f)(&x)));
            result.as_ref().map_or(ptr::null(), Tensor::as_ptr)
        }

        let method = CString::new(method)?;
        let mut traced = Traced { f, result: None };
        // SAFETY: as said above; `traced` is of the type that `call` takes it for.
        let done = checked(unsafe {
            care_program_trace(
                self.0.as_ptr(),
                method.as_ptr(),
                x.as_ptr(),
                (&raw mut traced).cast(),
                call::<F>,
            )
        });
        match traced.result {
            Some(Ok(result)) => done.map(|()| result),
            Some(Err(Panic::Torch(why) | Panic::Fault(why))) => Err(TchError::Torch(why)),
            None => done.and(Err(TchError::Torch("nothing was traced".to_owned()))),
        }
    }

    /// Gives the program a method in TorchScript's own language, unless it has one of that name.
    pub(crate) fn define(&self, method: &str, source: &str) -> Result<(), TchError> {
        let (method, source) = (CString::new(method)?, CString::new(source)?);
        // SAFETY: as said above.
        checked(unsafe { care_program_define(self.0.as_ptr(), method.as_ptr(), source.as_ptr()) })
    }

    /// By name; what is done to them is done to the program's.
    pub(crate) fn parameters(&self) -> Result<Vec<(String, Tensor)>, TchError> {
        self.tensors(false)
    }

    /// By name, such as running statistics; what is done to them is done to the program's.
    pub(crate) fn buffers(&self) -> Result<Vec<(String, Tensor)>, TchError> {
        self.tensors(true)
    }

    fn tensors(&self, buffers: bool) -> Result<Vec<(String, Tensor)>, TchError> {
        type Named = Vec<(String, Tensor)>;

        extern "C" fn take(
            data: *mut c_void,
            name: *const c_char,
            tensor: *mut torch_sys::C_tensor,
        ) {
            // SAFETY: `data` is the list below, `name` a C string, and nobody else owns the tensor.
            unsafe {
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                (*data.cast::<Named>()).push((name, Tensor::from_ptr(tensor)));
            }
        }

        let mut named = Named::new();
        let data = (&raw mut named).cast();
        // SAFETY: as said above.
        checked(unsafe { care_program_tensors(self.0.as_ptr(), buffers, data, take) })?;
        Ok(named)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        unsafe { care_program_close(self.0.as_ptr()) };
    }
}

fn c_path(path: &Path) -> Result<CString, TchError> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}
