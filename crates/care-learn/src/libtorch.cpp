// What tch does not offer of libtorch: operators over lists of tensors, gradients let go, bfloat16, the buffers of a
// TorchScript program, how much of a GPU's memory is held.
// Each function returns nullptr, or why it failed: to be read before the thread's next call.

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_mul_ops.h>
#include <ATen/ops/_foreach_norm_ops.h>
#include <ATen/ops/_fused_adam_ops.h>
#include <ATen/ops/_fused_adamw_ops.h>
#include <ATen/ops/_fused_sgd_ops.h>
#include <ATen/ops/linalg_vector_norm_ops.h>
#include <ATen/ops/stack_ops.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/serialization/import.h>

#include <c10/core/CachingDeviceAllocator.h>

#include <malloc.h>

#include <string>
#include <vector>

namespace {

using Tensors = std::vector<at::Tensor>;
using Program = torch::jit::Module;

Tensors list(at::Tensor *const *tensors, size_t n) {
  Tensors out;
  out.reserve(n);
  for (size_t i = 0; i < n; i++) out.push_back(*tensors[i]);
  return out;
}

Tensors gradients(const Tensors &parameters) {
  Tensors out;
  out.reserve(parameters.size());
  for (const at::Tensor &parameter : parameters) out.push_back(parameter.grad());
  return out;
}

// A module without anything in it, of the same program.
Program empty_module(const std::shared_ptr<torch::jit::CompilationUnit> &unit) {
  Program module(c10::QualifiedName("__torch__.Network"), unit, /*shouldMangle=*/true);
  module.register_attribute("training", c10::BoolType::get(), false);
  return module;
}

template <typename F> const char *guarded(F f) {
  thread_local std::string why;
  try {
    f();
    return nullptr;
  } catch (const std::exception &error) {
    why = error.what();
    return why.c_str();
  }
}

} // namespace

extern "C" {

// Has the C library keep freed memory and take new memory in one piece. By its own rules it returns every large tensor to the
// system, which then clears the same pages again for the next.
void care_keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1); // Never.
  mallopt(M_TOP_PAD, 64 << 20);
  // A thread's own arena cannot hold large tensors.
  mallopt(M_ARENA_MAX, 1);
#endif
}

// Gives back to the system what is free.
void care_give_memory_back() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// Undefined gradients: the next backward pass then puts its own there, without adding to zeros.
const char *care_forget_gradients(at::Tensor *const *parameters, size_t n) {
  return guarded([&] {
    for (size_t i = 0; i < n; i++) parameters[i]->mutable_grad().reset();
  });
}

// The 2-norm of all gradients together. All have to be there.
const char *care_gradient_norm(at::Tensor *const *parameters, size_t n, double *norm) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    Tensors norms = at::_ops::_foreach_norm_Scalar::call(gradients(list(parameters, n)), 2, std::nullopt);
    at::Tensor whole = at::_ops::linalg_vector_norm::call(
        at::_ops::stack::call(norms, 0), 2, at::OptionalIntArrayRef(), false, std::nullopt);
    *norm = whole.item().toDouble();
  });
}

const char *care_scale_gradients(at::Tensor *const *parameters, size_t n, double factor) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::_ops::_foreach_mul__Scalar::call(gradients(list(parameters, n)), factor);
  });
}

// `step` is the number of this step, from 1, as a float tensor of one value on the parameters' device.
const char *care_adam(at::Tensor *const *parameters, at::Tensor *const *first, at::Tensor *const *second, size_t n,
                      const at::Tensor *step, double learning_rate, double beta1, double beta2, double eps,
                      double weight_decay, bool decoupled) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    Tensors p = list(parameters, n), m = list(first, n), v = list(second, n);
    Tensors steps(n, *step);
    auto fused = decoupled ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call;
    fused(p, gradients(p), m, v, {}, steps, learning_rate, beta1, beta2, weight_decay, eps, false, false, std::nullopt,
          std::nullopt);
  });
}

const char *care_sgd(at::Tensor *const *parameters, at::Tensor *const *momenta, size_t n, double learning_rate,
                     double momentum, double weight_decay, bool is_first_step) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    Tensors p = list(parameters, n);
    at::_ops::_fused_sgd_::call(p, gradients(p), list(momenta, n), weight_decay, momentum, learning_rate, 0.0, false,
                                false, is_first_step, std::nullopt, std::nullopt);
  });
}

