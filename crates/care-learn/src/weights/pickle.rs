//! Reads the pickles of `torch.save`, and executes nothing.
//!
//! A pickle is a program for a stack machine; Python's imports and calls whatever the program names. This one knows the
//! instructions that torch's pickler emits for a state dict, and a closed list of names that stand for plain data here.
//! Anything else is an error that says what it was.
//!
//! Values refer to each other by number ([`Id`]), never by ownership: a hostile file can nest them without end, or
//! make one refer to itself, and still costs no more than its own length and is dropped without recursion.
//!
//! Of our own, because no library does it all: `candle-core` knows the zip layout alone, `serde-pickle` no persistent ids, and
//! `pytorch-reader` 0.22, which reads both layouts well, refuses the parameters in files of torch 0.1 to 0.3
//! (`torch.nn.parameter.Parameter`) and passes over names that it does not know without a word.

use std::collections::HashMap;
use std::io::{self, Read};
use std::mem;

use tch::Kind;

/// The longest pickle in bytes: some ten thousand tensors.
pub(super) const MAX_PICKLE: u64 = 2 << 20;
/// A tensor's dimensions at most.
const MAX_DIMS: usize = 8;
/// The longest module or class name.
const MAX_NAME: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    #[error(
        "it names \"{0}\", which no weights need; nothing of the file was executed. Save the state dict alone, \
         with torch.save(model.state_dict(), ...)"
    )]
    Name(String),
    #[error("it holds the instruction {0:#04x}, which no state dict needs")]
    Instruction(u8),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it is cut off, or too long: {0}")]
    Read(#[from] io::Error),
}

type Result<T> = std::result::Result<T, PickleError>;

const MISSING: PickleError = PickleError::Damaged("a value is missing");

const fn damaged<T>(what: &'static str) -> Result<T> {
    Err(PickleError::Damaged(what))
}

/// Where a value stands among a pickle's values.
pub(super) type Id = usize;

#[derive(Debug)]
pub(super) enum Value {
    /// None, real numbers: nothing that weights depend on.
    Other,
    Bool(bool),
    Int(i128),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Storage),
    Tensor(Tensor),
}

/// The names that a pickle may mention.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    OrderedDict,
    /// Gives a tensor, of a storage.
    Tensor,
    /// Gives the tensor it is given.
    Parameter,
    Storage(Kind),
}

/// Values in a row, several tensors' perhaps.
#[derive(Debug)]
pub(super) struct Storage {
    pub key: Id,
    pub kind: Kind,
    pub num_elements: u64,
    /// First element and number of elements of the part that is meant.
    pub part: (u64, u64),
}

/// In elements of its storage's part.
#[derive(Debug)]
pub(super) struct Tensor {
    pub storage: Id,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// A pickle as data.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    pub root: Id,
}

impl Pickle {
    /// # Errors
    /// Where the pickle is cut off, too long, damaged or needs more than plain data.
    pub fn read(reader: impl Read) -> Result<Self> {
        let mut machine = Machine {
            reader: reader.take(MAX_PICKLE),
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        loop {
            if let Some(root) = machine.step()? {
                let values = machine.values;
                return Ok(Self { values, root });
            }
        }
    }

    pub fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a dictionary has under a name.
    pub fn entry(&self, dict: Id, name: &str) -> Option<Id> {
        match self.get(dict) {
            Value::Dict(pairs) => pairs
                .iter()
                .find(|(key, _)| self.text(*key) == Some(name))
                .map(|(_, value)| *value),
            _ => None,
        }
    }

    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

fn known(module: &str, name: &str) -> Result<Name> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Name::Tensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter", "Parameter") => Name::Parameter,
        ("torch", "DoubleStorage") => Name::Storage(Kind::Double),
        ("torch", "FloatStorage") => Name::Storage(Kind::Float),
        ("torch", "HalfStorage") => Name::Storage(Kind::Half),
        ("torch", "BFloat16Storage") => Name::Storage(Kind::BFloat16),
        ("torch", "LongStorage") => Name::Storage(Kind::Int64),
        ("torch", "IntStorage") => Name::Storage(Kind::Int),
        ("torch", "ShortStorage") => Name::Storage(Kind::Int16),
        ("torch", "CharStorage") => Name::Storage(Kind::Int8),
        ("torch", "ByteStorage") => Name::Storage(Kind::Uint8),
        ("torch", "BoolStorage") => Name::Storage(Kind::Bool),
        _ => return Err(PickleError::Name(format!("{module}.{name}"))),
    })
}

