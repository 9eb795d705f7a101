//! Whom a file or a table names, and what else its images are grouped by.

use std::fmt;

/// A patient's id as it stands in a file. It lives in memory only, and is shown nowhere: a project keeps a
/// [`hash`](Self::hash) of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientId(Vec<u8>);

impl PatientId {
    /// None where it tells no patients apart: nothing, or what programs write in its place.
    #[must_use]
    pub fn new(id: &[u8]) -> Option<Self> {
        const NOBODY: [&str; 10] = [
            "0",
            "anon",
            "anonymised",
            "anonymized",
            "anonymous",
            "n/a",
            "na",
            "none",
            "removed",
            "unknown",
        ];
        let id = id.strip_suffix(&[0]).unwrap_or(id).trim_ascii();
        let is_nobody = NOBODY
            .iter()
            .any(|name| id.eq_ignore_ascii_case(name.as_bytes()));
        (!id.is_empty() && !is_nobody).then(|| Self(id.to_owned()))
    }

    /// As a table says it: whatever stands there tells patients apart.
    #[must_use]
    pub fn of_table(id: &str) -> Self {
        Self(id.trim().as_bytes().to_owned())
    }

    /// 64 bits of BLAKE3 under a project's [`salt`](crate::Project::salt): the same patient is the same group in one project,
    /// and nothing in another.
    #[must_use]
    pub fn hash(&self, salt: &[u8; 32]) -> String {
        let hash = blake3::keyed_hash(salt, &self.0).to_hex();
        hash.chars().take(16).collect()
    }
}

impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientId")
    }
}

/// What images that belong together have in common.
#[derive(Clone)]
pub(super) enum Group {
    Patient(PatientId),
    /// A lesion, or whatever else a table calls them by.
    Other(String),
}

/// A column of groups, by its name or its place, and what stands in it.
pub(super) type GroupColumn<C = &'static str> = (C, fn(&str) -> Group);

impl Group {
    pub fn patient(id: &str) -> Self {
        Self::Patient(PatientId::of_table(id))
    }

    pub fn other(name: &str) -> Self {
        Self::Other(name.to_owned())
    }
}
