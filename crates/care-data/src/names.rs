//! Formats by their names, as they are typed.

/// A name that none of the formats has, and those that they have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is none of {known}")]
pub struct NoSuchFormat {
    name: String,
    known: String,
}

pub(crate) fn by_name<F: Copy>(
    name: &str,
    all: &[F],
    name_of: fn(F) -> &'static str,
) -> Result<F, NoSuchFormat> {
    let names = || all.iter().map(|format| name_of(*format));
    let found = names().zip(all).find(|(known, _)| *known == name);
    found
        .map(|(_, format)| *format)
        .ok_or_else(|| NoSuchFormat {
            name: name.to_owned(),
            known: Vec::from_iter(names()).join(", "),
        })
}