struct Machine<R> {
    reader: io::Take<R>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<R> {
    /// One instruction; the last one gives the value of the whole.
    fn step(&mut self) -> Result<Option<Id>> {
        let value = match self.byte()? {
            b'N' => Value::Other,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.bytes()?).into()),
            b'K' => Value::Int(self.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.bytes()?).into()),
            0x8a => Value::Int(self.long()?),
            b'G' => self.bytes::<8>().map(|_| Value::Other)?,
            code @ (b'X' | b'T' | 0x8c | b'U') => {
                let length = self.number(code < 0x80 && code != b'U')?;
                Value::Text(self.text(length)?)
            }
            b')' => Value::Tuple(Vec::new()),
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b't' => Value::Tuple(self.pop_to_mark()?),
            code @ 0x85..=0x87 => Value::Tuple(self.pop_many(usize::from(code - 0x84))?),
            b'c' => Value::Name(known(&self.line()?, &self.line()?)?),
            0x93 => match self.pop_many(2)?[..] {
                [module, name] => Value::Name(known(self.text_of(module)?, self.text_of(name)?)?),
                _ => return Err(MISSING),
            },
            b'Q' => self.storage()?,
            b'R' => match self.call()? {
                Called::New(value) => value,
                Called::Known(id) => {
                    self.stack.push(id);
                    return Ok(None);
                }
            },
            b'.' => return self.pop().map(Some),
            other => return self.change(other).map(|()| None),
        };
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(None)
    }

    /// An instruction that makes no value.
    fn change(&mut self, code: u8) -> Result<()> {
        match code {
            // Protocol and frame: for faster readers.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.bytes::<8>()?),
            // Attributes of what is on the stack, such as the state dict's `_metadata`: of no account for weights.
            b'b' => drop(self.pop()?),
            b'(' => self.marks.push(self.stack.len()),
            b'q' | b'r' | 0x94 => {
                let slot = match code {
                    0x94 => self.memo.len() as u32,
                    _ => self.number(code == b'r')?,
                };
                self.memo.insert(slot, *self.stack.last().ok_or(MISSING)?);
            }
            b'h' | b'j' => {
                let slot = self.number(code == b'j')?;
                self.stack.push(*self.memo.get(&slot).ok_or(MISSING)?);
            }
            b'a' | b'e' | b's' | b'u' => {
                let items = match code {
                    b'a' => self.pop_many(1)?,
                    b's' => self.pop_many(2)?,
                    _ => self.pop_to_mark()?,
                };
                let top = *self.stack.last().ok_or(MISSING)?;
                match (&mut self.values[top], items.as_chunks::<2>()) {
                    (Value::List(list), _) if matches!(code, b'a' | b'e') => {
                        list.extend_from_slice(&items)
                    }
                    (Value::Dict(dict), (pairs, [])) if matches!(code, b's' | b'u') => {
                        dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                    }
                    _ => return damaged("it adds to what is neither a list nor a dictionary"),
                }
            }
            other => return Err(PickleError::Instruction(other)),
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A length or a place in the memo, of four bytes or of one.
    fn number(&mut self, is_long: bool) -> Result<u32> {
        if is_long {
            self.bytes().map(u32::from_le_bytes)
        } else {
            self.byte().map(u32::from)
        }
    }

    /// A whole number of at most 16 bytes.
    fn long(&mut self) -> Result<i128> {
        let length = usize::from(self.byte()?);
        let mut bytes = [0; 16];
        let Some(used) = bytes.get_mut(..length) else {
            return damaged("a number is too long");
        };
        self.reader.read_exact(used)?;
        // Shifted up and down again: that carries the sign along.
        let shift = 128 - 8 * length as u32;
        let number = i128::from_le_bytes(bytes).checked_shl(shift).unwrap_or(0);
        Ok(number.checked_shr(shift).unwrap_or(0))
    }

    fn text(&mut self, length: u32) -> Result<String> {
        let mut text = String::new();
        let mut reader = (&mut self.reader).take(length.into());
        if reader.read_to_string(&mut text)? as u64 == u64::from(length) {
            Ok(text)
        } else {
            damaged("a text is cut off")
        }
    }

    /// Up to the end of the line.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(line),
                c if c.is_ascii_graphic() && line.len() < MAX_NAME => line.push(c.into()),
                _ => return damaged("a name is no name"),
            }
        }
    }

    fn pop(&mut self) -> Result<Id> {
        self.stack.pop().ok_or(MISSING)
    }

    fn pop_many(&mut self, n: usize) -> Result<Vec<Id>> {
        let height = self.stack.len().checked_sub(n).ok_or(MISSING)?;
        Ok(self.stack.split_off(height))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => damaged("a mark is missing"),
        }
    }

    /// A persistent id: `("storage", type, key, device, number of elements)`, and a part of it in older files.
    fn storage(&mut self) -> Result<Value> {
        let id = self.pop()?;
        let [tag, kind, key, _, num_elements, part @ ..] = self.items(id)? else {
            return damaged("a storage is incomplete");
        };
        let Value::Name(Name::Storage(kind)) = self.values[*kind] else {
            return damaged("a storage has no type");
        };
        if self.text_of(*tag)? != "storage" {
            return damaged("it refers to something other than storages");
        }
        let num_elements = self.size(*num_elements)?;
        let part = match part.first().map(|part| self.items(*part)) {
            Some(Ok([_, first, length])) => (self.size(*first)?, self.size(*length)?),
            _ => (0, num_elements),
        };
        Ok(Value::Storage(Storage {
            key: *key,
            kind,
            num_elements,
            part,
        }))
    }

    fn call(&mut self) -> Result<Called> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Name(function) = self.values[function] else {
            return damaged("what it calls has no name");
        };
        let value = match (function, self.items(arguments)?) {
            (Name::OrderedDict, []) => Value::Dict(Vec::new()),
            // Python 2 gives the pairs at once.
            (Name::OrderedDict, [pairs]) => {
                let pairs = *pairs;
                // Taken away, so that using a list again and again does not multiply it.
                let Value::List(pairs) = mem::replace(&mut self.values[pairs], Value::Other) else {
                    return damaged("what should be a list is none");
                };
                let pairs = pairs.into_iter().map(|pair| match self.items(pair)? {
                    [key, value] => Ok((*key, *value)),
                    _ => damaged("what should be a pair is none"),
                });
                Value::Dict(pairs.collect::<Result<_>>()?)
            }
            (Name::Tensor, [storage, offset, shape, strides, ..]) => Value::Tensor(Tensor {
                storage: *storage,
                offset: self.size(*offset)?,
                shape: self.sizes(*shape)?,
                strides: self.sizes(*strides)?,
            }),
            (Name::Parameter, [tensor, ..]) => return Ok(Called::Known(*tensor)),
            _ => return damaged("a call lacks its arguments"),
        };
        Ok(Called::New(value))
    }

    fn items(&self, id: Id) -> Result<&[Id]> {
        match &self.values[id] {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            _ => damaged("what should be a tuple is none"),
        }
    }

    fn text_of(&self, id: Id) -> Result<&str> {
        match &self.values[id] {
            Value::Text(text) => Ok(text),
            _ => damaged("what should be a text is none"),
        }
    }

    fn size(&self, id: Id) -> Result<u64> {
        match self.values[id] {
            Value::Int(size) => u64::try_from(size).or_else(|_| damaged("a size is out of range")),
            _ => damaged("a size is no number"),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<u64>> {
        match self.items(id)? {
            sizes if sizes.len() <= MAX_DIMS => sizes.iter().map(|id| self.size(*id)).collect(),
            _ => damaged("a tensor has too many dimensions"),
        }
    }
}

/// What a call gives.
enum Called {
    New(Value),
    Known(Id),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        Pickle::read(bytes).expect_err("an error").to_string()
    }

    #[test]
    fn whole_numbers_of_any_length() {
        for (bytes, number) in [
            (&b"\x80\x02K\xff."[..], 255),
            (b"M\xff\xff.", 65535),
            (b"J\xff\xff\xff\xff.", -1),
            (b"\x8a\x00.", 0),
            (b"\x8a\x01\x80.", -128),
            (b"\x8a\x02\x80\x00.", 128),
            (
                b"\x8a\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff.",
                -1,
            ),
            (
                b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
                0x1950_a86a_20f9_469c_fc6c,
            ),
        ] {
            let pickle = Pickle::read(bytes).expect("reads");
            assert!(
                matches!(pickle.get(pickle.root), Value::Int(n) if *n == number),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn texts_of_python_2_and_3() {
        for bytes in [
            &b"U\x02ab."[..],
            b"T\x02\0\0\0ab.",
            b"X\x02\0\0\0ab.",
            b"\x8c\x02ab.",
        ] {
            let pickle = Pickle::read(bytes).expect("reads");
            assert_eq!(pickle.text(pickle.root), Some("ab"), "{bytes:?}");
        }
    }

    #[test]
    fn what_no_state_dict_needs_is_named() {
        for (bytes, says) in [
            (&b"cos\nsystem\n(X\x02\x00\x00\x00lstR."[..], "os.system"),
            (b"\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
            (b"c__torch__\nNet\n.", "__torch__.Net"),
            (b"\x8a\x11", "too long"),
            (b"(ios\nsystem\n.", "0x69"),
            (b"X\xff\xff\xff\xffabc", "cut off"),
            (b"K", "cut off"),
            (b"t.", "mark"),
            (b"K\x01K\x02(0t.", "0x30"),
            (b"ccollections\nOrderedDict\n(K\x01K\x02tR.", "arguments"),
            (b"Q.", "missing"),
            (b"h\x00.", "missing"),
            (b"]K\x01K\x02s.", "neither"),
        ] {
            let said = error(bytes);
            assert!(said.contains(says), "{bytes:?}: {said}");
        }
    }

    /// Nesting that would overflow the stack of a reader that goes into values, and a list that holds itself.
    #[test]
    fn nesting_without_end_is_no_trouble() {
        let mut deep = b")".to_vec();
        deep.resize(1_000_000, 0x85);
        deep.push(b'.');
        assert!(Pickle::read(&deep[..]).is_ok());
        assert!(Pickle::read(&b"]q\x00h\x00a."[..]).is_ok());
        let endless = std::io::repeat(b')');
        assert!(Pickle::read(endless).is_err());
    }
}
