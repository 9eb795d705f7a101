//! What a run showed and what to be careful about, in sentences: the window, the report and the model card say the same.

use care_data::RunId;
use care_learn::metrics::McNemar;

use crate::format;

/// Below this share of the attention in the box, a right answer counts as right for the wrong reason.
pub const WRONG_REASON: f32 = 0.30;
/// With fewer test images of a rare class than this, its figures are a hint.
pub const FEW_IMAGES: usize = 10;
/// As few patients, or whatever the images are grouped by.
pub const FEW_GROUPS: usize = 5;

/// How many images two models recognise of those that both saw, and what McNemar's exact test makes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    pub right: [usize; 2],
    pub test: McNemar,
}

impl Found {
    /// "CARE finds 9 of 23, the control 6 of 23: no detectable difference (McNemar's exact test, p = 0.38)".
    #[must_use]
    pub fn in_words(&self, first: &str, second: &str) -> String {
        let n = format::count(self.test.n as usize);
        let verdict = match Verdict::of(self.test) {
            Verdict::Higher(_) => "more than chance would".to_owned(),
            Verdict::Lower(_) => "fewer than chance would".to_owned(),
            Verdict::NoDifference => Verdict::NoDifference.text(),
        };
        let mut second = second.to_owned();
        if let Some(letter) = second.get_mut(0..1) {
            letter.make_ascii_uppercase();
        }
        format!(
            "{second} finds {} of {n}, {first} {} of {n}: {verdict} (McNemar\u{2019}s exact test, {})",
            format::count(self.right[1]),
            format::count(self.right[0]),
            format::p_value(self.test.p)
        )
    }
}

/// What McNemar's test says, in a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    Higher(f64),
    Lower(f64),
    NoDifference,
}

impl Verdict {
    #[must_use]
    pub fn of(difference: McNemar) -> Self {
        match difference.p < format::SIGNIFICANCE {
            true if difference.second_only > difference.first_only => Self::Higher(difference.p),
            true => Self::Lower(difference.p),
            false => Self::NoDifference,
        }
    }

    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Higher(p) => format!("higher, {}", format::p_value(p)),
            Self::Lower(p) => format!("lower, {}", format::p_value(p)),
            Self::NoDifference => "no detectable difference".to_owned(),
        }
    }
}

/// Test images of a rare class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RareClass<'a> {
    pub name: &'a str,
    pub images: usize,
    /// Patients, or whatever the images are grouped by.
    pub groups: usize,
}

/// What [`cautions`] are drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    pub run: RunId,
    /// Before all its epochs.
    pub was_stopped: bool,
    /// Runs, with how many test images had another class when they were tested.
    pub relabelled: Vec<(RunId, usize)>,
    /// Whether all figures are of today's classes, and not as they were recorded.
    pub measured_anew: bool,
    pub rare: Vec<RareClass<'a>>,
}

/// What makes the figures worth less than they look.
#[must_use]
pub fn cautions(facts: &Facts<'_>) -> Vec<String> {
    let run = facts.run;
    let mut cautions = Vec::new();
    if facts.was_stopped {
        cautions.push(format!(
            "Run {run} was stopped early: its models had not learned all that they were to."
        ));
    }
    let whose = if facts.measured_anew {
        "all figures here are by today\u{2019}s"
    } else {
        "counts are by today\u{2019}s, intervals by that day\u{2019}s"
    };
    for (run, n) in facts.relabelled.iter().filter(|(_, n)| *n > 0) {
        cautions.push(format!(
            "{} had another class when run {run} was tested; {whose}. Train again to have them agree.",
            format::plural(*n, "test image", "test images"),
        ));
    }
    for RareClass {
        name,
        images,
        groups,
    } in &facts.rare
    {
        let n = format::plural(*images, "test image", "test images");
        cautions.push(match (*images, *groups) {
            (0, _) => {
                format!("No test image is of {name}: its recall cannot be measured.")
            }
            (images, _) if images < FEW_IMAGES => format!(
                "Only {n} of {name}: one image moves the recall by {:.2}, and the intervals are wide. More test images would tell more.",
                1.0 / images as f64
            ),
            (_, groups) if groups < FEW_GROUPS => format!(
                "The {n} of {name} come from only {}: they are alike, and the intervals are narrower than they should be.",
                format::plural(groups, "patient or group", "patients or groups"),
            ),
            _ => continue,
        });
    }
    cautions
}

/// How many labels of today would have to be others for the confusion matrix that was recorded to come out; `today` is each test
/// image's label and prediction. None where that cannot be told.
#[must_use]
pub fn relabelled(
    recorded: &[Vec<u32>],
    today: impl IntoIterator<Item = (usize, usize)>,
) -> Option<usize> {
    let mut now = vec![vec![0_i64; recorded.len()]; recorded.len()];
    for (label, predicted) in today {
        *now.get_mut(label)?.get_mut(predicted)? += 1;
    }
    let then = recorded.iter().flatten().map(|n| i64::from(*n));
    let moved: i64 = now
        .iter()
        .flatten()
        .zip(then)
        .map(|(a, b)| (a - b).max(0))
        .sum();
    usize::try_from(moved).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_finds_is_said_in_words() {
        let test = McNemar {
            n: 23,
            first_only: 2,
            second_only: 5,
            p: 0.453,
        };
        let found = Found {
            right: [6, 9],
            test,
        };
        assert_eq!(
            found.in_words("the control", "CARE"),
            "CARE finds 9 of 23, the control 6 of 23: no detectable difference (McNemar\u{2019}s exact test, p = 0.45)"
        );
    }

    #[test]
    fn each_weakness_has_its_sentence() {
        let facts = |was_stopped, relabelled, images, groups| Facts {
            run: RunId(3),
            was_stopped,
            relabelled: vec![(RunId(3), relabelled)],
            measured_anew: false,
            rare: vec![RareClass {
                name: "df",
                images,
                groups,
            }],
        };
        for (facts, expected) in [
            (facts(true, 0, 10, 5), Some("Run 3 was stopped early")),
            (facts(false, 1, 10, 5), Some("1 test image had another")),
            (facts(false, 0, 0, 0), Some("No test image is of df")),
            (facts(false, 0, 9, 9), Some("Only 9 test images of df")),
            (
                facts(false, 0, 10, 4),
                Some("The 10 test images of df come from only 4 patients"),
            ),
            (facts(false, 0, 10, 5), None),
        ] {
            match (&cautions(&facts)[..], expected) {
                ([], None) => {}
                ([said], Some(expected)) => assert!(said.starts_with(expected), "{said}"),
                (said, _) => panic!("{expected:?}: {said:?}"),
            }
        }
    }

    #[test]
    fn a_label_that_moved_is_counted_once() {
        let recorded = [vec![2, 0], vec![0, 1]];
        let was = [(0, 0), (0, 0), (1, 1)];
        let is = [(1, 0), (0, 0), (1, 1)];
        assert_eq!(relabelled(&recorded, was), Some(0));
        assert_eq!(relabelled(&recorded, is), Some(1));
        assert_eq!(relabelled(&recorded, [(2, 0)]), None);
    }
}
