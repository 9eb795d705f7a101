//! Files of PyTorch's `torch.save`, in both layouts:
//!
//! - **zip** (torch 1.6 and later): `NAME/data.pkl` is the state dict's pickle, `NAME/data/KEY` the values of a storage,
//!   not compressed;
//! - **older** (0.1.10 to 1.5): pickles of a magic number, a version, the writer's machine, the state dict and the
//!   storages' keys, one after the other; then for each key the number of its elements (i64) and its values.
//!
//! Little-endian both; values are left in the file until they are wanted.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom};

use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Id, MAX_PICKLE, Pickle, Value};
use super::{FormatError, Stored};

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// What trainings wrap a state dict in, beside the state of the optimiser and the like.
const WRAPPERS: [&str; 2] = ["state_dict", "model"];
/// What `torch.nn.DataParallel` puts in front of every name.
const PARALLEL: &str = "module.";

type Result<T> = std::result::Result<T, FormatError>;
/// First byte in the file and number of bytes of each storage.
type Places = HashMap<String, (u64, u64)>;

const fn damaged<T>(what: &'static str) -> Result<T> {
    Err(FormatError::Damaged(what))
}

/// The tensors of a zip file.
pub(super) fn read_zip(file: impl Read + Seek) -> Result<BTreeMap<String, Stored>> {
    let mut archive = ZipArchive::new(file)?;
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let is_top = |root: &&str| root.ends_with('/') && root.matches('/').count() == 1;
    let root = names
        .iter()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .find(is_top)
        .ok_or(FormatError::Unknown)?;
    if archive.by_name(&format!("{root}constants.pkl")).is_ok() {
        return Err(FormatError::TorchScript);
    }
    if let Ok(order) = archive.by_name(&format!("{root}byteorder"))
        && io::read_to_string(order.take(16))? != "little"
    {
        return Err(FormatError::BigEndian);
    }
    let mut bytes = Vec::new();
    // Whole, because the checksum is compared at the end only.
    let member = archive.by_name(&format!("{root}data.pkl"))?;
    member.take(MAX_PICKLE).read_to_end(&mut bytes)?;
    let pickle = Pickle::read(&bytes[..])?;
    let mut places = Places::new();
    for name in &names {
        let Some(key) = name.strip_prefix(&format!("{root}data/")) else {
            continue;
        };
        let member = archive.by_name(name)?;
        if member.compression() != CompressionMethod::Stored {
            return damaged("its values are compressed, which PyTorch does not do");
        }
        places.insert(key.to_owned(), (member.data_start(), member.size()));
    }
    tensors(&pickle, &places)
}

/// Compares every checksum of a zip file.
pub(super) fn check_zip(mut file: impl Read + Seek) -> Result<()> {
    let mut left = file.seek(SeekFrom::End(0))?;
    let mut archive = ZipArchive::new(file)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        if member.compression() == CompressionMethod::Stored {
            // Members that lie upon each other would be read without end.
            left = left
                .checked_sub(member.size())
                .ok_or(FormatError::Damaged("its members overlap"))?;
            io::copy(&mut member, &mut io::sink())?;
        }
    }
    Ok(())
}

/// The tensors of a file of the older layout.
pub(super) fn read_older(mut file: impl Read + Seek) -> Result<BTreeMap<String, Stored>> {
    for expected in [MAGIC, VERSION] {
        let pickle = Pickle::read(&mut file)?;
        if !matches!(pickle.get(pickle.root), Value::Int(n) if *n == expected) {
            return Err(FormatError::Unknown);
        }
    }
    let system = Pickle::read(&mut file)?;
    let little = system.entry(system.root, "little_endian");
    if little.is_some_and(|id| matches!(system.get(id), Value::Bool(false))) {
        return Err(FormatError::BigEndian);
    }
    let state = Pickle::read(&mut file)?;
    let mut widths = HashMap::new();
    for storage in state.storages() {
        let key = state.text(storage.key).unwrap_or_default();
        widths.insert(
            key,
            (
                storage.kind.elt_size_in_bytes() as u64,
                storage.num_elements,
            ),
        );
    }
    let keys = Pickle::read(&mut file)?;
    let Value::List(ids) = keys.get(keys.root) else {
        return damaged("the list of its storages is missing");
    };
    let mut places = Places::new();
    for key in ids.iter().filter_map(|id| keys.text(*id)) {
        let mut count = [0; 8];
        file.read_exact(&mut count)?;
        let start = file.stream_position()?;
        match widths.get(key) {
            Some((width, n)) if *n == u64::from_le_bytes(count) => {
                let length = width.checked_mul(*n);
                let end = length.and_then(|length| start.checked_add(length));
                let (Some(length), Some(end)) = (length, end) else {
                    return damaged("a storage has an impossible size");
                };
                places.insert(key.to_owned(), (start, length));
                file.seek(SeekFrom::Start(end))?;
            }
            _ => return damaged("a storage is of another size than the state dict says"),
        }
    }
    tensors(&state, &places)
}

/// The tensors of a state dict, by name.
fn tensors(pickle: &Pickle, places: &Places) -> Result<BTreeMap<String, Stored>> {
    let is_dict = |id: &Id| matches!(pickle.get(*id), Value::Dict(_));
    let wrapped = WRAPPERS
        .iter()
        .find_map(|wrapper| pickle.entry(pickle.root, wrapper).filter(is_dict));
    let Value::Dict(entries) = pickle.get(wrapped.unwrap_or(pickle.root)) else {
        return Err(FormatError::NoStateDict("it holds another object".into()));
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = pickle.text(*key) else {
            return Err(FormatError::NoStateDict(
                "not all its keys are names".into(),
            ));
        };
        let stored = match pickle.get(*value) {
            Value::Tensor(tensor) => match pickle.get(tensor.storage) {
                Value::Storage(storage) => pickle
                    .text(storage.key)
                    .and_then(|key| places.get(key))
                    .and_then(|place| Stored::of_storage(storage, tensor, *place)),
                _ => None,
            },
            _ => {
                let why = format!("\"{name}\" is no tensor");
                return Err(FormatError::NoStateDict(why));
            }
        };
        let stored = stored.ok_or_else(|| FormatError::Outside(name.to_owned()))?;
        tensors.insert(name.to_owned(), stored);
    }
    if tensors.keys().all(|name| name.starts_with(PARALLEL)) {
        tensors = tensors
            .into_iter()
            .map(|(name, stored)| (name[PARALLEL.len()..].to_owned(), stored))
            .collect();
    }
    Ok(tensors)
}