// What libtorch holds of a GPU's memory, in bytes.
const char *care_gpu_memory(int gpu, size_t *bytes) {
  return guarded([=] {
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    auto stats = at::getDeviceAllocator(at::DeviceType::CUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(gpu));
    *bytes = static_cast<size_t>(stats.reserved_bytes[all].current);
  });
}

// Has this thread compute in bfloat16 what gains by it, or no longer.
const char *care_autocast(bool cuda, bool on) {
  return guarded([&] {
    auto device = cuda ? at::kCUDA : at::kCPU;
    if (on) {
      at::autocast::increment_nesting();
    } else if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, on);
  });
}

// `gpu` is the number of the CUDA device, or below 0 for the CPU. The program is the caller's, to be closed.
const char *care_program_open(const char *path, int gpu, Program **program) {
  return guarded([&] {
    at::Device device = gpu < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, gpu);
    *program = new Program(torch::jit::load(path, device));
  });
}

void care_program_close(Program *program) { delete program; }

// `result` is the caller's.
const char *care_program_call(Program *program, const char *method, const at::Tensor *x, at::Tensor **result) {
  return guarded([&] {
    at::IValue value = program->get_method(method)({*x});
    if (!value.isTensor()) throw std::invalid_argument("it does not return one tensor");
    *result = new at::Tensor(value.toTensor());
  });
}

const char *care_program_set_training(Program *program, bool training) {
  return guarded([&] { program->train(training); });
}

// `text` is kept in the file under `name`, where that is not empty.
const char *care_program_save(const Program *program, const char *path, const char *name, const char *text) {
  return guarded([&] {
    torch::jit::ExtraFilesMap extra;
    if (*name) extra[name] = text;
    program->save(path, extra);
  });
}

// A program without methods, in evaluation mode, whose parameters and buffers are these tensors themselves; a dot in a name
// stands between a module and what is in it. It is the caller's, to be closed.
const char *care_program_of(const char *const *names, at::Tensor *const *tensors, const bool *are_buffers, size_t n,
                            Program **program) {
  return guarded([&] {
    auto unit = std::make_shared<torch::jit::CompilationUnit>();
    Program root = empty_module(unit);
    for (size_t i = 0; i < n; i++) {
      Program parent = root;
      std::string name = names[i];
      for (size_t dot; (dot = name.find('.')) != std::string::npos; name = name.substr(dot + 1)) {
        std::string part = name.substr(0, dot);
        if (!parent.hasattr(part)) parent.register_module(part, empty_module(unit));
        parent = parent.attr(part).toModule();
      }
      parent.register_parameter(name, *tensors[i], are_buffers[i]);
    }
    *program = new Program(root);
  });
}

// Gives the program a method that does what `f` does with `x`: its calls into libtorch are written down. `f` returns a tensor
// that stays its own, or nullptr where it fails.
const char *care_program_trace(Program *program, const char *method, const at::Tensor *x, void *data,
                               const at::Tensor *(*f)(void *, at::Tensor *)) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto traced = [&](torch::jit::Stack inputs) -> torch::jit::Stack {
      const at::Tensor *y = f(data, new at::Tensor(inputs.at(0).toTensor()));
      if (!y) throw std::runtime_error("the network failed");
      return {*y};
    };
    auto name = [](const at::Tensor &) { return std::string(); };
    auto state = torch::jit::tracer::trace({*x}, traced, name, true, false, program).first;
    auto unit = program->_ivalue()->compilation_unit();
    program->type()->addMethod(
        unit->create_function(c10::QualifiedName(*program->type()->name(), method), state->graph));
  });
}

// Gives the program a method in its own language, unless it has one of that name.
const char *care_program_define(Program *program, const char *method, const char *source) {
  return guarded([&] {
    if (!program->find_method(method)) program->define(source);
  });
}

// Calls `take` with the name of each parameter or buffer and with itself, which is `take`'s then.
const char *care_program_tensors(const Program *program, bool buffers, void *data,
                                 void (*take)(void *, const char *, at::Tensor *)) {
  return guarded([&] {
    auto pass = [&](const auto &list) {
      for (const auto &named : list) take(data, named.name.c_str(), new at::Tensor(named.value));
    };
    if (buffers) {
      pass(program->named_buffers());
    } else {
      pass(program->named_parameters());
    }
  });
}
}
