//! Keys that a person gave to commands in place of the usual ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use egui::{Id, Key, KeyboardShortcut, Modifiers};
use serde::{Deserialize, Serialize};

use crate::command::Action;

/// What differs from [`Action::spec`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, String>", from = "BTreeMap<String, String>")]
pub struct Keymap(BTreeMap<Action, KeyboardShortcut>);

impl Keymap {
    #[must_use]
    pub fn is_usual(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn of(&self, action: Action) -> Option<KeyboardShortcut> {
        // A person's key wins: a newer version may have given it to another command.
        let is_free = |key: &KeyboardShortcut| !self.0.values().any(|own| own == key);
        let own = self.0.get(&action).copied();
        own.or_else(|| action.spec().shortcut.filter(is_free))
    }

    /// Gives a key to an action.
    ///
    /// # Errors
    /// Where another action has it: that one.
    pub fn set(&mut self, action: Action, key: KeyboardShortcut) -> Result<(), Action> {
        let other = |other: &Action| *other != action && self.of(*other) == Some(key);
        if let Some(other) = Action::ALL.into_iter().find(other) {
            return Err(other);
        }
        if action.spec().shortcut == Some(key) {
            self.0.remove(&action);
        } else {
            self.0.insert(action, key);
        }
        Ok(())
    }

    /// What [`Action::shortcut`] answers from now on.
    pub fn install(&self, ctx: &egui::Context) {
        ctx.data_mut(|data| data.insert_temp(id(), Arc::new(self.clone())));
    }
}

fn id() -> Id {
    Id::unique("keymap")
}

impl Action {
    /// Its key, a person's own or the usual one.
    #[must_use]
    pub fn shortcut(self, ctx: &egui::Context) -> Option<KeyboardShortcut> {
        let own = ctx.data(|data| data.get_temp::<Arc<Keymap>>(id()));
        own.map_or_else(|| self.spec().shortcut, |keymap| keymap.of(self))
    }
}

impl From<Keymap> for BTreeMap<String, String> {
    fn from(keymap: Keymap) -> Self {
        let written = |(action, key)| (format!("{action:?}"), written(key));
        keymap.0.into_iter().map(written).collect()
    }
}

/// What is no action or no key, or given twice, is left out: a file from another version is no reason to have no keys at all.
impl From<BTreeMap<String, String>> for Keymap {
    fn from(read: BTreeMap<String, String>) -> Self {
        let own = read.iter().filter_map(|(name, key)| {
            let mut all = Action::ALL.into_iter();
            let action = all.find(|action| format!("{action:?}") == *name)?;
            Some((action, parsed(key)?))
        });
        let mut keymap = Self::default();
        for (action, key) in own {
            if !keymap.0.values().any(|taken| *taken == key) {
                keymap.0.insert(action, key);
            }
        }
        keymap
    }
}

const MODIFIERS: [(&str, Modifiers); 3] = [
    ("Ctrl", Modifiers::COMMAND),
    ("Alt", Modifiers::ALT),
    ("Shift", Modifiers::SHIFT),
];

fn written(key: KeyboardShortcut) -> String {
    let mut parts: Vec<&str> = MODIFIERS
        .into_iter()
        .filter(|(_, modifiers)| key.modifiers.contains(*modifiers))
        .map(|(name, _)| name)
        .collect();
    parts.push(key.logical_key.name());
    parts.join("+")
}

fn parsed(text: &str) -> Option<KeyboardShortcut> {
    let (modifiers, key) = match text.rsplit_once('+') {
        Some((modifiers, key)) => (modifiers, key),
        None => ("", text),
    };
    let modifiers = modifiers
        .split('+')
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut known = MODIFIERS.into_iter();
            known
                .find(|(known, _)| *known == name)
                .map(|(_, modifiers)| modifiers)
        })
        .try_fold(Modifiers::NONE, |all, one| Some(all.plus(one?)))?;
    Some(KeyboardShortcut::new(modifiers, Key::from_name(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_file() {
        let mut keymap = Keymap::default();
        let free = KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::F7);
        keymap.set(Action::Fit, free).expect("free");
        keymap
            .set(
                Action::ToolBox,
                KeyboardShortcut::new(Modifiers::NONE, Key::F),
            )
            .expect("Fit has let it go");
        let text = serde_json::to_string(&keymap).expect("serialises");
        assert_eq!(text, r#"{"Fit":"Ctrl+Shift+F7","ToolBox":"F"}"#);
        assert_eq!(
            serde_json::from_str::<Keymap>(&text).expect("parses"),
            keymap
        );
        // Two that changed places.
        let (fit, pan) = (Action::Fit.spec().shortcut, Action::ToolPan.spec().shortcut);
        let mut keymap = Keymap::default();
        keymap.set(Action::ToolPan, free).expect("free");
        keymap.set(Action::Fit, pan.expect("a key")).expect("free");
        keymap
            .set(Action::ToolPan, fit.expect("a key"))
            .expect("free");
        let text = serde_json::to_string(&keymap).expect("serialises");
        assert_eq!(
            serde_json::from_str::<Keymap>(&text).expect("parses"),
            keymap
        );
        for action in Action::ALL {
            if let Some(key) = action.spec().shortcut {
                assert_eq!(parsed(&written(key)), Some(key), "{action:?}");
            }
        }
        let odd = r#"{"Fit":"Ctrl+Nothing","Nobody":"F7","Undo":"Hyper+U"}"#;
        let read = |text: &str| serde_json::from_str::<Keymap>(text).expect("parses");
        assert!(read(odd).is_usual());
        // Of an older version, in which nothing had this key yet.
        let older = read(r#"{"KeepZoom":"F9","Squares":"F"}"#);
        let f = KeyboardShortcut::new(Modifiers::NONE, Key::F);
        assert_eq!(older.of(Action::Squares), Some(f));
        assert_eq!(older.of(Action::Fit), None);
        assert_eq!(older.of(Action::Undo), Action::Undo.spec().shortcut);
    }

    #[test]
    fn no_two_actions_get_one_key() {
        let mut keymap = Keymap::default();
        let taken = Action::Undo.spec().shortcut.expect("a key");
        assert_eq!(keymap.set(Action::Fit, taken), Err(Action::Undo));
        let other = KeyboardShortcut::new(Modifiers::NONE, Key::F8);
        keymap.set(Action::Undo, other).expect("free");
        keymap.set(Action::Fit, taken).expect("free now");
        assert_eq!(keymap.of(Action::Fit), Some(taken));
        assert_eq!(keymap.set(Action::Undo, taken), Err(Action::Fit));
        // Back to the usual one, nothing is left of it.
        let usual = Action::Fit.spec().shortcut.expect("a key");
        keymap.set(Action::Fit, usual).expect("free");
        keymap.set(Action::Undo, taken).expect("free again");
        assert!(keymap.is_usual());
    }
}
