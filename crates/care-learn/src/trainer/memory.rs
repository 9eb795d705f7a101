//! What a run takes of the memory.

use std::time::{Duration, Instant};

use tch::Device;

use crate::device::process_memory;
use crate::event::Memory;
use crate::libtorch::gpu_memory;

/// Time between looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct MemoryWatch {
    device: Device,
    last: Option<(Instant, Option<Memory>)>,
}

impl MemoryWatch {
    pub(super) fn new(device: Device) -> Self {
        Self { device, last: None }
    }

    /// As it is now, or was a second ago at most.
    pub(super) fn now(&mut self) -> Option<Memory> {
        match self.last {
            Some((at, memory)) if at.elapsed() < LOOK_EVERY => memory,
            _ => {
                let memory = match self.device {
                    Device::Cuda(gpu) => gpu_memory(gpu).map(Memory::Gpu),
                    _ => process_memory().map(Memory::Process),
                };
                self.last = Some((Instant::now(), memory));
                memory
            }
        }
    }
}
